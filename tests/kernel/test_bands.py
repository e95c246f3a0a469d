"""Bands cover every pair that may meet, once, and skip most of the others."""

from hypothesis import example, given
from hypothesis import strategies as st

from attention_lab.kernel import bands as cutting
from attention_lab.kernel.bands import bands

lengths = st.integers(1, 90)
limits = st.none() | st.integers(0, 30)


def pairs(rows, others, cut):
  """Count how often each (row, other) is computed."""
  met = {}
  for band in cut:
    for i in range(band.blocks):
      first = min(max(band.first + i * band.step, 0), others - band.extent)
      for row in range(band.size):
        for other in range(first, first + band.extent):
          key = (band.start + i * band.size + row, other)
          met[key] = met.get(key, 0) + 1
  return {key: count for key, count in met.items() if key[0] < rows}


@given(lengths, lengths, limits, limits, st.integers(0, 30))
@example(90, 90, 2, 0, 0)  # A window slides.
@example(90, 90, 2, 0, 9)
@example(90, 5, 0, None, 0)  # More rows than others: the last ones meet none.
def test_every_pair_within_the_limits_is_computed_once(
  rows, others, before, after, prefix
):
  cutting_block, cutting.BLOCK = cutting.BLOCK, 4
  try:
    met = pairs(rows, others, bands(rows, others, before, after, prefix))
  finally:
    cutting.BLOCK = cutting_block
  assert set(met.values()) == {1}
  for row in range(rows):
    first = 0 if before is None else max(0, row - before)
    last = others if after is None else min(others, row + after + 1)
    assert all((row, other) in met for other in range(first, last))
    own = min(prefix, others) if row < prefix else 0
    assert all((row, other) in met for other in range(own))


def test_a_causal_triangle_costs_little_more_than_half():
  met = pairs(1024, 1024, bands(1024, 1024, None, 0))
  assert len(met) <= 0.57 * 1024**2


def test_a_prefix_costs_little_more_than_itself():
  met = pairs(1024, 1024, bands(1024, 1024, None, 0, 256))
  assert len(met) <= 0.57 * 1024**2 + 0.5 * 256**2


def test_a_short_window_costs_the_window():
  met = pairs(2048, 2048, bands(2048, 2048, 99, 0))
  assert len(met) <= 2048 * (99 + cutting.BLOCK)


def test_few_different_extents_are_compiled():
  for length in (1, 100, 1000, 1025, 16_384, 100_000):
    assert len(list(bands(length, length, None, 0))) <= cutting.GROUPS
