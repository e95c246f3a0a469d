"""Titles and leak checks of reports."""

import pytest

from attention_lab.compare.analysis.record import Row
from attention_lab.compare.report.texts import extent, leak_checks, title
from tests.compare.report.made_up import comparison, run

ROPE, ALIBI = {"position": "rope"}, {"position": "alibi"}
LINEAR = {"attention": "linear"}
RATE = "train.learning_rate"


def named(*rows):
  """Return a comparison on copy with rows of these names and settings."""
  made = [Row(name, settings, "", []) for name, settings in rows]
  return comparison(*made, seeds=1, dataset="copy(sequence_length=8)")


@pytest.mark.parametrize(
  ("rows", "expected"),
  [
    (
      [("standard, none", {}), ("standard, rope", ROPE), ("standard, alibi", ALIBI)],
      "standard against rope and alibi on copy",
    ),
    (
      [("standard", {}), ("linear(a=1, b=2)", {"attention": "linear(a=1, b=2)"})],
      "standard against linear(a=1, b=2) on copy",
    ),
    (
      [("standard, learning rate 0.001", {}), ("standard, fast", {RATE: 0.0003})],
      "standard, learning rate 0.001 against learning rate 0.0003 on copy",
    ),
    (
      [
        ("standard, copy(sequence_length=8)", {}),
        ("standard, selective_copy", {"dataset": "selective_copy"}),
        ("linear, copy(sequence_length=8)", LINEAR),
        ("linear, selective_copy", LINEAR | {"dataset": "selective_copy"}),
      ],
      "standard against linear on copy and selective_copy",
    ),
    (
      [("standard", {})] + [(f"row {i}", {"attention": f"{i}"}) for i in range(5)],
      "standard against 5 others on copy",
    ),
  ],
)
def test_title_names_baseline_others_and_datasets(rows, expected):
  assert title(named(*rows)) == expected


def test_title_leaves_out_sizes_from_matching():
  found = named(("standard", {}), ("linear", LINEAR))
  matched = Row("linear, d_ff 9", LINEAR | {"model.d_ff": 9}, "d_ff 9", [])
  found = found._replace(rows=[*found.rows, matched])
  assert title(found) == "standard against linear on copy"


def test_extent_uses_singular_and_plural():
  found = named(("standard", {}), ("linear", LINEAR))
  assert extent(found) == "2 rows, 1 seed per row, 100 steps per run."
  assert extent(found._replace(seeds=2, steps=1)) == (
    "2 rows, 2 seeds per row, 1 step per run."
  )


def test_leak_checks_are_counted():
  runs = [run(seed, 1.5) for seed in range(2)] + [run(2, 1.5, leak_check="not asked")]
  assert leak_checks(comparison(Row("standard", {}, "", runs))) == (
    "not applicable in 1 run, passed in 2 runs (predictions must not depend on later "
    "tokens)"
  )
  assert leak_checks(comparison(Row("standard", {}, "", []))) == "no run has finished"
