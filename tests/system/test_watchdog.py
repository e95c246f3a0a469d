"""The watchdog reports a step that takes long, and is silent otherwise."""

import threading

from attention_lab.system.watchdog import Watchdog

LONG = 600  # Seconds, which no test waits.


def test_long_step_is_reported_after_ever_longer_times():
  seconds, thrice = [], threading.Event()

  def report(passed):
    seconds.append(passed)
    if len(seconds) == 3:
      thrice.set()

  with Watchdog(report, first=0.001):
    assert thrice.wait(LONG)
  assert seconds[:3] == [0.001, 0.002, 0.004]


def test_endless_loop_is_reported_while_it_runs():
  ended = []
  with Watchdog(ended.append, first=0.001):
    while not ended:
      pass


def test_short_step_is_not_reported():
  reports = []
  with Watchdog(reports.append, first=LONG):
    pass
  assert not reports


def test_thread_ends_with_the_step():
  before = threading.active_count()
  with Watchdog(print, first=LONG):
    assert threading.active_count() == before + 1
  assert threading.active_count() == before
