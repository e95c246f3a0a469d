"""Parameters keep the names that checkpoints of earlier versions have."""

import json
from pathlib import Path

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention_lab.attention.base.attention import Attention
from attention_lab.conformance.functions import in_chunks
from attention_lab.experiment import assemble
from attention_lab.kernel.mask import Mask
from attention_lab.nn.linear import Linear
from attention_lab.position.base.position import positions
from tests.parts import D_MODEL, HEADS, KEY_SIZE, default_positions, inputs, tiny_config

STORED = json.loads(
  (Path(__file__).parents[1] / "stored" / "parameter_names.json").read_text()
)
DATASETS = {
  "decoder_only": "copy(sequence_length=8, validation_examples=8)",
  "encoder": "majority",
  "encoder_decoder": "reverse(sequence_length=8, validation_examples=8)",
}


@pytest.mark.parametrize("model", STORED)
def test_parameters_keep_their_names_and_shapes(model):
  architecture, attention, position = model.split(" ")
  experiment = assemble(
    tiny_config(
      architecture__name=architecture,
      attention=attention,
      position=position,
      dataset=DATASETS[architecture],
    )
  )
  params = jax.eval_shape(lambda: experiment.init(0))
  found = {
    f"{module}/{name}": list(array.shape)
    for module, arrays in params.items()
    for name, array in arrays.items()
  }
  assert found == STORED[model]


class Nested(Attention):
  """Creates its layers in helper methods, without any decorator."""

  def __call__(self, query, context, mask):
    del mask
    return self._outer(query)

  def _outer(self, x):
    return Linear(self.d_model, False, None, "outer")(self._inner(x))

  def _inner(self, x):
    return Linear(self.d_model, False, None, "inner")(x)

  def extend(self, query, state, at):
    return self._outer(query), state


def test_helper_methods_share_the_parameters_of_the_full_pass():
  def methods():
    attention = Nested(
      num_heads=HEADS,
      key_size=KEY_SIZE,
      d_model=D_MODEL,
      position=positions.bind("none")(max_length=8),
      w_init=None,
      output_init=None,
    )
    return attention.__call__, (
      attention.__call__,
      attention.initial_state,
      attention.extend,
    )

  transformed = hk.multi_transform(methods)
  call, initial_state, extend = transformed.apply
  x, at = inputs(), default_positions()
  params = transformed.init(jax.random.key(0), x, x, Mask(at, at, causal=True))
  assert set(params) == {"nested/outer", "nested/inner"}
  expected = call(params, None, x, x, Mask(at, at, causal=True))
  state = initial_state(params, None, x.shape[0], x.shape[1], jnp.float32)
  decoded = in_chunks(
    lambda *arguments: extend(params, None, *arguments), state, x, at, (1, 2, 3)
  )
  np.testing.assert_allclose(decoded, expected, rtol=1e-6)
