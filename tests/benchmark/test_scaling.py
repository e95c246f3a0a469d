"""Exponents and crossovers, on costs that are known."""

import math

import pytest

from attention_lab.benchmark.scaling import crossover, exponent

LENGTHS = (128, 256, 512, 1024)
LINEAR = {n: 8e-6 * n for n in LENGTHS}
SQUARE = {n: 2e-8 * n * n for n in LENGTHS}  # Equal to LINEAR at 400.


def test_the_exponent_is_that_of_a_power():
  assert exponent(LINEAR) == pytest.approx(1)
  assert exponent(SQUARE) == pytest.approx(2)


def test_the_crossover_lies_where_two_powers_meet():
  assert crossover(SQUARE, LINEAR) == pytest.approx(400)


def test_who_is_dearer_at_the_longest_never_overtakes():
  assert crossover(LINEAR, SQUARE) is None
  assert crossover(LINEAR, LINEAR) is None


def test_who_is_always_cheaper_leads_from_the_shortest():
  assert crossover(SQUARE, {n: cost / 2 for n, cost in SQUARE.items()}) == 128


def test_lengths_that_one_of_them_lacks_do_not_count():
  few = {n: cost for n, cost in LINEAR.items() if n > 128}
  assert crossover(SQUARE, few) == pytest.approx(400)
  assert crossover(SQUARE, {}) is None
  assert math.isfinite(exponent({128: 0, 256: 0}))
