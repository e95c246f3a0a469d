"""The trainer trains the same model on any number of devices."""

import jax
import numpy as np
import pytest

from attention_lab.experiment import assemble
from attention_lab.training.stepper import Trainer
from tests.parts import tiny_config


def losses(num_devices, **changes):
  """The first losses of a real model, and its trainer."""
  config = tiny_config(batch_size=16, model__num_layers=1, **changes)
  trainer = Trainer(assemble(config), config, jax.local_devices()[:num_devices])
  trainer.compile()
  while trainer.step < 4:
    trainer.advance(4)
  window = trainer.windows[0]
  return np.array(window.loss) / np.array(window.weight), trainer


def test_8_devices_with_2_examples_equal_1_with_16():
  one, trainer = losses(1)
  eight, other = losses(8)
  np.testing.assert_allclose(eight, one, rtol=1e-5)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5),
    trainer.states()[0].params,
    other.states()[0].params,
  )
  assert len(set(one)) == 4


def test_the_same_seed_on_as_many_devices_gives_the_same_bits():
  once, trainer = losses(2, model__dropout=0.1)
  again, other = losses(2, model__dropout=0.1)
  np.testing.assert_array_equal(once, again)
  jax.tree.map(np.testing.assert_array_equal, trainer.states(), other.states())
  another, _ = losses(2, model__dropout=0.1, seed=1)
  assert not np.array_equal(once, another)


def test_reports_are_means_over_their_window():
  loss, trainer = losses(1)
  weights = np.array(trainer.windows[0].weight)
  (report,) = trainer.take_reports()
  assert report["loss"] == pytest.approx((loss * weights).sum() / weights.sum())
  assert report["grad_norm"] > 0
  assert trainer.windows[0].loss == []


def test_a_trainer_goes_on_from_a_state():
  _, trainer = losses(1)
  config = tiny_config(batch_size=16, model__num_layers=1)
  other = Trainer(assemble(config), config, jax.local_devices()[:1])
  other.load(trainer.states(), trainer.windows)
  other.compile()
  assert other.step == 4
  for one in (trainer, other):
    one.advance(5)
  jax.tree.map(np.testing.assert_array_equal, trainer.states(), other.states())
  assert trainer.windows == other.windows
