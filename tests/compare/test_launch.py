"""Jobs run once each, one failure does not stop the others, and signals are passed on."""

import fcntl
import os
import signal
import sys
import threading

import pytest

from attention_lab import config as configs
from attention_lab.compare import cells, cluster, launch

FINISH = """
import json, os, pathlib
os.makedirs({0!r})
pathlib.Path({0!r}, 'summary.json').write_text(json.dumps(dict(steps=4)))
"""


class Recording:
  """Listener that records the starts and ends of jobs."""

  def __init__(self):
    self.events = []

  def started(self, job):
    self.events.append(("started", job.row))

  def ended(self, job):
    self.events.append(("ended", job.row))

  def tick(self, running):
    pass


def job(folder, row, code):
  cell = folder / row / "seed0"
  command = [sys.executable, "-c", code.format(str(cell))]
  return launch.Job(row, (0,), (cell,), 4, command, cell.with_name("seed0.log"))


@pytest.fixture(params=["local", "cluster"])
def run(request, tmp_path):
  """Return a function that runs jobs as local processes or through submitit."""
  if request.param == "local":
    return lambda jobs, listener: launch.run_locally(jobs, 2, listener)
  pytest.importorskip("submitit")
  slurm = configs.get_config().compare.slurm
  return lambda jobs, listener: cluster.run_on_slurm(
    jobs, tmp_path, slurm, listener, "debug"
  )


# submitit's debug executor leaves its logs open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_failure_is_recorded_and_does_not_stop_other_jobs(tmp_path, run):
  jobs = [
    job(tmp_path, "bad", "print('error: begins'); raise ValueError('no ' + 'luck')"),
    job(tmp_path, "good", FINISH),
  ]
  listener = Recording()
  assert run(jobs, listener) is None
  assert cells.failure(jobs[0].cells[0]) == "ValueError: no luck"
  assert cells.failure(jobs[1].cells[0]) == ""
  assert [job.done for job in jobs] == [False, True]
  assert sorted(listener.events) == [
    (event, row) for event in ("ended", "started") for row in ("bad", "good")
  ]


TERM = signal.SIGTERM


@pytest.mark.parametrize(
  ("number", "passed"),
  [
    (TERM, TERM),
    (signal.SIGINT, TERM),
    *((x, x) for x in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)),
  ],
)
def test_signal_is_passed_to_running_jobs_which_are_not_recorded_as_failed(
  tmp_path, number, passed
):
  code = (
    "import signal, time\n"
    f"signal.signal({passed:d}, lambda *_: print('saved') or exit(143))\n"
    "print('ready', flush=True)\ntime.sleep(60)"
  )
  jobs = [job(tmp_path, "long", code), job(tmp_path, "next", FINISH)]

  class Interrupting(Recording):
    def tick(self, running):
      if "ready\n" in jobs[0].log.read_text():
        os.kill(os.getpid(), number)

  listener = Interrupting()
  assert launch.run_locally(jobs, 1, listener) == number
  assert "saved" in jobs[0].log.read_text().splitlines()
  assert listener.events == [("started", "long")]
  assert cells.failure(jobs[0].cells[0]) == ""


def test_job_left_running_by_an_earlier_start_is_awaited(tmp_path):
  left = job(tmp_path, "row", "raise SystemExit('ran twice')")
  left.log.parent.mkdir()
  with open(left.log, "a") as log:
    fcntl.flock(log, fcntl.LOCK_EX)
    assert launch.start(left, os.environ) is None

    def finish():
      exec(FINISH.format(str(left.cells[0])))
      log.close()

    threading.Timer(0.5, finish).start()
    assert launch.run_locally([left], 1, Recording()) is None
  assert left.done
  assert "ran twice" not in left.log.read_text()


@pytest.mark.parametrize(
  ("text", "error"),
  [
    ("error: --batch_size=3: no\n", "--batch_size=3: no"),
    ("Trace:\n  x: y\njax.Error: bad: it\n--\nFor more, see\n", "jax.Error: bad: it"),
    ("killed\n", "killed"),
    ("", "the log is empty"),
  ],
)
def test_last_error_of_log_is_found(tmp_path, text, error):
  path = tmp_path / "log"
  path.write_text(text)
  assert cells.last_error(path) == error
