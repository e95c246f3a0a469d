"""Beam search through a decode state (Sutskever et al., arXiv:1409.3215)."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from attention_lab.architecture.base.architecture import Model
from attention_lab.decode.documents import batch_axes
from attention_lab.errors import UserError

PADDING = -1  # Follows the end of an answer.

# (parameters, sources [B, S], length) → the state of B empty answers: a tree of arrays.
Start = Callable[[Any, Any, int], Any]
# (parameters, tokens [R, 1], state, positions [R, 1]) → logits [R, 1, V], state.
Extend = Callable[[Any, Any, Any, Any], tuple[jax.Array, Any]]


class Answers(NamedTuple):
  """The n best hypotheses of each sentence, the best first."""

  tokens: jax.Array  # [B, n, L] int32, with the end token; then PADDING
  scores: jax.Array  # [B, n]: log-probability / length penalty; -inf: none
  lengths: jax.Array  # [B, n] int32: tokens, the end token among them; 0: none


class Finished(NamedTuple):
  """The best hypotheses that have ended, each by its last token and what led to it."""

  scores: jax.Array  # [B, n], falling
  lengths: jax.Array  # [B, n] int32
  parents: jax.Array  # [B, n] int32: the live hypothesis that the last token continued
  tokens: jax.Array  # [B, n] int32: the last token


class Beams(NamedTuple):
  """State of the search, carried by the loop."""

  step: jax.Array  # [] int32: tokens that every live hypothesis has
  scores: jax.Array  # [B, K] log-probabilities, falling; -inf: an empty slot
  tokens: jax.Array  # [B, K] int32: next inputs of the decoder
  state: Any  # The decode state of B · K rows
  all_tokens: jax.Array  # [L, B, K] int32: the live hypotheses' last tokens by step
  all_parents: jax.Array  # [L, B, K] int32: hypotheses of the previous step
  finished: Finished
  ended: jax.Array  # [B] int32: hypotheses that have ended, kept or not


@dataclasses.dataclass(frozen=True, kw_only=True)
class BeamSearch:
  """(parameters, sources [B, S]) → `Answers`; to be jitted.

  Each step scores every continuation of the K live hypotheses. Those among the K best
  that end leave the beam, and the K best that do not end live on, until K have ended: so
  a beam of one is greedy decoding, and one as wide as the tree finds the best of all.
  """

  start: Start
  extend: Extend
  length: int  # Tokens, the end token among them; a hypothesis that has them ends.
  beam_size: int  # K: hypotheses that live at once.
  start_token: int  # What the decoder reads first, at position 0.
  end_token: (
    int | None
  )  # Ends a hypothesis; None for answers of exactly `length` tokens.
  length_penalty: float = 0.6  # α of `penalties`; 0 for none, more favours longer ones.
  n_best: int = 1  # Hypotheses to return for each sentence.

  def __post_init__(self) -> None:
    if self.length < 1 or self.beam_size < 1:
      raise UserError(
        f"Beam search with length={self.length} and beam_size={self.beam_size} finds "
        f"nothing. Take 1 or more of each."
      )
    if not 1 <= self.n_best <= self.beam_size:
      raise UserError(
        f"A beam of {self.beam_size} has no {self.n_best} best hypotheses. "
        f"Take n_best from 1 to {self.beam_size}, or a larger beam_size."
      )

  def __call__(self, params: Any, source: jax.Array) -> Answers:
    axes = self._batch_axes(params, source)
    beams = self._first(params, source, axes)
    beams = jax.lax.while_loop(
      lambda beams: (beams.step < self.length) & jnp.any(self.may_improve(beams)),
      lambda beams: self._step(params, axes, beams),
      beams,
    )
    tokens = self._trace(beams)
    return Answers(tokens, beams.finished.scores, beams.finished.lengths)

  @property
  def penalties(self) -> np.ndarray:
    """((5 + |Y|) / 6)^α for |Y| = 0, …, length (GNMT, arXiv:1609.08144, eq. 14)."""
    return np.asarray(((5 + np.arange(self.length + 1)) / 6) ** self.length_penalty)

  def may_improve(self, beams: Beams) -> jax.Array:
    """Return whether a live hypothesis may still beat the worst one kept: [B] bool.

    Log-probabilities are negative and can only fall, so the best possible score is the
    present one divided by the largest penalty of the remaining lengths.
    """
    ahead = np.maximum.accumulate(self.penalties[::-1])[::-1]
    ahead = np.append(ahead[1:], ahead[-1])  # At least one token follows.
    best = beams.scores[:, 0] / jnp.asarray(ahead, beams.scores.dtype)[beams.step]
    return best > beams.finished.scores[:, -1]

  def _first(self, params: Any, source: jax.Array, axes: Any) -> Beams:
    """Return the first state: one hypothesis per sentence, and K - 1 empty slots."""
    shape = (len(source), self.beam_size)
    state = jax.tree.map(
      lambda leaf, axis: leaf if axis < 0 else jnp.repeat(leaf, shape[1], axis),
      self.start(params, source, self.length),
      axes,
    )
    one = jax.ShapeDtypeStruct((shape[0] * shape[1], 1), jnp.int32)
    logits, _ = jax.eval_shape(self.extend, params, one, state, one)
    dtype = jnp.promote_types(logits.dtype, jnp.float32)
    kept = jnp.zeros((shape[0], self.n_best), jnp.int32)
    history = jnp.zeros((self.length, *shape), jnp.int32)
    return Beams(
      step=jnp.zeros((), jnp.int32),
      scores=jnp.full(shape, -jnp.inf, dtype).at[:, 0].set(0),
      tokens=jnp.full(shape, self.start_token, jnp.int32),
      state=state,
      all_tokens=history,
      all_parents=history,
      finished=Finished(jnp.full(kept.shape, -jnp.inf, dtype), kept, kept, kept),
      ended=jnp.zeros(shape[:1], jnp.int32),
    )

  def _step(self, params: Any, axes: Any, beams: Beams) -> Beams:
    """Extend every live hypothesis by one token, and keep the best."""
    scores, state = self._continuations(params, beams)
    rows, width, size = scores.shape
    # Each hypothesis has one continuation that ends: K of 2 K do not.
    count = width if self.end_token is None else min(2 * width, width * size)
    scores, at = jax.lax.top_k(scores.reshape(rows, -1), count)
    parents, tokens = at // size, at % size
    ends = jnp.broadcast_to(beams.step == self.length - 1, tokens.shape)
    if self.end_token is not None:
      ends |= tokens == self.end_token

    ending = jnp.where(ends, scores, -jnp.inf)[:, :width]
    ended = beams.ended + jnp.sum(ending > -jnp.inf, axis=1, dtype=jnp.int32)
    finished = self._finish(beams, ending, parents[:, :width], tokens[:, :width])

    scores, alive = jax.lax.top_k(jnp.where(ends, -jnp.inf, scores), width)
    parents, tokens = _pick(parents, alive), _pick(tokens, alive)
    return Beams(
      step=beams.step + 1,
      scores=jnp.where(ended[:, None] < width, scores, -jnp.inf),
      tokens=tokens,
      state=self._reorder(beams.state, state, axes, parents),
      all_tokens=beams.all_tokens.at[beams.step].set(tokens),
      all_parents=beams.all_parents.at[beams.step].set(parents),
      finished=finished,
      ended=ended,
    )

  def _continuations(self, params: Any, beams: Beams) -> tuple[jax.Array, Any]:
    """Return log-probabilities of every hypothesis with every next token: [B, K, V]."""
    tokens = beams.tokens.reshape(-1, 1)
    positions = jnp.full_like(tokens, beams.step)
    logits, state = self.extend(params, tokens, beams.state, positions)
    logits = logits.astype(beams.scores.dtype)
    following = jax.nn.log_softmax(logits).reshape(*beams.scores.shape, -1)
    return beams.scores[:, :, None] + following, state

  def _finish(
    self, beams: Beams, scores: jax.Array, parents: jax.Array, tokens: jax.Array
  ) -> Finished:
    """Return the n best of those kept and of the K that may end now (-inf: do not)."""
    penalty = jnp.asarray(self.penalties, scores.dtype)[beams.step + 1]
    lengths = jnp.full_like(tokens, beams.step + 1)
    ending = Finished(scores / penalty, lengths, parents, tokens)
    both = jax.tree.map(
      lambda old, new: jnp.concatenate([old, new], axis=1), beams.finished, ending
    )
    _, best = jax.lax.top_k(both.scores, self.n_best)  # Of equal scores, the first.
    return Finished(*(_pick(field, best) for field in both))

  def _reorder(self, old: Any, new: Any, axes: Any, parents: jax.Array) -> Any:
    """Return the state in which each hypothesis has the rows of its parent.

    Leaves that `extend` returns unchanged belong to a sentence, and stay as they are.
    """
    if self.beam_size == 1:
      return new
    first = jnp.arange(len(parents), dtype=jnp.int32)[:, None] * self.beam_size
    rows = (first + parents).ravel()

    def reorder(old: jax.Array, new: jax.Array, axis: int) -> jax.Array:
      if axis < 0 or new is old:
        return new
      return jnp.take(new, rows, axis=axis, mode="clip")

    return jax.tree.map(reorder, old, new, axes)

  def _trace(self, beams: Beams) -> jax.Array:
    """Return the tokens of the hypotheses kept, traced back from the last: [B, n, L]."""
    last = beams.finished.lengths - 1

    def back(at: jax.Array, given: Any) -> tuple[jax.Array, jax.Array]:
      step, tokens, parents = given
      behind = jnp.where(step == last, beams.finished.tokens, PADDING)
      token = jnp.where(step < last, _pick(tokens, at), behind)
      return jnp.where(step < last, _pick(parents, at), at), token

    steps = jnp.arange(self.length, dtype=jnp.int32)
    history = (steps, beams.all_tokens, beams.all_parents)
    _, tokens = jax.lax.scan(back, beams.finished.parents, history, reverse=True)
    return jnp.moveaxis(tokens, 0, -1)

  def _batch_axes(self, params: Any, source: jax.Array) -> Any:
    """Return each leaf's axis of sentences, the one that grows with them; -1 for none."""

    def start(count: int) -> Any:
      sources = jnp.zeros((count, *source.shape[1:]), source.dtype)
      return self.start(params, sources, self.length)

    return batch_axes(start, len(source))


def _pick(x: jax.Array, at: jax.Array) -> jax.Array:
  """Return the entries of each row of x [B, N] at indices [B, M]."""
  return jnp.take_along_axis(x, at, axis=1)


def make_beam_search(
  model: Model,
  length: int,
  beam_size: int,
  start_token: int,
  end_token: int | None,
  length_penalty: float = 0.6,
  n_best: int = 1,
  dtype: Any = jnp.float32,
) -> Callable[[Any, Any], Answers]:
  """Build a jitted function of parameters and sources [B, S]: one program per shape.

  Args:
    model: an architecture that reads a source, as functions.
    length: largest number of tokens of an answer, including the end token.
    beam_size: number of live hypotheses; 1 for greedy decoding.
    start_token: first input of the decoder.
    end_token: ends an answer; None for answers of exactly `length` tokens.
    length_penalty: α of arXiv:1609.08144, eq. 14.
    n_best: answers per sentence.
    dtype: dtype of the decode state; scores are in float32 or the logits' wider dtype.

  Raises:
    UserError: a size below 1, or `n_best` above `beam_size`.
  """

  def start(params: Any, source: jax.Array, length: int) -> Any:
    return model.initial_state(params, None, len(source), length, dtype, source)

  def extend(params: Any, tokens: Any, state: Any, positions: Any) -> Any:
    return model.extend(params, None, tokens, state, positions)

  search = BeamSearch(
    start=start,
    extend=extend,
    length=length,
    beam_size=beam_size,
    start_token=start_token,
    end_token=end_token,
    length_penalty=length_penalty,
    n_best=n_best,
  )
  return jax.jit(search)
