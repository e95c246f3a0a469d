"""Requirements of an attention on a rotation, verified by rotating numbers."""

from collections.abc import Callable

import haiku as hk
import jax
import jax.numpy as jnp

from attention_lab.attention.base.attention import Attention


def unmet_requirement(build: Callable[[], Attention]) -> str | None:
  """Return what the attention requires of a rotation and its scheme does not do.

  The rotation is computed, not only traced, which takes about 1 s and is done only if the
  attention requires something.

  Args:
    build: makes the attention inside a transform; its scheme rotates.
  """

  def required() -> tuple[bool, bool]:
    module = build()
    return module.turns_pairs, module.keeps_lengths

  turns_pairs, keeps_lengths = hk.transform(required).apply({}, None)
  if not turns_pairs and not keeps_lengths:
    return None
  transformed = hk.transform(lambda: _properties(build()))

  def computed() -> tuple[jax.Array, jax.Array]:
    key = jax.random.key(0)
    return transformed.apply(transformed.init(key), key)

  # A compiled program runs even where a caller is traced.
  pairs_turn, lengths_stay = jax.jit(computed).lower().compile()()
  if turns_pairs and not pairs_turn:
    return "a rotation of the pairs (x_f, x_{f+K/2}), as in rope"
  if keeps_lengths and not lengths_stay:
    return "a rotation that keeps the lengths of keys, as rope does"
  return None


def _properties(attention: Attention) -> tuple[jax.Array, jax.Array]:
  """Return whether pairs turn, each by its own angle, and whether lengths stay.

  The rotated pairs (1, 0) give the angle and scale of each rotation, with which all other
  pairs must agree.
  """
  halves = (2, 3, attention.num_heads, attention.key_size // 2)
  first, second = jax.random.normal(jax.random.key(0), (2, *halves))
  token_positions = jnp.array([[0, 1, 2], [3, 5, 11]], jnp.int32)
  token_positions = jnp.minimum(token_positions, attention.position.max_length - 1)
  ones, zeros = jnp.ones(halves), jnp.zeros(halves)
  rotate = attention.position.rotate_keys
  pairs = jnp.concatenate([ones, zeros], axis=-1)[:, :, :1]  # Heads rotate alike.
  cos, sin = jnp.split(rotate(pairs, token_positions), 2, axis=-1)
  expected = [first * cos - second * sin, second * cos + first * sin]
  before = jnp.concatenate([first, second], axis=-1)
  after = rotate(before, token_positions)
  lengths, lengths_before = ((x * x).sum(axis=-1) for x in (after, before))
  return (
    _close(after, jnp.concatenate(expected, axis=-1)),
    _close(lengths, lengths_before),
  )


def _close(actual: jax.Array, expected: jax.Array) -> jax.Array:
  return jnp.allclose(actual, expected, rtol=1e-4, atol=1e-5)
