"""Mixture of block attention takes the best finished blocks, query by query."""

import jax.numpy as jnp
import numpy as np
import pytest

from attention_lab.errors import UserError
from attention_lab.kernel.mask import Mask
from tests.parts import HEADS, KEY_SIZE, B, attention_functions, inputs

LENGTH = 13


def expected(params, x, block, top_k):
  """The outputs of one row [T, D], by loops over heads and queries."""
  p = {key.split("/")[-1]: np.asarray(value["w"]) for key, value in params.items()}
  q, k, v = (
    (x @ p[name]).reshape(len(x), HEADS, KEY_SIZE) for name in ("query", "key", "value")
  )
  heads = np.zeros_like(q)
  for n in range(HEADS):
    for t in range(len(x)):
      own = t // block
      means = [k[b * block : (b + 1) * block, n].mean(axis=0) for b in range(own)]
      order = sorted(range(own), key=lambda b: -(q[t, n] @ means[b]))
      taken = {own, *order[: top_k - 1]}
      seen = [s for s in range(t + 1) if s // block in taken]
      scores = k[seen, n] @ q[t, n] / np.sqrt(KEY_SIZE)
      shares = np.exp(scores - scores.max())
      heads[t, n] = shares @ v[seen, n] / shares.sum()
  return heads.reshape(len(x), -1) @ p["output"]


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize(("block", "top_k"), [(3, 2), (2, 3), (3, 1), (1, 4), (4, 99)])
def test_each_query_takes_the_best_blocks(in_float64, block, top_k, aligned):
  f = attention_functions(f"moba(block={block}, top_k={top_k})")
  x = inputs(length=LENGTH)
  at = jnp.tile(jnp.arange(LENGTH, dtype=jnp.int32), (B, 1))
  y = f.apply(f.params, None, x, x, Mask(at, at, True, aligned))
  for row in range(B):
    own = expected(f.params, np.asarray(x[row]), block, top_k)
    np.testing.assert_allclose(y[row], own, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("option", ["block", "top_k"])
def test_numbers_below_1_are_refused(option):
  with pytest.raises(UserError, match=rf"moba\({option}=0\): take 1 or more"):
    attention_functions(f"moba({option}=0)")
