"""Documents packed in a row equal documents in rows of their own, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention_lab.attention.base import recurrent
from attention_lab.kernel.documents import begin_anew
from attention_lab.kernel.mask import Mask, default_positions
from tests.parts import B, attention_functions, inputs

# The first and last token of a chunk, a document of one token, and one of several chunks.
STARTS = [4, 5, 11, 24]
LENGTH = 29
SPECS = [
  "gated_linear(chunk=4)",
  "gated_delta_net(chunk=4)",
  "performer(chunk=8, features=8)",
  "dilated(window=3, dilation=2)",
  "block_sparse(block=2)",
  "leviathan_selective",
]


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("spec", SPECS)
def test_packed_documents_equal_rows_of_their_own(
  spec, causal, in_float64, monkeypatch
):
  """Outputs, and gradients by parameters and vectors; long passes work in segments."""
  if not causal and not spec.startswith(("performer", "dilated", "block_sparse")):
    pytest.skip("It is causal.")
  monkeypatch.setattr(recurrent, "SEGMENT", 12)
  f, x = (
    attention_functions(spec, "alibi" if "sparse" in spec else "none"),
    inputs(length=LENGTH),
  )
  starts = jnp.tile(jnp.isin(jnp.arange(LENGTH), jnp.array(STARTS))[None], (B, 1))
  at, segments = begin_anew(default_positions(x), starts)
  weights = jnp.cos(jnp.arange(x.size)).reshape(x.shape)

  def packed(params, x):
    mask = Mask(at, at, causal, True, segments, segments)
    return f.apply(params, None, x, x, mask)

  def alone(params, x):
    ends = [*STARTS, LENGTH]
    # Each in a row with padding behind: one program for all.
    rows, places = [], []
    for start, end in zip([0, *STARTS], ends, strict=True):
      width = end - start
      rows.append(jnp.pad(x[:, start:end], ((0, 0), (0, LENGTH - width), (0, 0))))
      places.append(jnp.where(jnp.arange(LENGTH) < width, jnp.arange(LENGTH), -1))
    place = jnp.repeat(jnp.stack(places), B, axis=0).astype(jnp.int32)
    rows = jnp.concatenate(rows)
    y = f.apply(params, None, rows, rows, Mask(place, place, causal))
    parts = jnp.split(y, len(ends))
    cut = [
      part[:, : end - start]
      for part, start, end in zip(parts, [0, *STARTS], ends, strict=True)
    ]
    return jnp.concatenate(cut, axis=1)

  def result(function):
    def total(params, x):
      y = function(params, x)
      return (y * weights).sum(), y

    return jax.jit(jax.grad(total, (0, 1), has_aux=True))(f.params, x)

  pairs = zip(*map(jax.tree.leaves, map(result, (packed, alone))), strict=True)
  for actual, expected in pairs:
    scale = max(1.0, float(jnp.abs(expected).max()))
    np.testing.assert_allclose(actual, expected, atol=1e-11 * scale)
