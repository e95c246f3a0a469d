"""Optimizers and schedules are optax's, with the options their names promise."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from attention_lab.errors import UserError
from attention_lab.optimizer import (
  depends_on_steps,
  make_optimizer,
  make_schedule,
  matrices,
  optimizers,
  schedules,
)

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
}


def steps(spec, count=3, clip_norm=0.0):
  """Parameters after some steps."""
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


def test_the_schedules_have_their_shapes():
  assert make_schedule("constant", 2.0, 100)(77) == 2.0
  warm = make_schedule("warmup(warmup_steps=10)", 2.0, 100)
  assert 0 < warm(0) < warm(5) < warm(10) == warm(99) == 2.0
  cosine = make_schedule("cosine(warmup=0.1, final=0.25)", 2.0, 100)
  assert 0 < cosine(0) < cosine(9) < cosine(10) == 2.0
  assert cosine(100) == pytest.approx(0.5)
  assert cosine(55) == pytest.approx((2.0 + 0.5) / 2)


def test_noam_is_the_papers_formula():
  d_model, warmup = 512, 4000
  peak = (d_model * warmup) ** -0.5
  rate = make_schedule("noam", peak, 100_000)
  for step in (1, 100, 4000, 90_000):
    expected = d_model**-0.5 * min(step**-0.5, step * warmup**-1.5)
    assert float(rate(step - 1)) == pytest.approx(expected, rel=1e-5)


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


def test_which_schedules_depend_on_the_length_of_the_run():
  assert {name for name in schedules if depends_on_steps(name)} == {"cosine"}


def test_a_warmup_of_more_than_the_run_is_refused():
  with pytest.raises(UserError, match="share of the steps"):
    make_schedule("cosine(warmup=100)", 1.0, 1000)


COSINE = "cosine(warmup=0.25)"


def test_a_continued_schedule_equals_the_first_one_and_keeps_its_last_rate():
  first = make_schedule(COSINE, 0.1, 20)
  longer = make_schedule(f"continued(of={COSINE!r}, at=20)", 0.1, 40)
  rates = [float(longer(i)) for i in range(40)]
  np.testing.assert_allclose(rates[:20], [float(first(i)) for i in range(20)])
  np.testing.assert_allclose(rates[20:], 0.1 * 0.1, rtol=1e-6)


def test_a_continued_schedule_may_decay_again():
  spec = f"continued(of={COSINE!r}, at=20, then='cosine(final=0)', rate=0.5)"
  longer = make_schedule(spec, 0.1, 40)
  decay = make_schedule("cosine(final=0)", 0.05, 20)
  rates = [float(longer(i)) for i in range(20, 40)]
  np.testing.assert_allclose(rates, [float(decay(i)) for i in range(20)])


def test_only_what_follows_makes_a_continued_schedule_depend_on_the_steps():
  assert not depends_on_steps(f"continued(of={COSINE!r}, at=20)")
  assert depends_on_steps(f"continued(of={COSINE!r}, at=20, then='cosine')")
