"""Optimizers are optax's, with the options that their names promise."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from attention_lab.errors import UserError
from attention_lab.optimizer.base.decay import matrices
from attention_lab.optimizer.base.optimizer import (
  make_optimizer,
  optimizers,
  register_optimizer,
)
from attention_lab.optimizer.muon import labels
from attention_lab.schedule.base.schedule import make_schedule

PARAMS = {
  "net/linear": {"w": jnp.ones((2, 3)), "b": jnp.ones(3)},
  "net/layers/layer/linear": {"w": jnp.ones((4, 2, 3)), "b": jnp.ones((4, 3))},
  "net/norm": {"scale": jnp.ones(3)},
}
GRADS = jax.tree.map(lambda x: jnp.cos(jnp.arange(x.size)).reshape(x.shape), PARAMS)
OPTIONS = {
  "adamw": ["b1=0.5", "b2=0.5", "eps=0.1", "weight_decay=0.5"],
  "adam": ["b1=0.5", "b2=0.5", "eps=0.1"],
  "sgd": ["momentum=0.5"],
  "lion": ["b1=0.9999", "b2=0.5", "weight_decay=0.5"],
  "muon": [
    *("beta=0.5", "nesterov=False", "ns_steps=1", "rms=1.0", "b1=0.5", "b2=0.5"),
    *("eps=0.1", "weight_decay=0.5"),
  ],
}


@functools.cache
def steps(spec, count=3, clip_norm=0.0):
  """Parameters after some steps; without compiled loops, which would cost a second."""
  with jax.disable_jit():
    return _steps(spec, count, clip_norm)


def _steps(spec, count, clip_norm):
  optimizer = make_optimizer(spec, optax.constant_schedule(0.1), clip_norm)
  params, opt_state = PARAMS, optimizer.init(PARAMS)
  for i in range(count):
    grads = jax.tree.map(lambda g, i=i: jnp.cos(5 * g + 2 * i), GRADS)
    updates, opt_state = optimizer.update(grads, opt_state, params)
    params = optax.apply_updates(params, updates)
  return params


def same(a, b):
  return all(map(np.array_equal, jax.tree.leaves(a), jax.tree.leaves(b)))


@pytest.mark.parametrize("name", optimizers)
def test_every_optimizer_moves_every_parameter(name):
  moved = jax.tree.map(lambda a, b: bool((a != b).any()), steps(name), PARAMS)
  assert all(jax.tree.leaves(moved))


@pytest.mark.parametrize(
  ("name", "option"), [(name, option) for name in OPTIONS for option in OPTIONS[name]]
)
def test_every_option_changes_something(name, option):
  assert not same(steps(f"{name}({option})"), steps(name))


def test_nesterov_changes_momentum():
  assert not same(steps("sgd(momentum=0.5, nesterov=True)"), steps("sgd(momentum=0.5)"))


@pytest.mark.parametrize("name", ["adamw", "lion"])
def test_decay_can_spare_all_but_matrices(name):
  some = steps(f"{name}(weight_decay=0.5, decay_all=False)")
  every, none = steps(f"{name}(weight_decay=0.5)"), steps(f"{name}(weight_decay=0.0)")
  for module, values in PARAMS.items():
    for key in values:
      expected = every if key == "w" else none
      np.testing.assert_array_equal(some[module][key], expected[module][key])


def test_matrices_are_told_from_stacked_biases():
  mask = matrices(PARAMS)
  assert mask["net/layers/layer/linear"] == {"w": True, "b": False}
  assert mask["net/linear"] == {"w": True, "b": False}
  assert mask["net/norm"] == {"scale": False}


def test_clipping_bounds_the_step():
  change = jax.tree.map(jnp.subtract, steps("sgd", 1, clip_norm=0.5), PARAMS)
  assert float(optax.tree.norm(change)) == pytest.approx(0.1 * 0.5, rel=1e-5)


def test_adam_and_noam_take_the_papers_steps():
  d_model, warmup = 512, 4000
  peak = (d_model * warmup) ** -0.5
  rate = make_schedule(f"noam(warmup_steps={warmup})", peak, 100_000)
  optimizer = make_optimizer("adam(b1=0.9, b2=0.98, eps=1e-9)", rate, 0.0)
  x, first, second = np.zeros((3, 3))
  params = jnp.zeros(3)
  opt_state = optimizer.init(params)
  for step in range(1, 6):  # arXiv:1412.6980, algorithm 1; arXiv:1706.03762, (3).
    gradient = np.array([0.5, -2e-9, 3.0]) * np.cos(step)
    first = 0.9 * first + (1 - 0.9) * gradient
    second = 0.98 * second + (1 - 0.98) * gradient**2
    scale = np.sqrt(second / (1 - 0.98**step)) + 1e-9
    now = d_model**-0.5 * min(step**-0.5, step * warmup**-1.5)
    x = x - now * first / (1 - 0.9**step) / scale
    updates, opt_state = optimizer.update(
      jnp.asarray(gradient, jnp.float32), opt_state, params
    )
    params = optax.apply_updates(params, updates)
  np.testing.assert_allclose(params, x, rtol=1e-4)


def orthogonalised(x):
  """Five Newton-Schulz iterations of Jordan (2024), from a matrix of Frobenius norm 1."""
  a, b, c = 3.4445, -4.7750, 2.0315
  wide = x.shape[0] <= x.shape[1]
  x = x if wide else x.T
  x = x / (np.linalg.norm(x) + 1e-8)
  for _ in range(5):
    square = x @ x.T
    x = a * x + (b * square + c * square @ square) @ x
  return x if wide else x.T


def test_muon_takes_the_papers_steps_on_hidden_matrices():
  spec = "muon(beta=0.9, nesterov=True, rms=0.2, weight_decay=0.1)"
  x, momentum = np.ones((2, 3)), np.zeros((2, 3))
  for i in range(3):
    gradient = np.cos(5 * np.asarray(GRADS["net/linear"]["w"], float) + 2 * i)
    momentum = 0.9 * momentum + 0.1 * gradient
    # optax corrects the bias of the mean, which the iteration's scale removes again.
    ahead = 0.9 * momentum / (1 - 0.9 ** (i + 2)) + 0.1 * gradient / (
      1 - 0.9 ** (i + 1)
    )
    x = x - 0.1 * (0.2 * np.sqrt(3) * orthogonalised(ahead) + 0.1 * x)
  np.testing.assert_allclose(steps(spec)["net/linear"]["w"], x, rtol=1e-4)


def test_muon_leaves_other_parameters_to_adamw():
  params = {
    "net/embedding": {"embeddings": jnp.ones((3, 4))},
    "net/logits": {"w": jnp.ones((2, 3)), "b": jnp.ones(3)},
    "net/layers/layer/linear": {"w": jnp.ones((4, 2, 3)), "b": jnp.ones((4, 3))},
    "net/layers/layer/convolution": {"w": jnp.ones((4, 2, 3))},
  }
  assert labels(params)["net/layers/layer/linear"] == {"w": "muon", "b": "adamw"}
  del params["net/layers/layer/linear"]
  assert set(jax.tree.leaves(labels(params))) == {"adamw"}


def test_muon_treats_stacked_layers_one_by_one():
  stacked = steps("muon")["net/layers/layer/linear"]["w"]
  gradients = GRADS["net/layers/layer/linear"]["w"]
  optimizer = make_optimizer("muon", optax.constant_schedule(0.1), 0.0)
  alone = {"net/linear": {"w": jnp.ones((2, 3))}}
  opt_state = optimizer.init(alone)
  for i in range(3):
    grads = {"net/linear": {"w": jnp.cos(5 * gradients[1] + 2 * i)}}
    updates, opt_state = optimizer.update(grads, opt_state, alone)
    alone = optax.apply_updates(alone, updates)
  np.testing.assert_allclose(stacked[1], alone["net/linear"]["w"], rtol=1e-5)


@pytest.mark.parametrize(
  ("spec", "message"),
  [
    ("adamw(b1=1.0)", "adamw(b1=1.0): take 0 or more and less than 1."),
    ("lion(weight_decay=-1)", "lion(weight_decay=-1): take 0 or more."),
    ("muon(ns_steps=0)", "muon(ns_steps=0): take 1 or more and less than 101."),
  ],
)
def test_an_option_out_of_its_range_is_refused(spec, message):
  with pytest.raises(UserError) as error:
    make_optimizer(spec, optax.constant_schedule(0.1), 0.0)
  assert str(error.value) == message


def test_a_plugin_that_returns_no_optimizer_is_refused(monkeypatch):
  monkeypatch.setattr(optimizers, "_parts", dict(optimizers._parts))
  register_optimizer("broken")(lambda learning_rate, how="none": {}[how] if how else 3)
  with pytest.raises(
    UserError, match=r"'broken\(how=\"\"\)' returns a int, not an optax"
  ):
    make_optimizer('broken(how="")', optax.constant_schedule(0.1), 0.0)
  with pytest.raises(UserError, match="The optimizer 'broken' fails: .*KeyError"):
    make_optimizer("broken", optax.constant_schedule(0.1), 0.0)
