"""A spike is a jump, told once; what is remembered survives being written as JSON."""

import dataclasses
import json

import numpy as np

from attention_lab.run.loss_monitor import SEEN, Health


def noise(count=400, level=2.0, sigma=0.05, seed=0):
  return (level + sigma * np.random.default_rng(seed).normal(size=count)).tolist()


def spikes(losses, health=None):
  """At which steps a spike begins."""
  health = health or Health()
  return [step for step, loss in enumerate(losses) if health.see(loss)]


def test_noise_and_a_falling_loss_are_no_spikes():
  assert spikes(noise()) == []
  assert spikes([5 * 0.99**i + x for i, x in enumerate(noise())]) == []


def test_a_jump_is_told_once_and_so_is_another_soon_after():
  losses = noise()
  losses[200:203] = [3.0, 4.0, 3.5]
  losses[210] = 3.0
  assert spikes(losses) == [200, 210]


def test_a_small_jump_of_a_loss_that_hardly_moves_is_none():
  losses = noise(sigma=1e-6)
  losses[200], losses[300] = 2.05, 2.2
  assert spikes(losses) == [300]


def test_the_first_steps_are_only_watched():
  losses = noise()
  losses[SEEN - 1] = 50.0
  assert spikes(losses[:SEEN]) == []


def test_a_loss_that_stays_higher_is_no_spike_for_ever():
  health = Health()
  assert spikes(noise() + noise(level=2.5, count=600), health) == [400]
  assert not health.spiking


def test_a_run_that_goes_on_sees_what_it_would_have_seen():
  losses = noise()
  losses[150:300:30] = [4.0] * 5
  whole, first = Health(), Health()
  expected = spikes(losses, whole)
  spikes(losses[:170], first)
  again = Health(**json.loads(json.dumps(dataclasses.asdict(first))))
  assert [170 + i for i in spikes(losses[170:], again)] == expected[1:]
  assert again == whole
