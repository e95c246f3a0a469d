"""Proves that the journal holds every record once, whatever cut the run short."""

import json

import pytest

from attention_lab.journal import Journal


@pytest.fixture
def path(tmp_path):
  return tmp_path / "metrics.jsonl"


def records(path):
  return [json.loads(line) for line in path.read_text().splitlines()]


def steps(path):
  return [record["step"] for record in records(path)]


def write(path, *steps, start=0):
  journal = Journal(path, start)
  for step in steps:
    journal.write(step, "train", loss=1 / step)
  journal.close()


def test_records_are_one_json_object_a_line_in_order(path):
  journal = Journal(path, 0)
  journal.write(1, "train", loss=2.5, accuracy=0.25)
  journal.write(1, "event", event="a\nb")
  journal.close()
  assert records(path) == [
    {"step": 1, "split": "train", "loss": 2.5, "accuracy": 0.25},
    {"step": 1, "split": "event", "event": "a\nb"},
  ]


def test_a_record_can_be_read_as_soon_as_it_is_written(path):
  journal = Journal(path, 0)
  journal.write(1, "train")
  assert steps(path) == [1]
  journal.close()


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_number_that_is_not_finite_becomes_its_name(path, value):
  journal = Journal(path, 0)
  journal.write(1, "train", loss=float(value))
  journal.close()
  assert records(path)[0]["loss"] == value


def test_a_run_that_goes_on_keeps_what_it_will_not_write_again(path):
  write(path, 1, 2, 3, 4)
  write(path, 3, 5, start=2)
  assert steps(path) == [1, 2, 3, 5]


def test_going_on_twice_from_one_step_changes_nothing(path):
  write(path, 1, 2, 3)
  before = path.read_bytes()
  write(path, start=3)
  assert path.read_bytes() == before


@pytest.mark.parametrize(
  "tail", ['{"step": 3, "spl', "{}\n", "null\n", '{"step": "3"}\n', "[1]\n", "\0\0\0\0"]
)
def test_a_line_that_was_cut_is_dropped(path, tail):
  write(path, 1, 2)
  with path.open("a") as file:
    file.write(tail)
  write(path, 3, start=2)
  assert steps(path) == [1, 2, 3]


def test_bytes_that_are_no_text_are_dropped(path):
  write(path, 1, 2)
  with path.open("ab") as file:
    file.write(b'{"step": 3, "loss": \xff\xfe')
  write(path, 3, start=2)
  assert steps(path) == [1, 2, 3]


def test_an_empty_file_is_a_new_journal(path):
  path.touch()
  write(path, 1)
  assert steps(path) == [1]
