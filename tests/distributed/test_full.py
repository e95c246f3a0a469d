"""Whole runs in two and four processes, with signals, faults and other settings.

pytest -n 0 -m processes_full tests/distributed
"""

import re
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from tests import commands
from tests.distributed import runs
from tests.distributed.test_group import (
  ABORTED,
  FIRST_LOST,
  LOST,
  SILENT,
  ended,
  errors,
  free_port,
)

pytestmark = pytest.mark.processes_full

PLUGIN = Path(__file__).parent / "faulty_dataset.py"  # An import would register it.
FAULT_STEP = 50  # As in the plugin.
FAULTY = [
  *runs.WORDS,
  f"--plugin={PLUGIN}",
  "--dataset=faulty(sequence_length=8, validation_examples=8)",
]
STOP, KILL, TERM = signal.SIGSTOP, signal.SIGKILL, signal.SIGTERM


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
  """Return a function that trains in one process, once for each set of arguments."""
  made = {}

  def run(devices, *words):
    key = (devices, *words)
    if key not in made:
      made[key] = tmp_path_factory.mktemp("alone") / "run"
      words = [*runs.WORDS, *words, f"--workdir={made[key]}"]
      status, _, err = runs.run_alone(words, devices)
      assert status == 0, err
    return made[key]

  return run


@pytest.fixture(scope="module")
def two_by_two(tmp_path_factory):
  """Train in two processes with two devices each; return the folder."""
  workdir = tmp_path_factory.mktemp("together") / "run"
  together([*runs.WORDS, f"--workdir={workdir}"], 2, 2)
  return workdir


def together(words, count=2, devices=1):
  """Run processes to their end, and return their results; all have to succeed."""
  found = ended(runs.start_all(words, count, devices), runs.TIMEOUT)
  assert [status for status, _, _ in found] == [0] * count, found
  return found


def resume(workdir, *words, devices=1):
  """Resume a run in two processes to its end."""
  return together([f"--workdir={workdir}", *words], devices=devices)


def ended_in_time(processes):
  """Return the results of processes, which have to end within the time limit."""
  start = time.monotonic()
  found = ended(processes, runs.END_TIMEOUT)
  print(f"all ended after {time.monotonic() - start:.1f} s")
  return found


def test_result_is_independent_of_the_devices_per_process(two_by_two, tmp_path):
  together([*runs.WORDS, f"--workdir={tmp_path / 'run'}"], count=4)
  runs.assert_same_result(tmp_path / "run", two_by_two)


def test_losses_of_two_processes_equal_those_of_one(alone, two_by_two):
  """Not bitwise: one process adds the gradients of four devices in another order."""
  expected, actual = (
    [(one["step"], one["split"], one["loss"]) for one in commands.records(workdir)]
    for workdir in (alone(4), two_by_two)
  )
  assert [one[:2] for one in expected] == [one[:2] for one in actual]
  losses = [[one[2] for one in several] for several in (expected, actual)]
  np.testing.assert_allclose(*losses, rtol=1e-5)


def test_run_of_one_process_can_be_resumed_in_two(alone, tmp_path):
  shutil.copytree(alone(2), tmp_path / "run")
  for step in runs.saved_steps(tmp_path / "run")[1:]:
    for path in (tmp_path / "run" / "checkpoints").glob(f"{step:09d}-*"):
      path.unlink()
  (first, _) = resume(tmp_path / "run")
  assert "Resuming at step" in first[1]
  runs.assert_same_result(tmp_path / "run", alone(2))


def test_seeds_trained_together_can_be_resumed_in_two_processes(alone, tmp_path):
  words = [*runs.WORDS, "--seeds=2", f"--workdir={tmp_path / 'run'}"]
  processes = runs.start_all(words)
  runs.wait_for_checkpoints(tmp_path / "run" / "seed1", 2, processes)
  processes[0].kill()
  ended_in_time(processes)
  together(words)
  for seed in ("seed0", "seed1"):
    runs.assert_same_result(tmp_path / "run" / seed, alone(2, "--seeds=2") / seed)


@pytest.mark.parametrize(
  ("faulty", "number", "causes"),
  [
    (0, KILL, FIRST_LOST),
    (1, KILL, (LOST,)),
    (0, STOP, ("CoordinationService/Heartbeat",)),
    (1, STOP, (SILENT,)),
  ],
)
def test_loss_of_one_process_ends_all_and_the_run_can_be_resumed(
  two_by_two, tmp_path, faulty, number, causes
):
  words = [*runs.WORDS, f"--workdir={tmp_path / 'run'}"]
  processes = runs.start_all(words, devices=2)
  runs.wait_for_checkpoints(tmp_path / "run", 2, processes)
  processes[faulty].send_signal(number)
  found = ended_in_time(processes)
  assert found[faulty][0] == -KILL
  status, _, err = found[1 - faulty]
  assert status in ABORTED
  assert any(cause in err for cause in causes), err
  resume(tmp_path / "run", devices=2)
  runs.assert_same_result(tmp_path / "run", two_by_two)


@pytest.mark.parametrize("number", [TERM, signal.SIGINT])
@pytest.mark.parametrize("sent", [(0,), (1,), (0, 1)])
def test_signal_to_any_process_stops_all_after_one_save(alone, tmp_path, number, sent):
  processes = runs.start_all([*runs.WORDS, f"--workdir={tmp_path / 'run'}"])
  runs.wait_for_checkpoints(tmp_path / "run", 1, processes)
  for i in sent:
    processes[i].send_signal(number)
  found = ended_in_time(processes)
  assert [status for status, _, _ in found] == [128 + number] * 2, found
  assert found[0][1].count("Interrupted at step") == 1
  resume(tmp_path / "run")
  runs.assert_same_result(tmp_path / "run", alone(2))


@pytest.mark.parametrize(
  ("fault", "cause"),
  [
    ("raises", r"process 1: faulty_dataset\.py, line \d+: ValueError: invalid example"),
    ("exhausted", r"process 1: faulty_dataset\.py, line \d+: IndexError: no more"),
    ("hangs", r"process 1 has been between two steps for 20 s \("),
  ],
)
def test_fault_of_one_process_ends_all_and_is_reported(
  tmp_path, monkeypatch, fault, cause
):
  processes = start_with_fault(tmp_path, monkeypatch, fault)
  runs.wait_for_checkpoints(tmp_path / "run", 1, processes)
  (first, _, err), (second, _, own) = ended_in_time(processes)
  assert (first, second) == (1, 1)
  (line,) = errors(err)
  assert re.search(cause, line)
  assert "Traceback" in own or "most recent call first" in own
  monkeypatch.delenv("FAULT")
  resume(tmp_path / "run", f"--plugin={PLUGIN}")


def test_slow_process_is_awaited(tmp_path, monkeypatch):
  found = ended(start_with_fault(tmp_path, monkeypatch, "is_slow"), runs.TIMEOUT)
  assert [status for status, _, _ in found] == [0, 0], found


@pytest.mark.parametrize("policy", ["skip", "rollback"])
def test_nonfinite_loss_on_one_process_is_handled_as_in_one_process(
  tmp_path, monkeypatch, policy
):
  words = [f"--config.train.on_nonfinite={policy}"]
  processes = start_with_fault(tmp_path, monkeypatch, "overflows", *words)
  found = ended(processes, runs.TIMEOUT)
  assert [status for status, _, _ in found] == [0, 0], found
  workdir = tmp_path / "alone"
  status, _, err = runs.run_alone([*FAULTY, *words, f"--workdir={workdir}"], 2)
  assert status == 0, err
  runs.assert_same_result(tmp_path / "run", workdir)
  (event,) = [record for record in commands.records(workdir) if "event" in record]
  assert event["step"] == FAULT_STEP + 1
  assert event.get("to") == (40 if policy == "rollback" else None)


def test_missing_checkpoint_of_a_rollback_ends_all_processes(tmp_path, monkeypatch):
  words = ["--config.train.on_nonfinite=rollback"]
  monkeypatch.setenv("FAULT", "overflows")
  run = tmp_path / "run"
  status, _, err = runs.run_alone(
    [*FAULTY, *words, "--steps=45", f"--workdir={run}"], 2
  )
  assert status == 0, err
  (lost,) = (run / "checkpoints").glob("000000040-*")
  lost.unlink()
  monkeypatch.delenv("FAULT")
  found = ended_in_time(start_with_fault(tmp_path, monkeypatch, "overflows", *words))
  assert [status for status, _, _ in found] == [2, 2], found
  for _, _, err in found:
    (line,) = errors(err)
    assert "go back to step 40, but the checkpoint of that step is missing" in line


def start_with_fault(tmp_path, monkeypatch, fault, *words):
  """Start two processes, the second one with a fault."""
  port, found = free_port(), []
  for i in range(2):
    place = [
      f"--coordinator=127.0.0.1:{port}",
      "--num_processes=2",
      f"--process_id={i}",
    ]
    workdir = f"--workdir={tmp_path / 'run'}"
    found.append(commands.start(*FAULTY, *words, *place, workdir))
    monkeypatch.setenv("FAULT", fault)
  return found


def test_process_that_starts_late_is_awaited(tmp_path):
  port = free_port()
  words = [*runs.WORDS, f"--workdir={tmp_path / 'run'}", "--num_processes=2"]
  words += [f"--coordinator=127.0.0.1:{port}", "--config.processes.join=60"]
  late = commands.start(*words, "--process_id=1")
  time.sleep(10)
  found = ended([commands.start(*words, "--process_id=0"), late], runs.TIMEOUT)
  assert [status for status, _, _ in found] == [0, 0], found


def test_wrong_address_is_reported_in_one_line(tmp_path):
  words = [*runs.WORDS, f"--workdir={tmp_path / 'run'}", "--num_processes=2"]
  places = [
    [f"--coordinator=127.0.0.1:{free_port()}", f"--process_id={i}"] for i in range(2)
  ]
  for status, out, err in ended([commands.start(*words, *place) for place in places]):
    assert (status, out) == (2, "")
    assert "The 2 processes did not find each other at --coordinator=127.0.0.1:" in err
    assert "within 25 s" in err
    assert err.count("\n") == 1
  assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
  ("others", "cause"),
  [
    (["--seed=5"], "differ in their settings: --config.seed: 0 in process 0, 5 in pro"),
    (
      ["--config.log.every=7"],
      "--config.log.every: 60 in process 0, 7 in process 1. Start all with the same.",
    ),
    (["--plugin=OTHER"], "differ in their code: faulty_dataset.py: "),
    (["--dataset=text(path='OTHER', sequence_length=8)"], "settings: --config.da"),
  ],
)
def test_difference_between_processes_is_rejected(tmp_path, others, cause):
  other = tmp_path / "faulty_dataset.py"
  other.write_text(PLUGIN.read_text() + "\n# Changed.\n")
  others = [word.replace("OTHER", str(other)) for word in others]
  words = [*FAULTY, f"--workdir={tmp_path / 'run'}"]
  if others[0].startswith("--plugin"):
    words = [word for word in words if not word.startswith("--plugin")]
    place = [f"--coordinator=127.0.0.1:{free_port()}", "--num_processes=2"]
    processes = [
      commands.start(*words, *place, "--process_id=0", f"--plugin={PLUGIN}"),
      commands.start(*words, *place, "--process_id=1", *others),
    ]
  else:
    processes = runs.start_all(words, others=others)
  found = ended(processes, 90)
  assert [status for status, _, _ in found] == [2, 2], found
  for _, _, err in found:
    (line,) = errors(err)
    assert cause in line
  assert not (tmp_path / "run").exists()


def test_different_data_is_rejected(tmp_path, monkeypatch):
  port, processes = free_port(), []
  for i in range(2):
    folder = tmp_path / str(i)
    folder.mkdir()
    (folder / "text.txt").write_text("a few letters " * 40 + "!" * i)
    monkeypatch.chdir(folder)
    place = [
      f"--coordinator=127.0.0.1:{port}",
      "--num_processes=2",
      f"--process_id={i}",
    ]
    dataset = "--dataset=text(path='text.txt', sequence_length=8)"
    words = [*runs.WORDS, dataset, f"--workdir={tmp_path / 'run'}"]
    processes.append(commands.start(*words, *place))
  found = ended(processes, 90)
  assert [status for status, _, _ in found] == [2, 2], found
  assert "differ in their data: sha256: " in found[0][2]


def test_mode_for_one_process_is_rejected(tmp_path):
  words = ["--mode=sample", f"--workdir={tmp_path}", "--coordinator=127.0.0.1:1"]
  ((status, _, err),) = ended(
    [commands.start(*words, "--num_processes=2", "--process_id=0")], 60
  )
  assert (status, err.count("\n")) == (2, 1)
  assert "--mode=sample runs in one process, and this is one of 2." in err
