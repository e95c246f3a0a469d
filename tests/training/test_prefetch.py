"""Batches are prefetched on a thread, and the time spent waiting is measured."""

import threading

import numpy as np
import pytest

from attention_lab.training.prefetch import Prefetcher


class Maker:
  """Records its calls and their threads."""

  def __init__(self):
    self.made, self.threads = [], []

  def __call__(self, step, count):
    self.made.append((step, count))
    self.threads.append(threading.current_thread())
    return np.arange(step, step + count)


def test_prefetched_batches_are_made_on_another_thread():
  make = Maker()
  prefetcher = Prefetcher(make)
  prefetcher.prefetch(4, 3)
  np.testing.assert_array_equal(prefetcher.take(4, 3), [4, 5, 6])
  assert make.made == [(4, 3)]
  assert make.threads[0] is not threading.main_thread()


@pytest.mark.parametrize(("step", "count"), [(5, 3), (4, 4)])
def test_batches_that_were_not_prefetched_are_made_at_once(step, count):
  make = Maker()
  prefetcher = Prefetcher(make)
  prefetcher.prefetch(4, 3)
  np.testing.assert_array_equal(prefetcher.take(step, count), range(step, step + count))
  assert make.made[-1] == (step, count)


def test_a_call_of_fewer_steps_uses_the_prefetched_batches():
  make = Maker()
  prefetcher = Prefetcher(make)
  prefetcher.prefetch(4, 3)
  assert len(prefetcher.take(4, 2)) == 3
  assert make.made == [(4, 3)]


def test_an_exception_on_the_thread_is_raised_by_take():
  def fail(step, count):
    raise OSError("the disk is gone")

  prefetcher = Prefetcher(fail)
  prefetcher.prefetch(0, 1)
  with pytest.raises(OSError, match="the disk is gone"):
    prefetcher.take(0, 1)


def test_waiting_time_is_measured():
  started, go = threading.Event(), threading.Event()

  def slow(step, count):
    started.set()
    go.wait(10)
    return step

  prefetcher = Prefetcher(slow)
  prefetcher.prefetch(0, 1)
  started.wait(10)
  threading.Timer(0.05, go.set).start()
  assert prefetcher.take(0, 1) == 0
  assert prefetcher.waited >= 0.04
