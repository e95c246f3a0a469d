"""Attentions train and decode as modules of Flax and Equinox."""

import importlib.util

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import attention_lab as al
from attention_lab.errors import UserError
from tests.parts import D_MODEL, HEADS, T, fill, inputs

SETTINGS = {"num_heads": HEADS, "causal": True}
OPTIMIZER = optax.adam(1e-2)


def expected(params, x):
  return al.functions("standard", d_model=D_MODEL, **SETTINGS).apply(params, x)


def refuse_missing(monkeypatch, name, package):
  """Require one line where a library is not installed."""
  monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
  message = rf"attention_lab\.(\w+)\.{name} needs \1: pip install \1, or the"
  with pytest.raises(UserError, match=message):
    getattr(package, name)
  assert dir(package) == package.__all__


def test_a_missing_library_is_named(monkeypatch):
  refuse_missing(monkeypatch, "LinenAttention", al.flax)
  refuse_missing(monkeypatch, "Attention", al.equinox)
  with pytest.raises(AttributeError, match="has no attribute 'Layer'"):
    _ = al.flax.Layer


def test_an_equinox_module_trains_and_decodes():
  eqx = pytest.importorskip("equinox")
  net = al.equinox.Attention(d_model=D_MODEL, key=jax.random.key(0), **SETTINGS)
  same = al.equinox.Attention(d_model=D_MODEL, key=jax.random.key(1), **SETTINGS)
  assert jax.tree.structure(net) == jax.tree.structure(same)

  @eqx.filter_jit
  def step(net, state, x):
    value, gradient = eqx.filter_value_and_grad(lambda net: (net(x) ** 2).mean())(net)
    updates, state = OPTIMIZER.update(gradient, state)
    return eqx.apply_updates(net, updates), state, value

  state, losses = OPTIMIZER.init(eqx.filter(net, eqx.is_array)), []
  for _ in range(3):
    net, state, value = step(net, state, inputs())
    losses.append(value)
  assert losses[0] > losses[1] > losses[2]
  y, _ = net.extend(net.initial_state(2, T), inputs())
  np.testing.assert_allclose(y, net(inputs()), rtol=2e-4, atol=2e-5)


def test_an_nnx_module_trains_and_decodes():
  nnx = pytest.importorskip("flax.nnx")
  net = al.flax.Attention(
    "standard(dropout=0.5)", d_model=D_MODEL, rngs=nnx.Rngs(0), **SETTINGS
  )
  dropped = net(inputs(), rngs=nnx.Rngs(1))
  assert np.abs(dropped - net(inputs())).max() > 0.01
  optimizer = nnx.Optimizer(net, OPTIMIZER, wrt=nnx.Param)

  @nnx.jit
  def step(net, optimizer, x):
    value, gradient = nnx.value_and_grad(lambda net: (net(x) ** 2).mean())(net)
    optimizer.update(net, gradient)
    return value

  losses = [step(net, optimizer, inputs()) for _ in range(3)]
  assert losses[0] > losses[1] > losses[2]
  y, _ = net.extend(net.initial_state(2, T), inputs())
  np.testing.assert_allclose(y, net(inputs()), rtol=2e-4, atol=2e-5)


def test_a_linen_module_has_the_parameters_of_functions_and_decodes():
  pytest.importorskip("flax.linen")
  f = al.functions("standard(dropout=0.5)", d_model=D_MODEL, **SETTINGS)
  net, x, key = al.flax.LinenAttention(f), inputs(), jax.random.key(0)
  shapes = jax.eval_shape(net.init, key, x)
  assert shapes == {"params": {"attention": jax.eval_shape(f.init, key, x)}}
  variables = fill(shapes)
  params = variables["params"]["attention"]

  @jax.jit
  def run(variables, x):
    dropped = net.apply(variables, x, rngs={"dropout": key})
    state = net.apply(variables, 2, T, method="initial_state")
    decoded, _ = net.apply(variables, state, x, method="extend")
    return net.apply(variables, x), decoded, dropped

  y, decoded, dropped = run(variables, x)
  np.testing.assert_allclose(y, expected(params, x), rtol=2e-4, atol=2e-5)
  np.testing.assert_allclose(decoded, y, rtol=2e-4, atol=2e-5)
  assert jnp.abs(dropped - y).max() > 0.01
