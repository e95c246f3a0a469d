"""Nyströmformer: softmax attention by way of landmarks (Xiong et al., arXiv:2102.03902)."""

import dataclasses
from typing import ClassVar

import haiku as hk
import jax
import jax.numpy as jnp

from attention_lab.attention.base.attention import register_attention
from attention_lab.attention.base.multi_head import MultiHead
from attention_lab.errors import UserError
from attention_lab.kernel.mask import Mask
from attention_lab.kernel.weights import products, softmax


@register_attention("nystrom")
@dataclasses.dataclass(kw_only=True)
class Nystrom(MultiHead):
  """Softmax attention by way of a few landmarks Q̃ and K̃; Z is a pseudo-inverse.

  Fewer tokens than landmarks are landmarks each; then the product is softmax attention,
  as far as the iterations have gone. A query's output depends on the other queries, so
  another sequence's decoder could not use it. d is the size of a head.

  Equation:
    Y = softmax(Q K̃ᵀ / √d) Z softmax(Q̃ Kᵀ / √d) V + conv(V)
    Z ≈ A^+,  A = softmax(Q̃ K̃ᵀ / √d)

  Departures:
    - The landmarks are means over segments of the tokens that are no padding.
    - The pseudo-inverse of each matrix has a start of its own.
  """

  undecayed: ClassVar[tuple[str, ...]] = ("filters",)

  landmarks: int = 32  # Segments of the sequence.
  # Towards the pseudo-inverse. After 20 or more, float32's rounding grows where A is
  # nearly singular.
  iterations: int = 6
  convolution: int = 35  # Tokens of the depthwise convolution of the values; 0: none.

  honours: ClassVar[tuple[str, ...]] = ("rotate", "rotate_keys")
  kinds: ClassVar[tuple[str, ...]] = ("bidirectional",)
  linear_time: ClassVar[bool] = True
  separates_documents: ClassVar[bool] = False

  def attend(self, q: jax.Array, k: jax.Array, v: jax.Array, mask: Mask) -> jax.Array:
    mask.refuse_causal("nystrom")
    self._refuse_options()
    q_real, k_real = mask.query_positions >= 0, mask.context_positions >= 0
    q_marks, q_used = segment_means(q, q_real, self.landmarks)
    k_marks, k_used = segment_means(k, k_real, self.landmarks)
    to_marks = self._softmax(q, k_marks, k_used)  # [B, N, T, M]
    between = self._softmax(q_marks, k_marks, k_used) * q_used[:, None, :, None]
    from_marks = self._softmax(q_marks, k, k_real)  # [B, N, M, S]
    wide = jnp.where(k_real[:, :, None, None], v, 0).astype(between.dtype)
    y = jnp.einsum("BNMS,BSNV->BNMV", from_marks, wide)
    y = pseudo_inverse(between, self.iterations) @ y
    y = jnp.einsum("BNTM,BNMV->BTNV", to_marks, y)
    if not self.convolution:
      return y
    if mask.aligned:
      return y + self._convolved(wide)
    return y + self._convolved_among(wide, k_real)

  def _softmax(self, q: jax.Array, k: jax.Array, allowed: jax.Array) -> jax.Array:
    """Return weights: [B, T, N, K], [B, S, N, K], [B, S] bool → [B, N, T, S]."""
    scores = products(q, k) * self.score_scale
    return softmax(scores, allowed[:, None, None])

  def _convolved_among(self, v: jax.Array, real: jax.Array) -> jax.Array:
    """Convolve the tokens that are no padding as if they were side by side."""
    order = jnp.argsort(~real, axis=1, stable=True)[..., None, None]
    place = jnp.maximum(jnp.cumsum(real, axis=1) - 1, 0)[..., None, None]
    y = self._convolved(jnp.take_along_axis(v, order, axis=1))
    return jnp.take_along_axis(y, place, axis=1)

  def _convolved(self, v: jax.Array) -> jax.Array:
    """Apply each head's filter along the length: [B, S, N, V] → [B, S, N, V]."""
    init = hk.initializers.RandomNormal(self.convolution**-0.5)
    shape = (self.convolution, self.num_heads)
    filters = hk.get_parameter("filters", shape, v.dtype, init=init)
    before = self.convolution // 2
    around = ((0, 0), (before, self.convolution - 1 - before), (0, 0), (0, 0))
    padded, length = jnp.pad(v, around), v.shape[1]
    y = jnp.zeros_like(v)
    for i in range(self.convolution):
      y += filters[i, None, None, :, None].astype(v.dtype) * padded[:, i : i + length]
    return y

  def _refuse_options(self) -> None:
    for option, least in (("landmarks", 1), ("iterations", 0), ("convolution", 0)):
      if (value := getattr(self, option)) < least:
        raise UserError(f"nystrom({option}={value}): take {least} or more.")


def segment_means(
  x: jax.Array, real: jax.Array, count: int
) -> tuple[jax.Array, jax.Array]:
  """Return means over segments of about equal size, without padding.

  Args:
    x: [B, T, N, K].
    real: [B, T] bool.
    count: number of segments; at most one per token.

  Returns:
    [B, M, N, K], and [B, M] bool: whether the segment exists.
  """
  total = real.sum(axis=1, keepdims=True)
  used = jnp.minimum(total, count)
  rank = jnp.cumsum(real, axis=1) - 1
  segment = jnp.where(real, rank * used // jnp.maximum(total, 1), -1)
  among = segment[:, :, None] == jnp.arange(count)[None, None]  # [B, T, M]
  shares = among / jnp.maximum(among.sum(axis=1, keepdims=True), 1)
  x = jnp.where(real[:, :, None, None], x, 0)
  means = jnp.einsum("BTM,BTNK->BMNK", shares.astype(x.dtype), x)
  return means, jnp.arange(count)[None] < used


def pseudo_inverse(a: jax.Array, iterations: int) -> jax.Array:
  """Approximate the Moore-Penrose inverse of [..., M, M] by the paper's equation 11.

  Z ← ¼ Z (13 I - A Z (15 I - A Z (7 I - A Z))), from Z = Aᵀ / (‖A‖₁ ‖A‖∞). Rows and
  columns of zeros stay zero.
  """
  norms = _largest(jnp.abs(a).sum(axis=-2)) * _largest(jnp.abs(a).sum(axis=-1))
  start = jnp.swapaxes(a, -1, -2) / jnp.where(norms == 0, 1, norms)[..., None, None]
  one = jnp.broadcast_to(jnp.eye(a.shape[-1], dtype=a.dtype), a.shape)

  def step(z: jax.Array, _: None) -> tuple[jax.Array, None]:
    az = a @ z
    return 0.25 * z @ (13 * one - az @ (15 * one - az @ (7 * one - az))), None

  return jax.lax.scan(step, start, length=iterations)[0]


def _largest(x: jax.Array) -> jax.Array:
  """Return the maximum over the last axis; its gradient goes to one entry."""
  at = jnp.argmax(x, axis=-1, keepdims=True)
  return jnp.take_along_axis(x, at, axis=-1)[..., 0]
