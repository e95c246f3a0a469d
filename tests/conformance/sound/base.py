"""The list of sound attentions, and what several of them share."""

import dataclasses

import jax
import jax.numpy as jnp

from attention_lab.attention.base.attention import Attention
from attention_lab.attention.base.recurrent import wide
from attention_lab.nn.linear import Linear

SOUND = []


def sound(cls):
  """Add an attention to SOUND."""
  attention = dataclasses.dataclass(kw_only=True)(cls)
  SOUND.append(attention)
  return attention


class Stepwise(Attention):
  """Base of recurrences: a pass is `extend` from the empty state.

  A subclass writes `inputs` and `step`, and `state`.
  """

  kinds = ("causal",)
  honours = ()
  linear_time = True
  constant_state = True

  def __call__(self, query, context, mask):
    state = self.initial_state(query.shape[0], query.shape[1], query.dtype)
    return self.extend(query, state, mask.query_positions)[0]

  def extend(self, query, state, positions):
    xs = [x.astype(wide(x.dtype)) for x in self.inputs(query)]
    xs = [jnp.moveaxis(x, 1, 0) for x in (*xs, positions >= 0)]

    def move(state, xs):
      *xs, real = xs
      new, y = self.step(state, *xs)
      keep = lambda new, old: jnp.where(over(real, new), new, old)  # noqa: E731
      return jax.tree.map(keep, new, state), y

    state, y = jax.lax.scan(move, state, xs)
    y = jnp.moveaxis(y, 0, 1).reshape(*query.shape[:2], -1).astype(query.dtype)
    return Linear(self.d_model, False, self.output_init, "output")(y), state

  def project(self, x, name, size=None):
    """Apply a linear layer: [B, T, D] → [B, T, size], by default N K."""
    size = self.num_heads * self.key_size if size is None else size
    return Linear(size, False, self.w_init, name)(x)


def over(real, x):
  """Return `real` [B] with as many axes as x [B, ...]."""
  return real.reshape(-1, *[1] * (x.ndim - 1))
