"""Batches are made ahead, and the time that is waited for them is told."""

import threading

import numpy as np
import pytest

from attention_lab.training.prefetch import Ahead


class Maker:
  """Remembers what it made, and on which thread."""

  def __init__(self):
    self.made, self.threads = [], []

  def __call__(self, step, count):
    self.made.append((step, count))
    self.threads.append(threading.current_thread())
    return np.arange(step, step + count)


def test_what_was_foreseen_was_made_on_another_thread():
  make = Maker()
  ahead = Ahead(make)
  ahead.foresee(4, 3)
  np.testing.assert_array_equal(ahead.take(4, 3), [4, 5, 6])
  assert make.made == [(4, 3)]
  assert make.threads[0] is not threading.main_thread()


@pytest.mark.parametrize(("step", "count"), [(5, 3), (4, 4)])
def test_what_was_not_foreseen_is_made_now(step, count):
  make = Maker()
  ahead = Ahead(make)
  ahead.foresee(4, 3)
  np.testing.assert_array_equal(ahead.take(step, count), range(step, step + count))
  assert make.made[-1] == (step, count)


def test_fewer_than_foreseen_are_taken_from_the_same():
  make = Maker()
  ahead = Ahead(make)
  ahead.foresee(4, 3)
  assert len(ahead.take(4, 2)) == 3
  assert make.made == [(4, 3)]


def test_a_failure_on_the_thread_is_raised_where_it_is_taken():
  def fail(step, count):
    raise OSError("the disk is gone")

  ahead = Ahead(fail)
  ahead.foresee(0, 1)
  with pytest.raises(OSError, match="the disk is gone"):
    ahead.take(0, 1)


def test_waiting_is_measured():
  started, go = threading.Event(), threading.Event()

  def slow(step, count):
    started.set()
    go.wait(10)
    return step

  ahead = Ahead(slow)
  ahead.foresee(0, 1)
  started.wait(10)
  threading.Timer(0.05, go.set).start()
  assert ahead.take(0, 1) == 0
  assert ahead.waited >= 0.04
