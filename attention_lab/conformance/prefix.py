"""A prefix: its tokens see each other in both directions, and all others are causal."""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from attention_lab.conformance.causality import ROUNDING
from attention_lab.conformance.inputs import BATCH, LONG, SHORT, positions_of
from attention_lab.conformance.law import Case, Error, law
from attention_lab.conformance.padding import largest_change, padded
from attention_lab.conformance.subject import Subject
from attention_lab.kernel.mask import Mask


class Prefixed(NamedTuple):
  """Sequences with a prefix."""

  positions: np.ndarray  # [B, T]
  prefix: int
  aligned: bool  # Whether the mask says that positions are 0, 1, 2, ….
  tokens: np.ndarray  # Indices of the tokens that are replaced, one at a time.

  def __str__(self) -> str:
    aligned = ", aligned" if self.aligned else ""
    padding = f", {count} of padding" if (count := self.padding) else ""
    return f"T={self.positions.shape[1]}{aligned}{padding}, a prefix of {self.prefix}"

  @property
  def padding(self) -> int:
    """Number of tokens of padding in a row."""
    return int((self.positions[0] < 0).sum())

  @property
  def mask(self) -> Mask:
    """The mask of self-attention."""
    at = jnp.asarray(self.positions)
    return Mask(at, at, causal=True, aligned=self.aligned, prefix=self.prefix)


def _unless_honoured(subject: Subject) -> str:
  return "" if subject.honours_prefix else "honours_prefix is not set"


@law(
  "a prefix sees itself in both directions",
  "a mask is made without its prefix, or reaches beyond it; use mask.dense() and, in "
  "`extend`, decode_mask, or set honours_prefix = False to refuse a prefix",
  _unless_honoured,
)
def prefix_is_honoured(subject: Subject) -> Iterator[Case]:
  """Require that outputs of the prefix depend on all of its tokens, and no others do.

  The outputs behind it depend on no later token. Decoding that begins with the prefix, or
  with more, equals the full pass.
  """
  for prefixed in _sequences(subject):
    for label, _ in subject.labelled_parameters():
      change = partial(_largest_change, subject, prefixed, label)
      yield Case(f"{prefixed}, {label} parameters", change, ROUNDING)
    unread = partial(_unread, subject, prefixed)
    yield Case(f"{prefixed}, tokens that the prefix does not read", unread, 0.0)
  if subject.decodes:
    for first in (4, 5):
      error = partial(_decoded, subject, first)
      yield Case(
        f"T={SHORT}, a prefix of 4, decoded from {first} tokens on", error, 5e-5
      )


def _sequences(subject: Subject) -> Iterator[Prefixed]:
  """Yield sequences with a prefix; the smallest come first."""
  at, every = positions_of(BATCH, SHORT), np.arange(SHORT)
  yield Prefixed(at, 4, True, every)
  front = np.tile(padded(SHORT, "in front"), (BATCH, 1))
  yield Prefixed(front, 2, False, np.flatnonzero(front[0] >= 0))
  if subject.reach < LONG:
    return
  some = np.array([0, 1, 64, 98, 99, 100, 101, LONG - 1])
  for aligned in (True, False) if subject.full else (True,):
    yield Prefixed(positions_of(1, LONG), 100, aligned, some)


def _changes(subject: Subject, prefixed: Prefixed, label: str) -> np.ndarray:
  """Return the change of each output by each replaced token: [replaced, T].

  Args:
    subject: the attention.
    prefixed: the sequences.
    label: that of the parameters.
  """
  params = dict(subject.labelled_parameters())[label]

  def measure() -> np.ndarray:
    batch, length = prefixed.positions.shape
    x = subject.inputs(batch, length)
    other = subject.inputs(batch, length, seed=3)
    chosen = (np.arange(length) == prefixed.tokens[:, None])[:, None, :, None]
    rows = np.concatenate([x[None], np.where(chosen, other, x)])
    count = len(rows)
    repeated = prefixed._replace(positions=np.tile(prefixed.positions, (count, 1)))
    rows = rows.reshape(-1, *x.shape[1:])
    y = subject.functions().apply(params, rows, repeated.mask, None)
    y = np.asarray(y).reshape(count, batch, length, -1)
    change = np.abs(y[1:] - y[0]).max(axis=(1, 3))
    return np.asarray(change / (np.abs(y[0]).max() + 1e-30))

  key = ("changes with a prefix", str(prefixed), label)
  return np.asarray(subject.cached(key, measure))


def _largest_change(subject: Subject, prefixed: Prefixed, label: str) -> Error:
  """Return the largest change of an output by a token that it must not see."""
  at = prefixed.positions[0]
  token, prefix = at[prefixed.tokens, None], prefixed.prefix
  hidden = (token > at) & ~((token < prefix) & (at < prefix)) & (at >= 0)
  change = _changes(subject, prefixed, label)
  if not np.isfinite(change).all():
    return float("nan"), "not finite"
  change = change * hidden
  row, output = np.unravel_index(np.argmax(change), change.shape)
  where = f"output {output} changes by token {prefixed.tokens[row]}"
  return (float(change[row, output]), where) if change.any() else 0.0


def _unread(subject: Subject, prefixed: Prefixed) -> Error:
  """Return how many outputs of the prefix do not depend on another token of it."""
  at = prefixed.positions[0]
  labels = [label for label, _ in subject.labelled_parameters()]
  read = sum(_changes(subject, prefixed, label) for label in labels)
  token = at[prefixed.tokens, None]
  within = (token < prefixed.prefix) & (at >= 0) & (at < prefixed.prefix)
  unread = within & (token != at) & (read == 0)
  if not unread.any():
    return 0.0
  row, output = np.argwhere(unread)[0]
  return (
    float(unread.sum()),
    f"output {output} does not read token {prefixed.tokens[row]}",
  )


def _decoded(subject: Subject, first: int) -> Error:
  """Return the largest difference of outputs that are decoded, `first` tokens at once."""
  prefixed = Prefixed(positions_of(BATCH, SHORT), 4, True, np.arange(0))
  f, params = subject.functions(prefix=prefixed.prefix), subject.random_parameters()
  x = subject.inputs()
  full = subject.functions().apply(params, x, prefixed.mask, None)
  chunks = (first, *(1,) * (SHORT - first))
  actual = f.decode(params, x, prefixed.positions, chunks)
  return largest_change(actual, np.asarray(full), np.arange(SHORT))
