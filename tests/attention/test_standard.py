"""Standard attention is its formula."""

import copy
import dataclasses

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention_lab.errors import UserError
from attention_lab.experiment import assemble
from attention_lab.kernel.mask import Mask
from attention_lab.kernel.weights import softmax
from tests.parts import (
  D_MODEL,
  HEADS,
  KEY_SIZE,
  B,
  T,
  attention_functions,
  default_positions,
  inputs,
  make_attention,
  tiny_config,
)


def by_hand(params, x, context, allowed):
  """The equation in numpy, one query of one head at a time."""
  weight = {key.split("/")[-1]: np.asarray(value["w"]) for key, value in params.items()}
  out = np.zeros((*x.shape[:2], HEADS * KEY_SIZE))
  for b in range(x.shape[0]):
    for n in range(HEADS):
      part = slice(n * KEY_SIZE, (n + 1) * KEY_SIZE)
      q = x[b] @ weight["query"][:, part]
      k = context[b] @ weight["key"][:, part]
      v = context[b] @ weight["value"][:, part]
      for t in range(x.shape[1]):
        seen = allowed[b, t]
        scores = np.exp(k[seen] @ q[t] / np.sqrt(KEY_SIZE))
        out[b, t, part] = scores / scores.sum() @ v[seen]
  return out @ weight["output"]


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("context_length", [T, 4, 9])
def test_it_equals_the_formula_by_hand(in_float64, causal, context_length):
  f = attention_functions("standard")
  x, context = inputs(), inputs(length=context_length, seed=1)
  at, context_at = default_positions(), default_positions(length=context_length)
  mask = Mask(at, context_at, causal)
  allowed = np.asarray(context_at)[:, None] <= np.asarray(at)[:, :, None]
  expected = by_hand(
    f.params, np.asarray(x), np.asarray(context), allowed | (not causal)
  )
  actual = f.apply(f.params, None, x, context, mask)
  np.testing.assert_allclose(actual, expected, rtol=1e-10, atol=1e-12)


def test_grouped_heads_equal_repeated_ones():
  at = default_positions()
  mask = Mask(at, at, causal=True)
  grouped = attention_functions("standard(num_kv_heads=1)")
  repeated = {
    name: {
      key: jnp.tile(value, (1, HEADS)) if name.endswith(("key", "value")) else value
      for key, value in module.items()
    }
    for name, module in grouped.params.items()
  }
  full = attention_functions("standard")
  np.testing.assert_allclose(
    grouped.apply(grouped.params, None, inputs(), inputs(), mask),
    full.apply(repeated, None, inputs(), inputs(), mask),
    rtol=1e-5,
    atol=1e-6,
  )


def test_the_softmax_of_nothing_is_zero():
  weights = softmax(jnp.ones((2, 3)), jnp.array([[True, True, False], [False] * 3]))
  np.testing.assert_allclose(weights, [[0.5, 0.5, 0.0], [0.0, 0.0, 0.0]])


def test_the_gradient_survives_scores_that_are_computed_twice():
  # XLA may recompute the scores and round them differently the second time; a gradient
  # through their maximum then looks for it where it is not, and divides by zero.
  rng = np.random.default_rng(0)
  q, k, v = jnp.asarray(rng.normal(size=(3, 2, 5, 1, 8)), jnp.float32)
  at = default_positions(length=5)
  slope = jnp.full((1, 1, 1, 1), 0.01)

  def total(q, k):
    bias = -jnp.abs(at[:, None, :, None] - at[:, None, None, :]) * slope
    scores = 0.35 * jnp.einsum("BTNK,BSNK->BNTS", q, k) + bias
    weights = softmax(scores, Mask(at, at, causal=True).dense())
    return (jnp.einsum("BNTS,BSNK->BTNK", weights, v) ** 2).sum()

  for scale in (0.1, 0.3, 1.0):
    for gradient in jax.jit(jax.grad(total, (0, 1)))(scale * q, k):
      assert np.isfinite(gradient).all()


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_the_softmax_survives_low_precision(dtype):
  scores = jnp.array([[6e4, 6e4, -6e4]], dtype)
  weights = softmax(scores, jnp.array([[True, False, True]]))
  assert weights.dtype == jnp.float32
  np.testing.assert_allclose(weights, [[1.0, 0.0, 0.0]])


def test_heads_that_do_not_fit_the_stream_need_a_projection():
  config = tiny_config(attention="standard(output_projection=False)", model__key_size=2)
  with pytest.raises(UserError, match="output_projection=False needs"):
    assemble(config)


def test_dropout_acts_only_with_a_key():
  f = attention_functions("standard(dropout=0.5)")
  at = default_positions()
  mask = Mask(at, at, causal=True)
  calls = [f.apply(f.params, key, inputs(), inputs(), mask) for key in (None, None)]
  np.testing.assert_array_equal(*calls)
  dropped = f.apply(f.params, jax.random.key(0), inputs(), inputs(), mask)
  assert not np.allclose(dropped, calls[0])


def test_bfloat16_stays_bfloat16():
  f = attention_functions("standard", "rope")
  at = default_positions()
  params, x = jax.tree.map(lambda x: x.astype(jnp.bfloat16), (f.params, inputs()))
  y = f.apply(params, None, x, x, Mask(at, at, causal=True))
  assert (y.shape, y.dtype) == ((B, T, D_MODEL), jnp.bfloat16)


def test_a_mask_keeps_causality_static_through_jit():
  at = default_positions()
  mask = jax.jit(lambda mask: dataclasses.replace(mask))(Mask(at, at, causal=True))
  assert mask.causal is True


def test_a_window_counts_the_query_itself():
  at = default_positions(1, 4)
  seen = Mask(at, at, causal=True).dense(window=2)[0, 0].astype(int)
  expected = [[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]
  np.testing.assert_array_equal(seen, expected)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_copy_of_an_attention_has_its_options(copied):
  def run():
    attention = make_attention("standard(num_kv_heads=1)")
    other = copied(attention)
    assert (other.num_kv_heads, other.d_model) == (1, attention.d_model)
    assert other is not attention

  hk.transform(run).apply({}, None)
