"""Who sees whom: no future, no padding, no other row of the batch."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from attention_lab.conformance.law import Case, law, only
from attention_lab.conformance.subject import (
  ACROSS,
  LONG,
  SHORT,
  Subject,
  distance,
  positions_of,
)
from attention_lab.kernel.mask import Mask

ROUNDING = 2e-5  # Of float32, as a share of the largest number.
SHORT_CUTS = tuple(range(1, SHORT))
# Around where blocks, chunks and windows usually end.
LONG_CUTS = (1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, LONG - 1)


@law(
  "no gradient comes from the future",
  "the mask is off by one, or something is normalised over the queries or over time",
  only("causal"),
)
def future_by_gradient(subject: Subject) -> Iterator[Case]:
  """The Jacobian between positions is zero above its diagonal."""
  x = subject.inputs()
  at = positions_of(*x.shape[:2])
  mix = np.random.default_rng(2).normal(size=x.shape[-1])
  ones = np.eye(SHORT)[:, None, :, None] * mix + np.zeros_like(x)  # [T, B, T, D]
  for called, params in subject.parameters():
    rows = [subject.gradient(x, at, one.astype(x.dtype), params)[1][1] for one in ones]
    size = np.abs(rows).sum(axis=(1, 3))  # [T, T]
    if not np.isfinite(size).all():
      yield Case(f"T={SHORT}, {called} parameters, not finite", float("nan"), 1e-6)
      return
    ahead = np.triu(size, k=1) / (size.max() + 1e-30)
    t, s = np.unravel_index(np.argmax(ahead), ahead.shape)
    what = f"T={SHORT}, {called} parameters, output {t} by input {s}"
    yield Case(what, float(ahead.max()), 1e-6)


@law(
  "no output changes with what comes later",
  "a chunk, block or cache boundary lets the future in, or a sum runs over all of time",
  only("causal"),
)
def future_by_suffix(subject: Subject) -> Iterator[Case]:
  """Changing every token from a cut on leaves all outputs before it as they were."""
  for called, params in subject.parameters():
    for length, cuts in ((SHORT, SHORT_CUTS), (LONG, LONG_CUTS)):
      x = subject.inputs(length=length)
      other = subject.inputs(length=length, seed=3, scale=10.0)
      y = subject.run(x, params=params)
      for cut in cuts:
        changed = subject.run(np.where(_from(cut, length), other, x), params=params)
        what = f"T={length}, {called} parameters, changed from token {cut} on"
        yield Case(what, distance(changed[:, :cut], y[:, :cut]), ROUNDING)


@law(
  "the past and the present are read",
  "the mask is too strict, or queries and keys are swapped",
)
def past_is_read(subject: Subject) -> Iterator[Case]:
  """Moving the first token moves its own output, which sees nothing else if it is
  causal, and some other one; moving the last moves its own."""
  x = subject.inputs()
  y = subject.run(x)
  first = subject.run(x + (1 - _from(1, SHORT, x.dtype))) == y
  last = subject.run(x + _from(SHORT - 1, SHORT, x.dtype)) == y
  for what, same in (
    ("the first token moved, its output did not", first[:, 0].all()),
    ("the first token moved, no other output did", first[:, 1:].all()),
    ("the last token moved, its output did not", last[:, -1].all()),
  ):
    yield Case(f"T={SHORT}, {what}", same, 0.0)


@law(
  "padding is never read",
  "the mask leaves out context positions < 0, or a cache or a sum takes them in",
)
def padding_is_not_read(subject: Subject) -> Iterator[Case]:
  """What stands at negative positions changes no output at a real one."""
  for length, padding in ((SHORT, 2), (LONG, 20)):
    x = subject.inputs(length=length)
    at = positions_of(2, length, padding)
    y = subject.run(x, at)
    changed = subject.run(np.where(_from(padding, length), x, 100 * x), at)
    what = f"T={length}, {padding} tokens of padding in front"
    yield Case(what, distance(changed[:, padding:], y[:, padding:]), ROUNDING)
  if subject.causal:
    return
  x = subject.inputs()
  at = np.array([[0, 1, -1, -1, 2, 3]] * 2, np.int32)
  real = at[0] >= 0
  y, changed = (
    subject.run(z, at) for z in (x, np.where(at[..., None] < 0, 100 * x, x))
  )
  yield Case(f"T={SHORT}, padding inside", distance(changed[:, real], y[:, real]), 2e-5)


@law(
  "padding counts for nothing",
  "a normaliser, a mean or a position counts tokens that are padding",
  only("causal"),
)
def padding_counts_for_nothing(subject: Subject) -> Iterator[Case]:
  """Behind padding, tokens give what they give without it."""
  for length, padding, after in ((SHORT, 2, 0), (LONG, 20, 20)):
    x = subject.inputs(length=length)
    # The short ones alone are fewer, which shows a sum over all there are; the long ones
    # are followed by others, which they do not see, and share the program of all LONG.
    alone = subject.run(np.concatenate([x[:, padding:], x[:, :after]], axis=1))
    behind = subject.run(x, positions_of(2, length, padding))[:, padding:]
    what = f"T={length}, {padding} tokens of padding in front"
    yield Case(what, distance(behind, alone[:, : length - padding]), ROUNDING)


@law(
  "who sees nobody stays finite",
  "a softmax over nothing divides by zero; mask with a finite number, then zero the row",
)
def nobody_is_finite(subject: Subject) -> Iterator[Case]:
  """Outputs and gradients are finite where a row of the mask is empty."""
  x = subject.inputs()
  nobody = np.full(x.shape[:2], -1, np.int32)
  first = np.stack([nobody[0], np.arange(SHORT, dtype=np.int32)])
  for what, at in (("all", nobody), ("the first row", first)):
    found = subject.gradient(x, at, np.ones_like(x), subject.perturbed())
    leaves = jax.tree.leaves(found)
    bad = sum(not np.isfinite(leaf).all() for leaf in leaves)
    yield Case(f"T={SHORT}, {what} padding, values or gradients not finite", bad, 0.0)


@law(
  "rows of a batch are independent",
  "something is averaged, normalised or reshaped over the batch",
)
def rows_are_independent(subject: Subject) -> Iterator[Case]:
  """Changing one sequence changes no other."""
  x = subject.inputs()
  y, changed = subject.run(x), subject.run(np.stack([5 * x[0] + 1, x[1]]))
  yield Case("B=2, the first sequence changed", distance(changed[1], y[1]), ROUNDING)


@law(
  "another sequence can be read",
  "code assumes as many queries as context tokens",
  only("cross"),
)
def reads_across(subject: Subject) -> Iterator[Case]:
  """Cross-attention with T ≠ S reads all real context tokens, and no padding."""
  f, params = subject.functions(), subject.perturbed()
  for queries, context in ((1, SHORT), ACROSS):
    q, c = subject.inputs(length=queries), subject.inputs(length=context, seed=4)
    at = positions_of(2, context)
    at[:, 1] = -1
    padding = np.where(at[..., None] < 0, 100 * c, c)
    later = np.where(_from(2, context) > _from(3, context), c + 1, c)
    mask = Mask(jnp.asarray(positions_of(2, queries)), jnp.asarray(at), causal=False)
    y = np.asarray(f.apply(params, q, c, mask))
    what = f"T={queries}, S={context}"
    yield Case(f"{what}, wrong shape {y.shape}", y.shape != q.shape, 0.0)
    padded = np.asarray(f.apply(params, q, padding, mask))
    yield Case(f"{what}, its padding changed", distance(padded, y), ROUNDING)
    moved = np.asarray(f.apply(params, q, later, mask))
    yield Case(f"{what}, its last token is not read", np.array_equal(moved, y), 0.0)


def _from(first: int, length: int, dtype: Any = bool) -> np.ndarray:
  """[1, T, 1]: whether a token is the `first` or a later one."""
  return (np.arange(length) >= first)[None, :, None].astype(dtype)
