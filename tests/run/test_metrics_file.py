"""Proves that the file holds every record once, whatever cut the run short."""

import json

import pytest

from attention_lab.run import metrics_file
from attention_lab.run.metrics_file import MetricsFile


@pytest.fixture
def path(tmp_path):
  return tmp_path / "metrics.jsonl"


def records(path):
  return [json.loads(line) for line in path.read_text().splitlines()]


def steps(path):
  return [record["step"] for record in records(path)]


def write(path, *steps, copy=""):
  """Write records of steps; return the copy that a checkpoint would hold then."""
  file = MetricsFile(path, copy)
  for step in steps:
    file.write(step, "train", loss=1 / step)
  file.close()
  return file.copy()


def test_records_are_one_json_object_a_line_in_order(path):
  file = MetricsFile(path)
  file.write(1, "train", loss=2.5, accuracy=0.25)
  file.write(1, "event", event="a\nb")
  file.close()
  assert records(path) == [
    {"step": 1, "split": "train", "loss": 2.5, "accuracy": 0.25},
    {"step": 1, "split": "event", "event": "a\nb"},
  ]


def test_a_record_can_be_read_as_soon_as_it_is_written(path):
  file = MetricsFile(path)
  file.write(1, "train")
  assert steps(path) == [1]
  file.close()


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_number_that_is_not_finite_becomes_its_name(path, value):
  file = MetricsFile(path)
  file.write(1, "train", loss=float(value))
  file.close()
  assert records(path)[0]["loss"] == value


def test_a_run_that_goes_on_has_the_records_of_its_checkpoint_and_no_other(
  path, capsys
):
  copy = write(path, 1, 2)
  write(path, 3, 4, copy=copy)
  write(path, 3, 5, copy=copy)
  assert steps(path) == [1, 2, 3, 5]
  assert capsys.readouterr().err == ""


def test_going_on_twice_from_one_step_changes_nothing(path):
  copy = write(path, 1, 2, 3)
  before = path.read_bytes()
  assert write(path, copy=copy) == copy
  assert path.read_bytes() == before


@pytest.mark.parametrize(
  "tail",
  [b'{"step": 3, "spl', b"{}\n", b"null\n", b'{"step": "3"}\n', b"[1]\n", b"\0\0\xff"],
)
def test_what_comes_after_the_checkpoint_goes_whatever_it_is(path, tail, capsys):
  copy = write(path, 1, 2)
  with path.open("ab") as file:
    file.write(tail)
  write(path, 3, copy=copy)
  assert steps(path) == [1, 2, 3]
  assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("left", "lost"), [(-2, 1), (9, 3), (0, 3), (None, 3)])
def test_what_was_cut_from_the_file_comes_back_and_is_told(path, left, lost, capsys):
  copy = write(path, 1, 2, 3)
  before = path.read_bytes()
  path.unlink() if left is None else path.write_bytes(before[:left])
  write(path, copy=copy)
  assert path.read_bytes() == before
  told = f"warning: {path} lacks {lost} of its records; they are taken from the"
  assert capsys.readouterr().err.startswith(told)


def test_a_separator_within_a_string_ends_no_record(path, capsys):
  copy = write(path, 1, 2)
  text = '{"step": 1, "text": "a\u2028b\x85c"}\r\n{"step": 2}\n'
  path.write_bytes(text.encode())
  assert [record["step"] for record in metrics_file.records(path)] == [1, 2]
  write(path, copy=copy)
  assert capsys.readouterr().err == ""


def test_an_empty_file_is_a_new_journal(path):
  path.touch()
  write(path, 1)
  assert steps(path) == [1]
