"""Attention in blocks, linear in memory (arXiv:2112.05682, arXiv:2205.14135), for CPUs.

A block of queries meets all keys that it may see at once, so the softmax is the plain one.
Only its log-sum-exp is kept. The backward pass forms the weights again, a block of keys at
a time and transposed: no product then needs a transposed copy. Where indices tell who sees
whom, what lies above the diagonal or outside the window is never computed.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from attention_lab.kernel.bands import Band, bands, block_size
from attention_lab.kernel.mask import Mask
from attention_lab.kernel.problem import Problem

# Bytes of scores that are under way at once: a CPU's cache; elsewhere a part of memory.
CACHE, MEMORY = 2**20, 2**30


class Queries(NamedTuple):
  """The query side of one unit of work: heads that are computed together."""

  q: jax.Array  # [N, T, K + F], scaled
  positions: jax.Array  # [T]
  segments: jax.Array | None  # [T]


class Context(NamedTuple):
  """The context side of one unit of work."""

  k: jax.Array  # [N, S, K]
  v: jax.Array  # [N, S, V]
  rotations: jax.Array  # [1, S, F]
  positions: jax.Array  # [S]
  segments: jax.Array | None  # [S]

  @property
  def wide(self) -> jax.Array:
    """Keys with all their columns: [N, S, K + F]."""
    rotations = jnp.broadcast_to(
      self.rotations, (self.k.shape[0], *self.rotations.shape[1:])
    ).astype(self.k.dtype)
    return jnp.concatenate([self.k, rotations], axis=-1)


class Output(NamedTuple):
  """Output of a unit, and what its backward pass needs."""

  y: jax.Array  # [N, T, V]
  log_sum: jax.Array  # [N, T], of the exponentiated scores


def blocked(problem: Problem) -> jax.Array:
  """Return [B, T, N, V] without a [T, S] array; zeros for a fully masked query.

  Dropout is not supported, nor a bias that is not a function.
  """
  queries, context = _units(problem)
  forward = functools.partial(_forward, problem)
  backward = functools.partial(_backward, problem)

  @jax.custom_vjp
  def attend(queries: Queries, context: Context) -> jax.Array:
    return _map(forward, queries, context).y

  def attend_forward(queries: Queries, context: Context) -> tuple[jax.Array, Any]:
    output = _map(forward, queries, context)
    return output.y, (queries, context, output)

  def attend_backward(saved: Any, dy: jax.Array) -> Any:
    dq, dk, dv = _map(backward, *saved, jax.lax.optimization_barrier(dy))
    none: Any = None  # Waves are constants, positions integers.
    return Queries(dq, none, none), Context(dk, dv, none, none, none)

  attend.defvjp(attend_forward, attend_backward)
  y = attend(queries, context)
  batch, _, heads, _ = problem.q.shape
  return jnp.swapaxes(y.reshape(batch, heads, *y.shape[2:]), 1, 2)


def _units(problem: Problem) -> tuple[Queries, Context]:
  """Return inputs with a leading axis of units: heads, or with a bias whole sequences."""
  q, k, v, mask = problem.q, problem.k, problem.v, problem.mask
  heads = q.shape[2]
  together = heads if problem.bias is not None else 1

  def units(x: jax.Array) -> jax.Array:
    x = jnp.repeat(jnp.swapaxes(x, 1, 2), heads // x.shape[2], axis=1)
    return x.reshape(-1, together, *x.shape[2:])

  def each(x: Any) -> Any:
    return None if x is None else jnp.repeat(x, heads // together, axis=0)

  rotations = problem.rotations
  if rotations is None:
    rotations = jnp.zeros((*k.shape[:2], 0), k.dtype)
  queries = each(mask.query_positions), each(mask.query_segments)
  context = each(mask.context_positions), each(mask.context_segments)
  return (
    Queries(units(q * problem.scale), *queries),
    Context(units(k), units(v), each(rotations)[:, None], *context),
  )


def _map(function: Callable[..., Any], *units: Any) -> Any:
  """`function` of every unit, as many at once as the cache has room for."""
  queries, context = units[:2]
  count, heads, length, _ = queries.q.shape
  scores = 4 * heads * block_size(length) * context.k.shape[2]
  room = CACHE if jax.default_backend() == "cpu" else MEMORY
  at_once = max(1, min(count, room // scores))
  at_once = next(n for n in range(at_once, 0, -1) if count % n == 0)
  if at_once == count:
    return jax.vmap(function)(*units)
  return jax.lax.map(lambda unit: function(*unit), units, batch_size=at_once)


def _forward(problem: Problem, queries: Queries, context: Context) -> Output:
  limits = _limits(problem)

  def block(band: Band, _: None, i: Any, queries: Queries) -> tuple[None, Output]:
    seen = _cut(context, _start(band, i, context.positions), band.extent)
    scores = _scores(problem, queries, seen)
    allowed = _allowed(problem, queries, seen)[None]
    scores = jnp.where(allowed, scores, jnp.finfo(scores.dtype).min)
    top = scores.max(axis=-1, keepdims=True)
    weights = jnp.exp(scores - top) * allowed
    total = weights.sum(axis=-1, keepdims=True)
    total = jnp.where(total == 0, 1, total)
    y = jnp.einsum("NTS,NSV->NTV", weights.astype(seen.v.dtype), seen.v)
    log_sum = (top + jnp.log(total))[..., 0]
    return None, Output((y / total).astype(y.dtype), log_sum)

  rows = queries.q.shape[1]
  cut = list(bands(rows, context.k.shape[1], *limits))
  queries = _pad(queries, cut)
  results = [
    _scan(functools.partial(block, band), band, None, queries)[1] for band in cut
  ]
  return _cut(_join(results), 0, rows)


def _backward(
  problem: Problem, queries: Queries, context: Context, output: Output, dy: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Return gradients of q, k and v (FlashAttention-2, arXiv:2307.08691, algorithm 2)."""
  before, after, prefix = _limits(problem)
  key_size = context.k.shape[2]
  mean = (dy * output.y).astype(output.log_sum.dtype).sum(axis=-1)
  side = (queries, dy, output.log_sum, mean)

  def block(band: Band, dq: jax.Array, i: Any, seen: Context) -> Any:
    start = _start(band, i, queries.positions)
    q_side, dy, log_sum, mean = _cut(side, start, band.extent)
    scores = _scores(problem, q_side, seen, transposed=True)
    allowed = _allowed(problem, q_side, seen).T[None]
    weights = jnp.where(allowed, jnp.exp(scores - log_sum[:, None]), 0)
    dv = jnp.einsum("NST,NTV->NSV", weights.astype(dy.dtype), dy)
    dweights = jnp.einsum("NSV,NTV->NST", seen.v, dy)
    dscores = (weights * (dweights - mean[:, None])).astype(dy.dtype)
    dk = jnp.einsum("NST,NTK->NSK", dscores, q_side.q[..., :key_size])
    new = jnp.einsum("NSK,NST->NKT", seen.wide, dscores)
    new += jax.lax.dynamic_slice_in_dim(dq, start, band.extent, axis=2)
    return jax.lax.dynamic_update_slice_in_dim(dq, new, start, axis=2), (dk, dv)

  rows = context.k.shape[1]
  cut = list(bands(rows, queries.q.shape[1], after, before, prefix))
  context = _pad(context, cut)
  dq = jnp.zeros_like(jnp.swapaxes(queries.q, 1, 2))
  results = []
  for band in cut:
    dq, grads = _scan(functools.partial(block, band), band, dq, context)
    results.append(grads)
  dk, dv = _cut(_join(results), 0, rows)
  return jnp.swapaxes(dq, 1, 2), dk, dv


def _limits(problem: Problem) -> tuple[int | None, int | None, int]:
  """Return how far before and after its index a query may attend, if indices tell.

  The third number is that of the first tokens, which may attend to each other in any case.
  """
  mask, window = problem.mask, problem.window
  documents = mask.query_segments is not None
  if not mask.aligned or (mask.both_ways and documents):  # Each has its own prefix.
    return None, None, 0
  reach = None if window is None else window - 1
  return reach, 0 if mask.causal else reach, mask.both_ways


def _scores(
  problem: Problem, queries: Queries, context: Context, transposed: bool = False
) -> jax.Array:
  """Return scores [N, T, S], or transposed [N, S, T]; float32 or wider."""
  form = "NSK,NTK->NST" if transposed else "NTK,NSK->NTS"
  sides = (context.wide, queries.q) if transposed else (queries.q, context.wide)
  scores = jnp.einsum(form, *sides, preferred_element_type=problem.score_dtype)
  if problem.bias is None:
    return scores
  assert callable(problem.bias)
  bias = problem.bias(queries.positions[None], context.positions[None])[0]
  return scores + (jnp.swapaxes(bias, 1, 2) if transposed else bias)


def _allowed(problem: Problem, queries: Queries, context: Context) -> jax.Array:
  """Return [T, S], True where a query may attend to a context token."""
  sides = (queries.positions, context.positions, queries.segments, context.segments)
  at, context_at, segments, context_segments = jax.tree.map(lambda x: x[None], sides)
  mask = Mask(
    at,
    context_at,
    problem.mask.causal,
    query_segments=segments,
    context_segments=context_segments,
    prefix=problem.mask.prefix,
  )
  return mask.dense(problem.window)[0, 0]


def _start(band: Band, i: Any, others: jax.Array) -> Any:
  """Return the first of the other rows that the i-th block needs."""
  if not band.step:
    return band.first
  return jnp.clip(band.first + i * band.step, 0, others.shape[0] - band.extent)


def _scan(
  block: Callable[..., Any], band: Band, carry: Any, side: Any
) -> tuple[Any, Any]:
  """Scan (carry, i, rows) → (carry, results) over the blocks of a band."""
  rows = _cut(side, band.start, band.size * band.blocks)
  if band.blocks == 1:
    return block(carry, 0, rows)  # type: ignore[no-any-return]

  def split(x: jax.Array) -> jax.Array:
    axis = _axis(x)
    shape = (*x.shape[:axis], band.blocks, band.size, *x.shape[axis + 1 :])
    return jnp.moveaxis(x.reshape(shape), axis, 0)

  def join(x: jax.Array) -> jax.Array:
    return jnp.moveaxis(x, 0, 1).reshape(x.shape[1], -1, *x.shape[3:])

  blocks = (jnp.arange(band.blocks), jax.tree.map(split, rows))
  carry, results = jax.lax.scan(lambda carry, x: block(carry, *x), carry, blocks)
  return carry, jax.tree.map(join, results)


def _axis(x: jax.Array) -> int:
  """Return the axis of rows: the second, after the heads; positions have no heads."""
  return 1 if x.ndim > 1 else 0


def _cut(tree: Any, start: Any, size: int) -> Any:
  """Return rows start to start + size of every array."""
  cut = jax.lax.dynamic_slice_in_dim
  return jax.tree.map(lambda x: cut(x, start, size, _axis(x)), tree)


def _join(parts: list[Any]) -> Any:
  """Concatenate the rows of all results."""
  return jax.tree.map(lambda *xs: jnp.concatenate(xs, axis=1), *parts)


def _pad(tree: Any, cut: list[Band]) -> Any:
  """Pad the rows to the end of the last band; added rows are masked."""
  end = cut[-1].start + cut[-1].size * cut[-1].blocks

  def pad(x: jax.Array) -> jax.Array:
    widths = [(0, 0)] * x.ndim
    widths[_axis(x)] = (0, end - x.shape[_axis(x)])
    return jnp.pad(x, widths, constant_values=-1 if x.dtype == jnp.int32 else 0)

  return jax.tree.map(pad, tree)
