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
  """The Fourier transform along the width, then along the length.

  It has no parameters and no heads, and supports neither rotations nor biases; the
  transform itself depends on the order. Padding counts as zeros, but it lengthens the
  sequence and thus changes the frequencies.

  Equation:
    Y = Re F_T(F_D(X)) / √(T D)

  Departures:
    - It is divided by √(T D). The paper omits the root, since a LayerNorm follows; in a
      pre-norm block none does.
  """

  default_position: ClassVar[str] = "learned"
  honours: ClassVar[tuple[str, ...]] = ()
  kinds: ClassVar[tuple[str, ...]] = ("bidirectional",)
  ignores_padding: ClassVar[bool] = False

  def __call__(self, query: jax.Array, context: jax.Array, mask: Mask) -> jax.Array:
    mask.refuse_causal("fourier")
    if query.shape != context.shape:
      raise UserError("The attention 'fourier' mixes a sequence with itself alone.")
    real = (mask.context_positions >= 0)[:, :, None]
    x = jnp.where(real, context, 0).astype(jnp.promote_types(query.dtype, jnp.float32))
    return jnp.fft.fft2(x, axes=(1, 2), norm="ortho").real.astype(query.dtype)
