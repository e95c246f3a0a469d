"""dm-haiku's multi-head attention, as a reference (Vaswani et al., arXiv:1706.03762)."""

import dataclasses
from typing import Any, ClassVar

import haiku as hk
import jax

from attention_lab.attention.base.attention import Attention, register_attention
from attention_lab.kernel.mask import Mask


@register_attention("haiku")
@dataclasses.dataclass(kw_only=True)
class Haiku(Attention):
  """`hk.MultiHeadAttention`, which forms its keys and scores where no scheme can act.

  Equation:
    y_i = Σ_j softmax_j(q_i·k_j / √K) v_j
  """

  bias: bool = False  # Whether the linear layers add a bias.

  default_position: ClassVar[str] = "sinusoidal"
  honours: ClassVar[tuple[str, ...]] = ()
  separates_documents: ClassVar[bool] = True
  honours_prefix: ClassVar[bool] = True

  def __call__(self, query: jax.Array, context: jax.Array, mask: Mask) -> jax.Array:
    def init(shape: Any, dtype: Any) -> jax.Array:
      """Return the single initialiser that the library takes for all layers."""
      last = hk.experimental.current_name().endswith("/linear")
      chosen = self.output_init if last else self.w_init
      return (chosen or hk.initializers.VarianceScaling())(shape, dtype)

    attention = hk.MultiHeadAttention(
      self.num_heads,
      self.key_size,
      w_init=init,
      with_bias=self.bias,
      model_size=self.d_model,
      name="attention",
    )
    return attention(query, context, context, mask.dense())
