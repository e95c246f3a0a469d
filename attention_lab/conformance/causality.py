"""Dependence of outputs on inputs: past tokens only, and of the same sequence only."""

from collections.abc import Iterator

import numpy as np

from attention_lab.conformance.law import Case, law, only
from attention_lab.conformance.subject import (
  LONG,
  SHORT,
  Subject,
  distance,
  positions_of,
)

ROUNDING = 2e-5  # Float32 rounding error, relative to the largest value.
SHORT_CUTS = tuple(range(1, SHORT))
# Near the usual boundaries of blocks, chunks and windows.
LONG_CUTS = (1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, LONG - 1)


@law(
  "no gradient from future tokens",
  "the mask is off by one, or something is normalised over the queries or over time",
  only("causal"),
)
def no_gradient_from_future(subject: Subject) -> Iterator[Case]:
  """Require that the Jacobian between positions is zero above its diagonal."""
  x = subject.inputs()
  positions = positions_of(*x.shape[:2])
  w = np.random.default_rng(2).normal(size=x.shape[-1])
  outputs = np.eye(SHORT)[:, None, :, None] * w + np.zeros_like(x)  # [T, B, T, D]
  for label, params in subject.labelled_parameters():
    rows = []
    for weights in outputs.astype(x.dtype):
      _, (_, gradient) = subject.gradient(x, positions, weights, params)
      rows.append(gradient)
    size = np.abs(rows).sum(axis=(1, 3))  # [T, T]
    if not np.isfinite(size).all():
      yield Case(f"T={SHORT}, {label} parameters, not finite", float("nan"), 1e-6)
      return
    future = np.triu(size, k=1) / (size.max() + 1e-30)
    t, s = np.unravel_index(np.argmax(future), future.shape)
    case = f"T={SHORT}, {label} parameters, output {t} by input {s}"
    yield Case(case, float(future.max()), 1e-6)


@law(
  "outputs do not depend on future tokens",
  "future tokens enter at a chunk, block or cache boundary, or in a sum over all of time",
  only("causal"),
)
def no_dependence_on_future(subject: Subject) -> Iterator[Case]:
  """Require that changing all tokens from a cut on changes no output before the cut."""
  for label, params in subject.labelled_parameters():
    for length, cuts in ((SHORT, SHORT_CUTS), (LONG, LONG_CUTS)):
      x = subject.inputs(length=length)
      other = subject.inputs(length=length, seed=3, scale=10.0)
      y = subject.run(x, params=params)
      for cut in cuts:
        changed = subject.run(
          np.where(from_token(cut, length), other, x), params=params
        )
        case = f"T={length}, {label} parameters, changed from token {cut} on"
        yield Case(case, distance(changed[:, :cut], y[:, :cut]), ROUNDING)


@law(
  "past and current tokens are read",
  "the mask is too strict, or queries and keys are swapped",
)
def past_is_read(subject: Subject) -> Iterator[Case]:
  """Require that the first and the last token each change the outputs they must change.

  The first token must change its own output, for which a causal attention reads no other
  token, and at least one other output. The last token must change its own output.
  """
  x = subject.inputs()
  y = subject.run(x)
  first = subject.run(x + ~from_token(1, SHORT)) == y
  last = subject.run(x + from_token(SHORT - 1, SHORT)) == y
  for case, unchanged in (
    ("changing the first token does not change its output", first[:, 0].all()),
    ("changing the first token changes no other output", first[:, 1:].all()),
    ("changing the last token does not change its output", last[:, -1].all()),
  ):
    yield Case(f"T={SHORT}, {case}", unchanged, 0.0)


@law(
  "sequences in a batch are independent",
  "something is averaged, normalised or reshaped over the batch",
)
def sequences_are_independent(subject: Subject) -> Iterator[Case]:
  """Require that changing one sequence changes no output of another."""
  x = subject.inputs()
  y, changed = subject.run(x), subject.run(np.stack([5 * x[0] + 1, x[1]]))
  yield Case("B=2, the first sequence changed", distance(changed[1], y[1]), ROUNDING)


def from_token(first: int, length: int) -> np.ndarray:
  """Return a bool array [1, T, 1], True from token `first` on."""
  return (np.arange(length) >= first)[None, :, None]
