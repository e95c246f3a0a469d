"""Progress tells the number of the cell and the time that is left of all."""

import pytest

from attention_lab.compare import clock
from attention_lab.compare.launch import Job


class Ended(Job):
  """A job whose runs have finished."""

  done = True


@pytest.fixture
def now(monkeypatch):
  """Return a list whose item is the time."""
  time = [0.0]
  monkeypatch.setattr(clock.time, "monotonic", lambda: time[0])
  return time


def job(folder, *seeds):
  paths = [folder / f"seed{seed}" for seed in seeds]
  return Ended("row", seeds, paths, 10, (), folder / f"{seeds}.log")


def test_time_left_is_that_of_all_cells(tmp_path, now):
  counter = clock.Clock(total=18, done=2, at_once=2)
  first, second = job(tmp_path, 0), job(tmp_path, 1)
  assert counter.started(first) == "cell 3 of 18"
  assert counter.started(second) == "cell 4 of 18"
  assert counter.left([first, second]) == ""
  now[0] = 20.0
  counter.ended(first)
  # 14 cells that have not begun, of 20 s each, two at a time.
  assert counter.left([second]) == "about 2:20 left"


def test_before_a_cell_has_finished_its_steps_tell_the_time(tmp_path, now):
  counter, running = clock.Clock(total=3, done=0, at_once=1), job(tmp_path, 0)
  counter.started(running)
  running.cells[0].mkdir()
  metrics = running.cells[0] / "metrics.jsonl"
  metrics.write_text('{"step": 5, "split": "train", "loss": 1.0}\n')
  now[0] = 60.0
  assert counter.left([running]) == "about 5:00 left"


def test_seeds_in_one_program_are_counted_as_cells(tmp_path, now):
  counter, running = clock.Clock(total=6, done=0, at_once=1), job(tmp_path, 0, 1, 2)
  assert counter.started(running) == "cells 1 to 3 of 6"
  now[0] = 30.0
  counter.ended(running)
  assert counter.left([]) == "about 0:30 left"


@pytest.mark.parametrize(
  ("seconds", "text"), [(125.2, "2:05"), (3722, "1:02:02"), (0.4, "0:00")]
)
def test_durations(seconds, text):
  assert clock.duration(seconds) == text
