"""Counts of matrix products, against arithmetic."""

import jax
import jax.numpy as jnp
import pytest

from attention_lab.benchmark.flops import matmul_flops

X = jax.ShapeDtypeStruct((4, 8), jnp.float32)
W = jax.ShapeDtypeStruct((8, 8), jnp.float32)
ONE = 2 * 4 * 8 * 8


@jax.custom_vjp
def squared(x, w):
  return x @ w @ w


squared.defvjp(lambda x, w: (x @ w @ w, None), lambda _, g: (g, None))


@pytest.mark.parametrize(
  ("function", "products"),
  [
    (lambda x, w: x @ w, 1),
    (lambda x, w: jnp.sin(x) * 3, 0),
    (jax.jit(lambda x, w: (x @ w) @ w), 2),
    (lambda x, w: jax.lax.scan(lambda c, _: (c @ w, None), x, None, length=5)[0], 5),
    (lambda x, w: jax.lax.cond(x[0, 0] > 0, lambda: x @ w @ w, lambda: x), 2),
    (squared, 2),
    (jax.checkpoint(lambda x, w: x @ w), 1),
    (lambda x, w: jax.value_and_grad(lambda w: (x @ w).sum())(w), 2),
    (lambda x, w: jnp.einsum("TD,DE->ET", x, w), 1),
  ],
)
def test_the_count_is_that_of_arithmetic(function, products):
  assert matmul_flops(function, X, W) == products * ONE


def test_a_batch_of_products_counts_every_one():
  batch = jax.ShapeDtypeStruct((3, 4, 8), jnp.float32)
  assert matmul_flops(lambda x, w: jnp.einsum("BTD,DE->BTE", x, w), batch, W) == 3 * ONE
