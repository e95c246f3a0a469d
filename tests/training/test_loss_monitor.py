"""The loss monitor reports each spike once, and survives a checkpoint."""

import dataclasses
import json

import numpy as np

from attention_lab.training.loss_monitor import WARMUP, LossMonitor


def noise(count=400, level=2.0, sigma=0.05, seed=0):
  return (level + sigma * np.random.default_rng(seed).normal(size=count)).tolist()


def spikes(losses, monitor=None):
  """Return the steps at which a spike begins."""
  monitor = monitor or LossMonitor()
  return [step for step, loss in enumerate(losses) if monitor.observe(loss)]


def test_noise_and_a_falling_loss_have_no_spikes():
  assert spikes(noise()) == []
  assert spikes([5 * 0.99**i + x for i, x in enumerate(noise())]) == []


def test_two_jumps_close_together_are_reported_once_each():
  losses = noise()
  losses[200:203] = [3.0, 4.0, 3.5]
  losses[210] = 3.0
  assert spikes(losses) == [200, 210]


def test_a_jump_below_the_margin_is_not_a_spike():
  losses = noise(sigma=1e-6)
  losses[200], losses[300] = 2.05, 2.2
  assert spikes(losses) == [300]


def test_no_spike_is_reported_during_warmup():
  losses = noise()
  losses[WARMUP - 1] = 50.0
  assert spikes(losses[:WARMUP]) == []


def test_a_lasting_rise_is_reported_once_and_ends():
  monitor = LossMonitor()
  assert spikes(noise() + noise(level=2.5, count=600), monitor) == [400]
  assert not monitor.spiking


def test_a_restored_monitor_reports_the_same_spikes():
  losses = noise()
  losses[150:300:30] = [4.0] * 5
  whole, first = LossMonitor(), LossMonitor()
  expected = spikes(losses, whole)
  spikes(losses[:170], first)
  again = LossMonitor(**json.loads(json.dumps(dataclasses.asdict(first))))
  assert [170 + i for i in spikes(losses[170:], again)] == expected[1:]
  assert again == whole
