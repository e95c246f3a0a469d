"""Proves that what fails keeps nothing from running, and that nothing runs twice."""

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


class Heard:
  def __init__(self):
    self.lines = []

  def started(self, job):
    self.lines.append(("started", job.row))

  def ended(self, job):
    self.lines.append(("ended", job.row))

  def tick(self, running):
    pass


def job(folder, row, code):
  cell = folder / row / "seed0"
  command = [sys.executable, "-c", code.format(str(cell))]
  return launch.Job(row, (0,), (cell,), 4, command, cell.with_name("seed0.log"))


@pytest.fixture(params=["here", "there"])
def run(request, tmp_path):
  """Runs jobs as processes of this machine, or as submitit would on a cluster."""
  if request.param == "here":
    return lambda jobs, show: launch.run_here(jobs, 2, show)
  pytest.importorskip("submitit")
  slurm = configs.get_config().compare.slurm
  return lambda jobs, show: cluster.run_there(jobs, tmp_path, slurm, show, "debug")


# submitit's debug executor leaves its logs open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_cell_that_fails_is_noted_and_the_others_run(tmp_path, run):
  jobs = [
    job(tmp_path, "bad", "print('error: begins'); raise ValueError('no ' + 'luck')"),
    job(tmp_path, "good", FINISH),
  ]
  heard = Heard()
  assert run(jobs, heard) is None
  assert cells.failure(jobs[0].cells[0]) == "ValueError: no luck"
  assert cells.failure(jobs[1].cells[0]) == ""
  assert [job.done for job in jobs] == [False, True]
  assert sorted(heard.lines) == [
    (what, row) for what in ("ended", "started") for row in ("bad", "good")
  ]


def test_a_signal_reaches_the_cells_and_they_are_not_called_failed(tmp_path):
  code = (
    "import signal, time\n"
    "signal.signal(signal.SIGTERM, lambda *_: print('saved') or exit(143))\n"
    "print('ready', flush=True)\ntime.sleep(60)"
  )
  jobs = [job(tmp_path, "long", code), job(tmp_path, "next", FINISH)]

  class Impatient(Heard):
    def tick(self, running):
      if "ready\n" in jobs[0].log.read_text():
        os.kill(os.getpid(), signal.SIGTERM)

  heard = Impatient()
  assert launch.run_here(jobs, 1, heard) == signal.SIGTERM
  assert "saved" in jobs[0].log.read_text()
  assert heard.lines == [("started", "long")]
  assert cells.failure(jobs[0].cells[0]) == ""


def test_what_an_earlier_start_left_running_is_waited_for(tmp_path):
  left = job(tmp_path, "row", "raise SystemExit('ran twice')")
  left.log.parent.mkdir()
  with open(left.log, "a") as log:
    fcntl.flock(log, fcntl.LOCK_EX)
    assert launch.start(left, os.environ) is None

    def finish():
      exec(FINISH.format(str(left.cells[0])))
      log.close()

    threading.Timer(0.5, finish).start()
    assert launch.run_here([left], 1, Heard()) is None
  assert left.done
  assert "ran twice" not in left.log.read_text()


@pytest.mark.parametrize(
  ("text", "error"),
  [
    ("error: --batch_size=3: no\n", "--batch_size=3: no"),
    ("Trace:\n  x: y\njax.Error: bad: it\n--\nFor more, see\n", "jax.Error: bad: it"),
    ("killed\n", "killed"),
    ("", "it said nothing"),
  ],
)
def test_the_last_error_of_a_log_is_found(tmp_path, text, error):
  path = tmp_path / "log"
  path.write_text(text)
  assert cells.last_error(path) == error
