"""A linear layer whose gradient XLA's CPU backend computes fast."""

from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp


class Linear(hk.Module):
  """y = x W (+ b), with parameters named as in `hk.Linear`.

  The values are those of `hk.Linear`; the gradient is the same formula, arranged.
  """

  def __init__(
    self,
    output_size: int,
    with_bias: bool,
    w_init: hk.initializers.Initializer | None,
    name: str,
  ):
    super().__init__(name=name)
    self._output_size = output_size
    self._with_bias = with_bias
    self._w_init = w_init or hk.initializers.VarianceScaling(1.0, "fan_in")

  def __call__(self, x: jax.Array) -> jax.Array:
    """Apply the layer: [..., D] → [..., output_size], of x's dtype."""
    return self.add_bias(matmul(x, self.weights(x.shape[-1], x.dtype)))

  def weights(self, input_size: int, dtype: Any) -> jax.Array:
    """Return the weight matrix [D, output_size], for multiplication by parts of it."""
    return hk.get_parameter(
      "w", (input_size, self._output_size), dtype, init=self._w_init
    )

  def bias(self, dtype: Any) -> jax.Array | None:
    """Return the bias [output_size], or None."""
    if not self._with_bias:
      return None
    return hk.get_parameter("b", (self._output_size,), dtype, init=jnp.zeros)

  def add_bias(self, y: jax.Array) -> jax.Array:
    """y + b, or y where there is no bias."""
    b = self.bias(y.dtype)
    return y if b is None else y + jnp.broadcast_to(b, y.shape)


@jax.custom_vjp
def matmul(x: jax.Array, w: jax.Array) -> jax.Array:
  """x W: [..., D], [D, E] → [..., E].

  On CPU, XLA fuses whatever produces the incoming gradient into both products of the
  backward pass, computing it twice and without the fast matrix product; a barrier keeps
  it out. The gradient of W is computed with its larger side leading, which is the faster
  orientation. Together they take a quarter off a small model's step
  (docs/measurements/training_step.md).
  """
  return x @ w


def _forward(
  x: jax.Array, w: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
  return x @ w, (x, w)


def _backward(
  saved: tuple[jax.Array, jax.Array], gradient: jax.Array
) -> tuple[jax.Array, jax.Array]:
  x, w = saved
  gradient = jax.lax.optimization_barrier(gradient)
  rows, flat = x.reshape(-1, x.shape[-1]), gradient.reshape(-1, gradient.shape[-1])
  dw = rows.T @ flat if w.shape[0] >= w.shape[1] else (flat.T @ rows).T
  return gradient @ w.T, dw


matmul.defvjp(_forward, _backward)
