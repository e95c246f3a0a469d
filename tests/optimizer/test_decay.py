"""Weight decay shrinks weights, and no parameter of another role."""

import dataclasses
from typing import ClassVar

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention_lab.attention.base.attention import attentions
from attention_lab.attention.base.multi_head import MultiHead
from attention_lab.experiment import assemble
from tests.parts import tiny_config

# Parameters of two axes that are no weights, with an experiment that has them.
OTHER_ROLES = {
  "cosine/scale": {"attention": "cosine"},
  "talking_heads/mix_scores": {"attention": "talking_heads"},
  "talking_heads/mix_weights": {"attention": "talking_heads"},
  "t5/table": {"position": "t5"},
  "nystrom/filters": {
    "attention": "nystrom(convolution=3)",
    "architecture__name": "encoder",
    "dataset": "majority(sequence_length=8)",
  },
}


def shrunk(**changes):
  """Return by path whether decay alone changes each parameter, without a gradient."""
  config = tiny_config(
    **{"train__optimizer": "adamw(weight_decay=0.5, decay_all=False)", **changes}
  )
  experiment = assemble(config)
  state = jax.eval_shape(lambda: experiment.fresh(0))
  params = jax.tree.map(lambda x: jnp.ones(x.shape, x.dtype), state.params)
  zeros = jax.tree.map(jnp.zeros_like, params)
  updates, _ = experiment.optimizer.update(
    zeros, experiment.optimizer.init(params), params
  )
  return {
    f"{module}/{name}": bool(np.any(update))
    for module, values in updates.items()
    for name, update in values.items()
  }


def of_suffix(found, suffix):
  """Return what was found for the parameters whose path ends so."""
  return [value for path, value in found.items() if path.endswith(suffix)]


@pytest.mark.parametrize("suffix", OTHER_ROLES)
@pytest.mark.parametrize("stack", ["never", "always"])
def test_parameters_of_another_role_do_not_decay(suffix, stack):
  found = shrunk(model__layer_stack=stack, **OTHER_ROLES[suffix])
  assert of_suffix(found, suffix)
  assert not any(of_suffix(found, suffix))
  assert all(of_suffix(found, "/value/w"))
  assert all(of_suffix(found, "embedding/embeddings"))


def test_weights_decay_and_biases_do_not():
  found = shrunk(model__feed_forward_bias=True, model__norm_offset=True)
  weights = {path for path, changes in found.items() if changes}
  assert weights == {path for path in found if path.endswith(("/w", "/embeddings"))}
  assert set(found) - weights  # Biases, scales and offsets.


@dataclasses.dataclass(kw_only=True)
class Scaled(MultiHead):
  """Multiplies values by entries of a matrix, which it declares to be no weights."""

  undecayed: ClassVar[tuple[str, ...]] = ("entries",)

  def attend(self, q, k, v, mask):
    shape = (self.num_heads, v.shape[-1])
    entries = hk.get_parameter("entries", shape, v.dtype, init=jnp.ones)
    other = hk.get_parameter("other", shape, v.dtype, init=jnp.ones)
    return self.dot_product(q, k, v * (entries * other)[None, None], mask)


def test_a_plugin_declares_the_roles_of_its_parameters():
  with attentions.registered(Scaled, "scaled"):
    found = shrunk(attention="scaled")
  assert not any(of_suffix(found, "/entries"))
  assert all(of_suffix(found, "/other"))


@pytest.mark.parametrize("optimizer", ["lion(decay_all=False)", "muon"])
def test_other_optimizers_know_the_roles(optimizer):
  found = shrunk(attention="cosine", train__optimizer=optimizer)
  assert not any(of_suffix(found, "cosine/scale"))
  assert all(of_suffix(found, "/value/w"))


def test_all_parameters_decay_on_request():
  found = shrunk(attention="cosine", train__optimizer="adamw(weight_decay=0.5)")
  assert all(found.values())
