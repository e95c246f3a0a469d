"""The table of a metric by sequence length and part of the validation split."""

from attention_lab.training.part_table import lengths_of, part_table


def test_rows_are_lengths_and_columns_are_parts_as_means_over_seeds():
  seeds = [
    lengths_of(
      64,
      {"loss": 1.0, "accuracy/a": 0.1, "sequence_accuracy/a": first},
      {"32": {"sequence_accuracy/a": 0.25, "sequence_accuracy/b": 1.0}},
    )
    for first in (0.5, 1.0)
  ]
  assert [line.split() for line in part_table(seeds)] == [
    ["fully", "correct", "answers", "(%)", "a", "b"],
    ["32", "tokens", "25.0", "100.0"],
    ["64", "tokens", "75.0", "nan"],
  ]


def test_single_tokens_are_shown_if_no_answers_were_counted():
  (head, row) = part_table([{8: {"accuracy/x": 0.5}}])
  assert head.split() == ["accuracy", "(%)", "x"]
  assert row.split() == ["8", "tokens", "50.0"]


def test_there_is_no_table_without_parts():
  assert part_table([lengths_of(8, {"loss": 1.0, "accuracy": 0.5}, {})]) == []
  assert part_table([lengths_of(8, {}, {})]) == []
