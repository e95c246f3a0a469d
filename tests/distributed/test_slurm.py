"""Runs under Slurm on this machine, submitted by the script in experiments/.

The tests start munge and Slurm in a temporary folder, which needs root and Debian's
packages slurmctld, slurmd and slurm-client.

pytest -n 0 -m processes_full tests/distributed/test_slurm.py
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import commands
from tests.cpu import xla_flags
from tests.distributed import runs
from tests.distributed.test_group import free_port

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scancel")
pytestmark = [
  pytest.mark.processes_full,
  pytest.mark.skipif(
    not all(map(shutil.which, NEEDED)) or os.geteuid() != 0,
    reason="needs root, and the packages slurmctld, slurmd and slurm-client",
  ),
]

SCRIPT = commands.ROOT / "experiments" / "slurm_train.sbatch"
CONFIGURATION = """
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmdParameters=config_overrides
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 RealMemory=4000
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
  """Start a cluster of one machine; yield the environment for its commands."""
  folder = tmp_path_factory.mktemp("slurm")
  for name in ("munge", "state", "spool"):
    (folder / name).mkdir(mode=0o700)
  key = folder / "munge" / "key"
  key.touch(0o600)
  key.write_bytes(os.urandom(1024))
  host, conf = socket.gethostname().partition(".")[0], folder / "slurm.conf"
  ports = [free_port(), free_port()]
  conf.write_text(CONFIGURATION.format(host=host, ports=ports, folder=folder))
  environment = os.environ | {
    "SLURM_CONF": str(conf),
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    "PYTHONPATH": str(commands.ROOT),
    "XLA_FLAGS": xla_flags(1),
    "COLUMNS": "200",
  }
  paths = {name: folder / "munge" / name for name in ("socket", "pid", "log", "seed")}
  daemons = [
    [
      *("munged", "--foreground", "--force", f"--key-file={key}"),
      *(f"--socket={paths['socket']}", f"--pid-file={paths['pid']}"),
      *(f"--log-file={paths['log']}", f"--seed-file={paths['seed']}"),
    ],
    ["slurmctld", "-D"],
    ["slurmd", "-D", "-N", host],
  ]
  started = []
  with open(folder / "log", "w") as log:
    try:
      for words in daemons:
        started.append(subprocess.Popen(words, env=environment, stdout=log, stderr=log))
        time.sleep(2)
      wait_until_idle(environment, folder / "log")
      yield environment
    finally:
      for daemon in reversed(started):
        daemon.terminate()
        daemon.wait(30)


def wait_until_idle(environment, log):
  """Wait until the machine accepts jobs; skip the test if it does not."""
  for _ in range(30):
    words = ["sinfo", "--noheader", "--format=%t"]
    found = subprocess.run(
      words, env=environment, capture_output=True, text=True, check=False
    )
    if found.stdout.strip() == "idle":
      return
    time.sleep(1)
  pytest.skip(f"Slurm does not start here: {log.read_text()[-500:]}")


def submit(slurm, out, words):
  """Submit the script as two tasks, in a process that waits for the job's end."""
  command = ["sbatch", "--wait", "--ntasks=2", f"--output={out}", str(SCRIPT), *words]
  return subprocess.Popen(
    command, env=slurm, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
  )


def test_cancelled_job_saves_and_the_same_command_resumes_it(slurm, tmp_path):
  words = [*runs.WORDS, f"--workdir={tmp_path / 'run'}"]
  job = submit(slurm, tmp_path / "first.out", words)
  runs.wait_for_checkpoints(tmp_path / "run", 1, [job])
  number = job.stdout.readline().split()[-1]
  subprocess.run(["scancel", number], env=slurm, check=True)
  job.communicate(timeout=runs.TIMEOUT)
  assert job.returncode != 0
  first = (tmp_path / "first.out").read_text()
  assert first.count("Interrupted at step") == 1, first
  job = submit(slurm, tmp_path / "second.out", words)
  job.communicate(timeout=runs.TIMEOUT)
  second = (tmp_path / "second.out").read_text()
  assert job.returncode == 0, second
  assert "Resuming at step" in second
  assert "2 cpu devices" in second
  (status, _, err) = runs.run_alone([*runs.WORDS, f"--workdir={tmp_path / 'alone'}"], 2)
  assert status == 0, err
  runs.assert_same_result(tmp_path / "run", tmp_path / "alone")


def test_comparison_runs_as_an_array_of_jobs(slurm, tmp_path):
  pytest.importorskip("submitit")
  work = tmp_path / "work"
  words = [*commands.TINY, "--mode=compare", "--attention=standard,linear", "--steps=4"]
  words += ["--launcher=slurm", "--match=none", "--config.compare.cost_lengths=()"]
  words += ["--config.compare.slurm.memory_gb=1", "--config.compare.slurm.cpus=1"]
  words += ["--config.compare.slurm.gpus=0"]
  command = [sys.executable, "-m", "attention_lab.main", *words, f"--workdir={work}"]
  found = subprocess.run(
    command, env=slurm, capture_output=True, text=True, check=False, timeout=400
  )
  command_with_gpu = [*command, "--config.compare.slurm.gpus=1", f"--workdir={work}2"]
  refused = subprocess.run(
    command_with_gpu,
    env=slurm,
    capture_output=True,
    text=True,
    check=False,
    timeout=100,
  )
  assert refused.returncode == 2
  assert "\nerror: Slurm accepted none of the jobs: " in refused.stderr
  assert refused.stderr.count("\n") == 2  # The first line is printed by sbatch.
  assert found.returncode == 0, found.stdout + found.stderr
  lines = (work / "results.jsonl").read_text().splitlines()
  assert [json.loads(line)["status"] for line in lines] == ["finished"] * 2
  assert "linear:" in found.stdout
