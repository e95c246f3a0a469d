"""Normalisations equal their formulas, in any precision, and reach the model."""

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention_lab.errors import UserError
from attention_lab.experiment import assemble
from attention_lab.norm.base.norm import norms
from attention_lab.norm.layer_norm import LayerNorm
from attention_lab.norm.rms_norm import RMSNorm
from tests.parts import fill, tiny_config


@pytest.mark.parametrize("offset", [True, False])
def test_layer_norm_equals_haikus(in_float64, offset):
  rng = np.random.default_rng(0)
  x = jnp.asarray(rng.normal(3, 2, size=(2, 3, 7)))
  ours = hk.transform(lambda x: LayerNorm(offset=offset, name="norm")(x))
  theirs = hk.transform(lambda x: hk.LayerNorm(-1, True, offset, name="norm")(x))
  params = theirs.init(jax.random.key(0), x)
  shapes = jax.tree.map(jnp.shape, ours.init(jax.random.key(0), x))
  assert shapes == jax.tree.map(jnp.shape, params)
  params = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), params)

  def results(norm):
    value, pull = jax.vjp(lambda params, x: norm.apply(params, None, x), params, x)
    return value, pull(jnp.cos(value))

  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12),
    results(ours),
    results(theirs),
  )


def test_rms_norm_is_the_papers_formula(in_float64):
  x = np.random.default_rng(0).normal(3, 2, size=(2, 3, 7))
  norm = hk.transform(lambda x: RMSNorm(epsilon=0.5, name="norm")(x))
  scale = np.linspace(-1, 2, 7)
  y = norm.apply({"norm": {"scale": jnp.asarray(scale)}}, None, jnp.asarray(x))
  expected = x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + 0.5) * scale
  np.testing.assert_allclose(y, expected, rtol=1e-12)


@pytest.mark.parametrize("name", norms)
def test_norms_of_halves_compute_in_float32(name):
  x = jnp.asarray([[1000.0, 1001.0, 1002.0, 1003.0]], jnp.float16)  # x² overflows.
  norm = hk.transform(lambda x: norms[name](name="norm")(x))
  params = norm.init(None, x)
  y = norm.apply(params, None, x)
  assert (y.dtype, params["norm"]["scale"].dtype) == (jnp.float16, jnp.float32)
  wide = norm.apply(params, None, x.astype(jnp.float32))
  np.testing.assert_allclose(y, wide, rtol=2e-3)


@pytest.mark.parametrize("name", norms)
def test_the_gradient_at_zero_is_finite(name):
  """A token that attends to nothing has an output of zeros."""
  norm = hk.transform(lambda x: norms[name](name="norm")(x))
  zeros = jnp.zeros((1, 4))
  params = norm.init(None, zeros)
  _, pull = jax.vjp(lambda params, x: norm.apply(params, None, x), params, zeros)
  assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(pull(zeros + 1)))


def test_a_bias_of_a_norm_that_has_none_is_refused():
  config = tiny_config(model__norm_layer="rms_norm", model__norm_offset=True)
  with pytest.raises(UserError, match="'rms_norm' has no bias. Use one of: layer_norm"):
    assemble(config)


def test_an_option_of_a_norm_reaches_the_model():
  def logits(spec):
    experiment = assemble(tiny_config(model__norm_layer=spec, model__num_layers=1))
    params = fill(jax.eval_shape(lambda: experiment.init(0)))
    return experiment.model.apply(params, None, jnp.zeros((1, 3), jnp.int32), None)

  plain = logits("rms_norm")
  assert not np.allclose(plain, logits("rms_norm(epsilon=10.0)"))
  assert not np.allclose(plain, logits("layer_norm"))
