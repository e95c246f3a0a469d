"""Linear layer and GELU have the values and gradients of plain formulas."""

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention_lab.nn.gelu import gelu
from attention_lab.nn.linear import Linear, matmul


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (7, 5, 4), (1, 1, 3, 3)])
def test_matmul_has_the_plain_gradient(in_float64, shape):
  *lead, d, e = shape
  rng = np.random.default_rng(0)
  x, w = jnp.asarray(rng.normal(size=(*lead, d))), jnp.asarray(rng.normal(size=(d, e)))

  def results(product):
    value, pull = jax.vjp(product, x, w)
    return value, *pull(jnp.cos(value))

  for ours, plain in zip(results(matmul), results(jnp.matmul), strict=True):
    np.testing.assert_allclose(ours, plain, rtol=1e-12)


def test_linear_equals_haikus(in_float64):
  x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 4)))
  ours = hk.transform(lambda x: Linear(5, True, None, "linear")(x))
  theirs = hk.transform(lambda x: hk.Linear(5, name="linear")(x))
  params = ours.init(jax.random.key(0), x)
  expected = theirs.init(jax.random.key(0), x)
  assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, expected)
  params["linear"]["b"] += 1.0
  np.testing.assert_allclose(
    ours.apply(params, None, x), theirs.apply(params, None, x), rtol=1e-12
  )


@pytest.mark.parametrize("bias", [True, False])
def test_linear_is_the_sum_of_its_matrixs_parts(in_float64, bias):
  x, y = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 4)))

  def whole(x, y):
    return Linear(5, bias, None, "linear")(jnp.concatenate([x, y], axis=-1))

  def parts(x, y):
    linear = Linear(5, bias, None, "linear")
    w = linear.weights(8, x.dtype)
    return matmul(x, w[:4]) + linear.add_bias(matmul(y, w[4:]))

  whole, parts = hk.transform(whole), hk.transform(parts)
  params = whole.init(jax.random.key(0), x, y)
  jax.tree.map(
    np.testing.assert_array_equal, params, parts.init(jax.random.key(0), x, y)
  )
  if bias:
    params["linear"]["b"] += 1.0
  np.testing.assert_allclose(
    parts.apply(params, None, x, y), whole.apply(params, None, x, y), rtol=1e-12
  )


def test_gelu_is_the_exact_one(in_float64):
  x = jnp.linspace(-6, 6, 101)
  exact = lambda x: jax.nn.gelu(x, approximate=False)  # noqa: E731
  np.testing.assert_allclose(gelu(x), exact(x), rtol=1e-10, atol=1e-14)
  ours, plain = (jax.vmap(jax.grad(f))(x) for f in (gelu, exact))
  np.testing.assert_allclose(ours, plain, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize(
  "function", [gelu, lambda x: matmul(x, jnp.ones((4, 4), x.dtype))]
)
def test_low_precision_stays(function):
  x = jnp.ones((2, 4), jnp.bfloat16)
  gradient = jax.grad(lambda x: function(x).sum().astype(jnp.float32))(x)
  assert function(x).dtype == gradient.dtype == jnp.bfloat16
