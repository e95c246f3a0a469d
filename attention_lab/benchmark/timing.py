"""Times calls interleaved, after a warm-up, until the device has finished."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

SHORTEST = 0.02  # Least duration of a measurement, in seconds.
MATRIX = 1024  # Rows of the matrices of `matmul_peak`.


class Timing(NamedTuple):
  """Seconds of a call: the median and the quartiles."""

  median: float
  low: float
  high: float


def interleaved(
  calls: Mapping[str, Callable[[], Any]], rounds: int
) -> dict[str, Timing]:
  """Time every call `rounds` times, in turns, so that all share the machine's state.

  Args:
    calls: calls to time, by name; each returns arrays, which are awaited.
    rounds: number of measurements per call.
  """
  repeats = {}
  for name, call in calls.items():
    _seconds(call, 1)  # Warm-up.
    repeats[name] = max(1, math.ceil(SHORTEST / _seconds(call, 1)))
  seconds: dict[str, list[float]] = {name: [] for name in calls}
  for _ in range(rounds):
    for name, call in calls.items():
      seconds[name].append(_seconds(call, repeats[name]))
  return {
    name: Timing(*(float(x) for x in np.quantile(measured, [0.5, 0.25, 0.75])))
    for name, measured in seconds.items()
  }


def matmul_peak(dtype: Any) -> float:
  """Return the measured FLOP/s of a large matrix product."""
  x = jnp.ones((MATRIX, MATRIX), dtype)
  multiply = jax.jit(jnp.matmul)
  timing = interleaved({"matmul": lambda: multiply(x, x)}, rounds=7)["matmul"]
  return 2 * MATRIX**3 / timing.low


def _seconds(call: Callable[[], Any], repeats: int) -> float:
  start = time.perf_counter()
  for _ in range(repeats):
    result = call()
  jax.block_until_ready(result)
  return (time.perf_counter() - start) / repeats
