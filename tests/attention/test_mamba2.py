"""Mamba-2 is its recurrence, token by token, in float64."""

import jax.numpy as jnp
import numpy as np
import pytest

from attention_lab.errors import UserError
from attention_lab.kernel.mask import Mask
from tests.parts import HEADS, KEY_SIZE, B, attention_functions, inputs


def silu(x):
  return x / (1 + np.exp(-x))


def recurrence(params, x, state_size, expansion):
  """Mamba-2 by loops over tokens and heads: [B, T, D] → [B, T, D]."""
  p = {
    path.partition("mamba2")[2].strip("/").removeprefix("~/"): {
      name: np.asarray(leaf) for name, leaf in leaves.items()
    }
    for path, leaves in params.items()
  }
  x, size = np.asarray(x), expansion * KEY_SIZE
  own, outputs = p[""], np.zeros_like(x)
  taps = p["convolution"]["w"]
  for row in range(len(x)):
    state = np.zeros((HEADS, state_size, size))
    projected = x[row] @ p["input"]["w"]
    for t in range(x.shape[1]):
      last = projected[max(0, t - len(taps) + 1) : t + 1][::-1]
      mixed = silu((last * taps[: len(last)]).sum(axis=0) + own["convolution_offset"])
      value, key, read = np.split(mixed, [HEADS * size, HEADS * size + state_size])
      value = value.reshape(HEADS, size)
      step = np.log1p(np.exp(x[row, t] @ p["decay"]["w"] + own["decay_offset"]))
      y = np.zeros((HEADS, size))
      for n in range(HEADS):
        state[n] *= np.exp(-np.exp(own["log_rate"][n]) * step[n])
        state[n] += step[n] * np.outer(key, value[n])
        y[n] = read @ state[n] + own["skip"][n] * value[n]
      y = y.ravel() * silu(x[row, t] @ p["gate"]["w"])
      y = y / np.sqrt((y * y).mean() + 1e-5) * p["norm"]["scale"]
      outputs[row, t] = y @ p["output"]["w"]
  return outputs


@pytest.mark.parametrize(
  ("options", "state_size", "expansion"),
  [("", 64, 2), ("state_size=3, expansion=1, convolution=1, chunk=2", 3, 1)],
)
def test_mamba2_is_its_recurrence(in_float64, options, state_size, expansion):
  f = attention_functions(f"mamba2({options})")
  x = inputs(length=7)
  at = jnp.tile(jnp.arange(7, dtype=jnp.int32), (B, 1))
  y = f.apply(f.params, None, x, x, Mask(at, at, causal=True))
  expected = recurrence(f.params, x, state_size, expansion)
  np.testing.assert_allclose(y, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("option", ["state_size", "expansion", "convolution"])
def test_sizes_of_nothing_are_refused(option):
  with pytest.raises(UserError, match=rf"mamba2\({option}=0\): take 1 to"):
    attention_functions(f"mamba2({option}=0)")
