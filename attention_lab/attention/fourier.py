"""The Fourier transform instead of attention (FNet: Lee-Thorp et al., arXiv:2105.03824)."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp

from attention_lab.attention.base.attention import Attention, register_attention
from attention_lab.errors import UserError
from attention_lab.kernel.mask import Mask


@register_attention("fourier")
@dataclasses.dataclass(kw_only=True)
class Fourier(Attention):
  """Re F_T(F_D(x)) / √(T D): the Fourier transform along the width, then the length.

  The paper leaves the root out and lets the LayerNorm behind mend it; in a pre-norm block
  nothing would.
  It has no parameters, no heads and no place for a rotation or a bias; order comes from
  the transform itself. Padding counts as zeros, yet it makes the sequence longer, and so
  its frequencies others.
  """

  honours: ClassVar[tuple[str, ...]] = ()
  kinds: ClassVar[tuple[str, ...]] = ("bidirectional",)

  def __call__(self, query: jax.Array, context: jax.Array, mask: Mask) -> jax.Array:
    mask.refuse_causal("fourier")
    if query.shape != context.shape:
      raise UserError("The attention 'fourier' mixes a sequence with itself alone.")
    real = (mask.context_positions >= 0)[:, :, None]
    x = jnp.where(real, context, 0).astype(jnp.promote_types(query.dtype, jnp.float32))
    return jnp.fft.fft2(x, axes=(1, 2), norm="ortho").real.astype(query.dtype)
