"""Cross-entropy that holds a block of the logits at a time, for large vocabularies.

The loss is a sum over rows, and its gradient is known as soon as a row's logits are: it
is formed in the forward pass, row block by row block, and the backward pass only scales
it. Nothing is computed twice and no array [M, V] exists. docs/measurements/training_step.md
compares this with blocks of the vocabulary, whose logits have to be computed again.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from attention_lab.nn.metrics import Sums

# Logits that are under way at once: a CPU's cache and little more; elsewhere enough for
# the table's gradient, which each block adds to, to cost little.
ROOM_ON_CPU, ROOM = 2**22, 2**26
FEWEST_ROWS = 32  # Of a block; fewer make a slow matrix product.


class Head(NamedTuple):
  """Factors of the logits: vectors · tableᵀ + bias."""

  vectors: Any  # [..., D]
  table: Any  # [V, D]
  bias: Any = None  # [V], or None for none.


class _Rows(NamedTuple):
  """One row for each position: [M, ...]."""

  vectors: jax.Array  # [M, D]
  targets: jax.Array  # [M]
  weights: jax.Array  # [M]


class _Seen(NamedTuple):
  """Results of a block of rows, with the gradients for a loss gradient of 1."""

  loss: jax.Array  # [M]
  correct: jax.Array  # [M]
  vectors: jax.Array | None  # [M, D]


def pays(size: int) -> bool:
  """Return whether `size` logits are too many to form at once."""
  return size > _room()


def head_sums(
  head: Head, targets: jax.Array, weights: jax.Array, label_smoothing: float = 0.0
) -> Sums:
  """Compute `metrics.token_sums` of the logits of `head`, without forming them.

  Args:
    head: vectors [..., D], table [V, D] and bias [V], of one dtype. Logits and sums are
      computed in float32 at least.
    targets: [...] integers; any number where the weight is 0.
    weights: [...].
    label_smoothing: as for `token_sums`.

  Returns:
    Scalars. Their gradient costs three matrix products, their value one.
  """
  output, rows = _cut(head, targets, weights)
  loss, correct = _sums(label_smoothing, output, rows)
  return Sums(loss, correct, jnp.sum(weights))


def head_hits(
  head: Head, targets: jax.Array, weights: jax.Array
) -> tuple[Sums, jax.Array]:
  """Compute the sums without gradient, and where the target is the most likely token.

  Arguments are those of `head_sums`; the results are scalars and bool [...].
  """
  output, rows = _cut(head, targets, weights)
  seen = _values(0.0, output, rows)
  hits = (seen.correct > 0).reshape(targets.shape)
  return Sums(*_weigh(rows, seen), jnp.sum(weights)), hits


def _cut(head: Head, targets: jax.Array, weights: jax.Array) -> tuple[Head, _Rows]:
  """Return the head without its vectors, and the arrays with one entry per position."""
  rows = _Rows(
    head.vectors.reshape(-1, head.vectors.shape[-1]),
    jnp.where(weights == 0, 0, targets).reshape(-1),
    weights.reshape(-1).astype(_wide(head.vectors)),
  )
  return head._replace(vectors=None), rows


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _sums(smoothing: float, output: Head, rows: _Rows) -> tuple[jax.Array, jax.Array]:
  """Weighted sums of loss and correct predictions; `output` has no vectors."""
  return _weigh(rows, _values(smoothing, output, rows))


def _forward(smoothing: float, output: Head, rows: _Rows) -> tuple[Any, Any]:
  def block(gradient: Head, rows: _Rows) -> tuple[Head, _Seen]:
    seen, dlogits = _look(smoothing, output, rows)
    # Formed once: XLA's CPU backend would fuse it into both products.
    dlogits = jax.lax.optimization_barrier(dlogits)
    narrow = dlogits.astype(output.table.dtype)
    table = gradient.table + jnp.einsum(
      "MV,MD->VD", narrow, rows.vectors, preferred_element_type=gradient.table.dtype
    )
    bias = None if output.bias is None else gradient.bias + dlogits.sum(axis=0)
    return Head(None, table, bias), seen._replace(vectors=narrow @ output.table)

  zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, _wide(x)), output)
  gradient, seen = _over_blocks(block, zeros, output, rows)
  gradient = jax.tree.map(lambda x, like: x.astype(like.dtype), gradient, output)
  return _weigh(rows, seen), (gradient, seen)


def _backward(_: float, saved: tuple[Head, _Seen], cotangent: Any) -> Any:
  (gradient, seen), (loss, correct) = saved, cotangent
  scale = lambda x: (loss * x).astype(x.dtype)  # noqa: E731
  dweights = loss * seen.loss + correct * seen.correct
  none: Any = None  # Targets are integers.
  return jax.tree.map(scale, gradient), _Rows(scale(seen.vectors), none, dweights)


_sums.defvjp(_forward, _backward)


def _look(smoothing: float, output: Head, rows: _Rows) -> tuple[_Seen, jax.Array]:
  """Return a block's losses and hits, and the gradient [M, V] of its weighted loss."""
  size = output.table.shape[0]
  logits = jnp.einsum(
    "MD,VD->MV", rows.vectors, output.table, preferred_element_type=_wide(rows.vectors)
  )
  if output.bias is not None:
    logits += jnp.broadcast_to(output.bias, logits.shape)
  targets = rows.targets[:, None]
  at_target = jnp.take_along_axis(logits, targets, axis=-1)
  top = logits.max(axis=-1, keepdims=True)
  exponentials = jnp.exp(logits - top)
  total = exponentials.sum(axis=-1, keepdims=True)
  tokens = jax.lax.broadcasted_iota(targets.dtype, logits.shape, 1)
  first = jnp.where(logits == top, tokens, size).min(axis=-1, keepdims=True)
  expected = at_target
  if smoothing:
    expected += smoothing * (logits.mean(axis=-1, keepdims=True) - at_target)
  loss = top + jnp.log(total) - expected
  wanted = jnp.where(tokens == targets, 1 - smoothing, 0) + smoothing / size
  dlogits = rows.weights[:, None] * (exponentials / total - wanted)
  correct = (first == targets).astype(loss.dtype)
  return _Seen(loss[:, 0], correct[:, 0], None), dlogits


def _values(smoothing: float, output: Head, rows: _Rows) -> _Seen:
  """Return the results of all blocks, without gradients."""

  def block(_: None, rows: _Rows) -> tuple[None, _Seen]:
    return None, _look(smoothing, output, rows)[0]

  return _over_blocks(block, None, output, rows)[1]


def _weigh(rows: _Rows, seen: _Seen) -> tuple[jax.Array, jax.Array]:
  return jnp.sum(rows.weights * seen.loss), jnp.sum(rows.weights * seen.correct)


def _over_blocks(
  block: Any, carry: Any, output: Head, rows: _Rows
) -> tuple[Any, _Seen]:
  """Scan (carry, rows) → (carry, result) over blocks of about equal size."""
  count = rows.targets.shape[0]
  most = max(FEWEST_ROWS, _room() // output.table.shape[0])
  blocks = max(1, -(-count // most))
  surplus = -count % blocks  # Rows of weight 0.

  def split(x: jax.Array) -> jax.Array:
    x = jnp.pad(x, [(0, surplus)] + [(0, 0)] * (x.ndim - 1))
    return x.reshape(blocks, -1, *x.shape[1:])

  carry, seen = jax.lax.scan(block, carry, jax.tree.map(split, rows))
  join = lambda x: x.reshape(-1, *x.shape[2:])[:count]  # noqa: E731
  return carry, jax.tree.map(join, seen)


def _room() -> int:
  return ROOM_ON_CPU if jax.default_backend() == "cpu" else ROOM


def _wide(x: jax.Array) -> Any:
  return jnp.promote_types(x.dtype, jnp.float32)
