"""A tiny run with a fault at a chosen place, and its expected outcome."""

import signal
import time

from tests.faults import faults, processes

STEPS = 24
STARTED = 12  # Steps of a run before most faults.


class Scene:
  """A run in its own folder, and its expected outcome.

  Args:
    folder: folder to be created.
    expected: the `processes.outcome` of an undisturbed run.
  """

  def __init__(self, folder, expected):
    folder.mkdir()
    self.workdir = folder / "run"
    self.expected = expected

  def run(self, inject=lambda: None, words=()):
    """Run a process until it ends, and return its result."""
    ended = processes.run(self.workdir, STEPS, inject, words=words)
    assert "Traceback" not in ended.err, ended.err
    return ended

  def begin(self, words=()):
    """Run until a signal in the middle; the run has several checkpoints then."""
    ended = self.run(faults.signalled("step", signal.SIGTERM, 1), words)
    assert ended.status == 128 + signal.SIGTERM, ended
    assert processes.saved_step(self.workdir) > STARTED
    assert len(processes.checkpoints(self.workdir)) > 1

  def resume(self, err="", inject=lambda: None):
    """Resume the run to its end, and assert its outcome.

    Args:
      err: text expected on standard error; "" if nothing may be printed there.
      inject: injects a fault that the run has to survive.
    """
    saved = processes.saved_step(self.workdir)
    ended = self.run(inject)
    assert ended.status == 0, ended
    assert (err in ended.err) if err else not ended.err, ended.err
    assert not saved or f"Resuming at step {saved} in" in ended.out, ended.out
    assert processes.outcome(self.workdir) == self.expected
    assert not list(self.workdir.rglob("*.partial"))

  def assert_rejected(self, ended, *fragments):
    """Assert that a process ended with status 2 and one line with these fragments."""
    assert ended.status == 2, ended
    assert ended.err.count("error: ") == ended.err.count("\n") == 1, ended.err
    assert all(fragment in ended.err for fragment in fragments), ended.err


def wait_for_step(scene):
  """Wait until a process that was started has logged step `STARTED`."""
  until = time.monotonic() + processes.TIMEOUT
  while processes.reached_step(scene.workdir) < STARTED:
    assert time.monotonic() < until
    time.sleep(0.02)
