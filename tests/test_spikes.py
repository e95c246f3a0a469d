"""A loss that leaps is told from losses that vary."""

import math

import numpy as np

from attention_lab.spikes import DEVIATIONS, FEWEST, REMEMBERED, Spikes


def varying(count, seed=0):
  return list(2 + 0.1 * np.random.default_rng(seed).normal(size=count))


def test_what_varies_is_no_spike_and_what_leaps_is():
  spikes = Spikes()
  losses = [*varying(200), 3.0, *varying(50, seed=1)]
  (spike,) = spikes.of(1, losses)
  assert (spike.step, spike.loss) == (201, 3.0)
  before = losses[100:200]
  assert math.isclose(
    spike.bound, np.mean(before) + DEVIATIONS * np.std(before, ddof=1)
  )


def test_of_few_losses_none_is_a_spike():
  assert not list(Spikes().of(1, [*varying(FEWEST - 1), 99.0]))


def test_what_is_remembered_can_be_given_back():
  losses = [*varying(150), 4.0]
  whole = list(Spikes().of(1, losses))
  first = Spikes()
  assert not list(first.of(1, losses[:150]))
  assert len(first.recent) == REMEMBERED
  assert list(Spikes(list(first.recent)).of(151, losses[150:])) == whole
