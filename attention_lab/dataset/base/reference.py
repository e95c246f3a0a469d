"""Functions to build reference attention: the inputs that each answer depends on.

Arrays are bool [B, T, S], as `Numbered.reference_attention` returns them: the answer at
position t depends on the input at position s.
"""

from collections.abc import Iterable

import numpy as np


def empty(inputs: np.ndarray) -> np.ndarray:
  """Return that answers depend on no input; inputs [B, T]."""
  return np.zeros((*inputs.shape, inputs.shape[1]), bool)


def repeats(inputs: np.ndarray, n: int = 1) -> np.ndarray:
  """Return where, before t, the n tokens up to s equal the n tokens up to t.

  Args:
    inputs: tokens [B, T].
    n: number of tokens.
  """
  same = np.tril(inputs[:, :, None] == inputs[:, None, :], -1)
  found = same.copy()
  for i in range(1, n):
    found[:, i:, i:] &= same[:, :-i, :-i]
  found[:, :, : n - 1] = False
  return found


def newest(found: np.ndarray) -> np.ndarray:
  """Return the last s of each t alone."""
  after = np.cumsum(found[..., ::-1], axis=-1)[..., ::-1]
  return found & (after == 1)


def around(found: np.ndarray, offsets: Iterable[int]) -> np.ndarray:
  """Return the positions s + offset of each s, for all offsets, within the sequence."""
  length = found.shape[-1]
  moved = np.zeros_like(found)
  for offset in offsets:
    low, high = max(0, offset), length + min(0, offset)
    moved[..., low:high] |= found[..., low - offset : high - offset]
  return moved
