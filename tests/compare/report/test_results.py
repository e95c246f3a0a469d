"""results.jsonl holds what other programs need of each run."""

import json

from attention_lab.compare.report.results import jsonl
from tests.compare.report import made_up

LENGTHS = {
  "16": {"loss": 1.5, "accuracy": 0.25},
  "64": {"loss": 2.5, "accuracy": 0.125},
}


def found(*runs):
  row = made_up.row("standard", [])._replace(runs=runs)
  return [json.loads(line) for line in jsonl(made_up.comparison(row)).splitlines()]


def test_metrics_at_other_lengths_are_there_for_every_seed():
  runs = [made_up.run(seed, 1.0, lengths=LENGTHS) for seed in range(2)]
  assert [each["lengths"] for each in found(*runs)] == [LENGTHS] * 2


def test_a_run_that_looks_ahead_has_none_at_other_lengths_either():
  (each,) = found(made_up.run(0, 1.0, lengths=LENGTHS, leak_check="skipped"))
  assert each["lengths"] == {}


def test_a_run_without_other_lengths_or_without_a_result_has_none():
  assert [x["lengths"] for x in found(made_up.run(0, 1.0), made_up.failed(1))] == [
    {},
    {},
  ]
