"""Sound attentions that refuse some sizes or lengths."""

import haiku as hk
import jax
import jax.numpy as jnp

from attention_lab.attention.base.recurrent import wide
from attention_lab.attention.base.weighted import Weighted
from attention_lab.errors import UserError
from attention_lab.kernel.weights import softmax
from tests.conformance.sound.base import sound


@sound
class NeedsEvenHeads(Weighted):
  """Swaps the halves of its values, which needs an even size."""

  def attend(self, q, k, v, mask):
    if self.key_size % 2:
      raise UserError(f"key_size={self.key_size}: take an even number.")
    return super().attend(q, k, jnp.roll(v, self.key_size // 2, axis=-1), mask)


@sound
class NeedsMultiplesOf8(Weighted):
  """Normalises groups of 8 channels of its outputs."""

  def attend(self, q, k, v, mask):
    if self.key_size % 8:
      raise UserError(f"key_size={self.key_size}: take a multiple of 8.")
    y = super().attend(q, k, v, mask)
    groups = y.reshape(*y.shape[:-1], -1, 8).astype(wide(y.dtype))
    square = (groups * groups).mean(axis=-1, keepdims=True)
    return (groups * jax.lax.rsqrt(square + 1e-3)).reshape(y.shape).astype(y.dtype)


@sound
class NeedsTwoHeads(Weighted):
  """Subtracts half of each head's weights from those of its neighbour."""

  def weights(self, scores, allowed):
    if self.num_heads < 2:
      raise UserError(f"num_heads={self.num_heads}: take at least 2.")
    weights = softmax(scores, allowed)
    return weights - 0.5 * jnp.roll(weights, 1, axis=1)


@sound
class HasTable(Weighted):
  """Adds learned embeddings of positions to its queries, up to a longest sequence."""

  relative = False
  longest: int = 256

  def attend(self, q, k, v, mask):
    if max(q.shape[1], k.shape[1]) > self.longest:
      raise UserError(f"Take at most {self.longest} tokens, or a larger longest=.")
    shape = (self.longest, *q.shape[2:])
    init = hk.initializers.RandomNormal(0.5)
    table = hk.get_parameter("table", shape, q.dtype, init=init)
    return super().attend(q + table[mask.query_positions], k, v, mask)
