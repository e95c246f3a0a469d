"""Equinox's multi-head attention, as a reference (Kidger & Garcia, arXiv:2111.00254)."""

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from attention_lab.attention.base.attention import Attention, register_attention
from attention_lab.errors import not_installed
from attention_lab.kernel.mask import Mask
from attention_lab.nn.linear import Linear

INPUTS = ("query", "key", "value")  # Its projections that come in.


@register_attention("equinox")
@dataclasses.dataclass(kw_only=True)
class Equinox(Attention):
  """`equinox.nn.MultiheadAttention`; its parameters live in Haiku's tree, as of `Linear`.

  It is imported only here. Rotations and biases find no way into its scores. It
  computes in float32 at least, because the module would round scores to the dtype of
  its inputs.

  Equation:
    y_i = Σ_j softmax_j(q_i·k_j / √K) v_j
  """

  default_position: ClassVar[str] = "sinusoidal"
  honours: ClassVar[tuple[str, ...]] = ()
  separates_documents: ClassVar[bool] = True
  honours_prefix: ClassVar[bool] = True

  def __call__(self, query: jax.Array, context: jax.Array, mask: Mask) -> jax.Array:
    eqx = _import()
    heads = self.num_heads * self.key_size
    wide = jnp.promote_types(query.dtype, jnp.float32)
    module = eqx.filter_eval_shape(
      eqx.nn.MultiheadAttention,
      self.num_heads,
      self.d_model,
      qk_size=self.key_size,
      vo_size=self.key_size,
      dtype=wide,
      key=jax.random.key(0),
    )

    def matrix(name: str, inputs: int, outputs: int, init: Any) -> jax.Array:
      return (
        Linear(outputs, False, init, name).weights(inputs, query.dtype).T.astype(wide)
      )

    module = eqx.tree_at(
      lambda m: [
        m.query_proj.weight,
        m.key_proj.weight,
        m.value_proj.weight,
        m.output_proj.weight,
      ],
      module,
      [
        *(matrix(name, self.d_model, heads, self.w_init) for name in INPUTS),
        matrix("output", heads, self.d_model, self.output_init),
      ],
    )
    x, source = query.astype(wide), context.astype(wide)
    y = jax.vmap(module)(x, source, source, mask.dense()[:, 0])
    return y.astype(query.dtype)


def _import() -> Any:
  try:
    import equinox
  except ImportError:
    raise not_installed("The attention 'equinox'", "equinox", "equinox") from None
  return equinox
