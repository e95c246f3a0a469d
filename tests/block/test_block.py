"""Blocks equal their formulas, and are refused where they cannot be used."""

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention_lab.block.base.block import blocks
from attention_lab.block.base.options import from_config
from attention_lab.errors import UserError
from attention_lab.experiment import assemble
from tests.parts import tiny_config


def test_a_parallel_block_adds_attention_and_feed_forward_of_one_norm():
  options = from_config(tiny_config(model__activation="relu").model.to_dict())
  weights = np.random.default_rng(0).normal(size=(8, 8))

  def net(x):
    make = blocks.bind("parallel")
    block = make(options=options, attentions=(lambda: weights,), name="layer")
    return block(x, lambda matrix, x: (x @ matrix, "output"))

  transformed = hk.transform(net)
  x = jnp.asarray(np.random.default_rng(1).normal(size=(2, 3, 8)))
  params = transformed.init(jax.random.key(0), x)
  y, (output,) = transformed.apply(params, None, x)
  centred = np.asarray(x) - np.asarray(x).mean(axis=-1, keepdims=True)
  normed = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5)
  inner, outer = (params[f"layer/feed_forward_{place}"]["w"] for place in ("in", "out"))
  expected = x + normed @ weights + np.maximum(normed @ inner, 0) @ outer
  np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)
  assert output == "output"


@pytest.mark.parametrize("block", blocks)
def test_every_block_decodes_as_in_the_full_pass(block):
  config = tiny_config(model__block=block, model__num_layers=1)
  experiment = assemble(config)
  params = jax.jit(experiment.init)(0)
  tokens = jnp.asarray([[0, 2, 1, 1, 0]])
  positions = jnp.arange(5)[None]
  model = experiment.model
  logits = model.apply(params, None, tokens, None)
  state = model.initial_state(params, None, 1, 5, jnp.float32)
  for i in range(5):
    each, state = model.extend(
      params, None, tokens[:, i : i + 1], state, positions[:, i : i + 1]
    )
    np.testing.assert_allclose(each[:, 0], logits[:, i], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"model__norm": "post"}, "the block 'parallel' supports only pre"),
    (
      {"architecture__name": "encoder_decoder", "dataset": "random_pairs"},
      "has no cross-attention, .* Use one of: sequential",
    ),
  ],
)
def test_a_parallel_block_is_refused_where_it_cannot_be_used(changes, message):
  with pytest.raises(UserError, match=message):
    assemble(tiny_config(model__block="parallel", **changes))
