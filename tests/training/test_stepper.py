"""The stepper trains the same model on any number of devices, and resumes exactly."""

import jax
import numpy as np
import pytest

from attention_lab.experiment import assemble
from attention_lab.training.seeds import make_stepper
from attention_lab.training.window import Window
from tests.parts import tiny_config


def build(num_devices, **changes):
  """Build the stepper of a real model."""
  config = tiny_config(batch_size=16, model__num_layers=1, **changes)
  devices = jax.local_devices()[:num_devices]
  return make_stepper(assemble(config), devices, [config.seed], config.batch_size)


def losses(num_devices, **changes):
  """Return the first mean losses, the window and the stepper."""
  stepper, window = build(num_devices, **changes), Window.of()
  stepper.compile()
  while stepper.step < 4:
    window.extend(stepper.advance(4))
  return np.array(window.loss) / np.array(window.weight), window, stepper


def test_8_devices_with_2_examples_equal_1_with_16():
  one, _, stepper = losses(1)
  eight, _, other = losses(8)
  np.testing.assert_allclose(eight, one, rtol=1e-5)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5),
    stepper.state().params,
    other.state().params,
  )
  assert len(set(one)) == 4


def test_the_same_seed_on_as_many_devices_gives_the_same_bits():
  once, _, stepper = losses(2, model__dropout=0.1)
  again, _, other = losses(2, model__dropout=0.1)
  np.testing.assert_array_equal(once, again)
  jax.tree.map(np.testing.assert_array_equal, stepper.state(), other.state())
  another, _, _ = losses(2, model__dropout=0.1, seed=1)
  assert not np.array_equal(once, another)


def test_a_window_reports_weighted_means():
  loss, window, _ = losses(1)
  weights = np.array(window.weight)
  report = window.report()
  assert report["loss"] == pytest.approx((loss * weights).sum() / weights.sum())
  assert report["grad_norm"] > 0
  assert Window.of().loss == []


def test_extending_a_window_returns_the_mean_losses_of_the_new_steps():
  _, window, stepper = losses(1)
  (loss,) = window.extend(stepper.advance(5))
  assert loss == pytest.approx(window.loss[-1] / window.weight[-1])
  assert len(window.loss) == 5


def test_a_loaded_stepper_continues_bit_for_bit():
  _, _, stepper = losses(1)
  other = build(1)
  other.load(stepper.state(), 4)
  other.compile()
  assert other.step == 4
  first, second = (each.advance(5) for each in (stepper, other))
  jax.tree.map(np.testing.assert_array_equal, first, second)
  jax.tree.map(np.testing.assert_array_equal, stepper.state(), other.state())
