"""A run with faults ends as an undisturbed one, or is rejected with the reason."""

import json
import subprocess
import sys

import pytest

from tests import commands
from tests.faults.aimed import SCENES

QUICK = ("killed: half", "full: checkpoints", "second process", "newest: flip")


def run(module, *words, status=0):
  """Run a module of this folder in a new process, and return its output."""
  command = [sys.executable, "-m", f"tests.faults.{module}", *words]
  pipe = subprocess.PIPE
  ended = subprocess.run(
    command, check=False, cwd=commands.ROOT, stdout=pipe, stderr=pipe, text=True
  )
  assert ended.returncode == status, ended.stdout + ended.stderr
  print(ended.stdout)  # For `-rP`.
  return ended.stdout


def test_run_recovers_from_a_few_faults():
  assert run("aimed", *QUICK).splitlines() == [f"ok {name}" for name in QUICK]


@pytest.mark.faults_full
def test_run_recovers_from_every_aimed_fault():
  assert run("aimed").splitlines() == [f"ok {name}" for name in SCENES]


@pytest.mark.faults_full
def test_run_recovers_from_200_random_kills():
  words = ("--minutes=60", "--kills=200", "--faults=kill,phase", "--steps=150")
  report = json.loads(run("soak", *words, "--say_every=1000"))
  assert report["killed"] == 200
  assert report["runs_equal"] > 0 == report["runs_unequal"]
  assert report["worst"]["steps_lost"] <= 2 * 5


@pytest.mark.faults_full
def test_run_recovers_from_random_faults_of_all_kinds():
  report = json.loads(run("soak", "--minutes=10", "--steps=60", "--say_every=1000"))
  assert report["runs_equal"] > 0 == report["runs_unequal"]
  assert report["memory_mib_last_third"] < 1.05 * report["memory_mib_first_third"]


def test_unknown_scene_is_rejected_with_the_nearest():
  expected = "'save onze': Did you mean 'save once'?\n"
  assert run("aimed", "save onze", status=1) == expected
