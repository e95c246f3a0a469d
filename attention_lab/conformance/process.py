"""Outputs of an attention as another process computes them.

Run as a program, it prints the digest of the outputs of one attention.
"""

import hashlib
import importlib
import json
import os
import subprocess
import sys

import numpy as np

from attention_lab.conformance.sizes import Sizes
from attention_lab.conformance.subject import DEPTHS, Subject
from attention_lab.plugin import discovery

TIMEOUT = 120.0  # Seconds.


def obstacle(subject: Subject) -> str | None:
  """Return why another process cannot build the attention; None if it can."""
  module = sys.modules.get(subject.cls.__module__)
  if module is None or getattr(module, "__file__", None) is None:
    return "its class is not defined in a file"
  if module.__name__ == "__main__" or "<" in subject.cls.__qualname__:
    return "its class cannot be imported"
  return None


def outputs_differ(subject: Subject, y: np.ndarray) -> bool:
  """Return whether another process computes other outputs than y for `inputs()`.

  Raises:
    RuntimeError: the other process fails.
  """
  module = sys.modules[subject.cls.__module__]
  task = {
    "spec": str(subject.spec),
    "module": module.__name__,
    "file": module.__file__,
    "name": subject.cls.__qualname__,
    "sizes": subject.sizes,
    "position": subject.position,
  }
  command = [sys.executable, "-m", __name__, json.dumps(task)]
  paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
  environment = os.environ | {"PYTHONPATH": paths, "PYTHONHASHSEED": "random"}
  done = subprocess.run(
    command,
    check=False,
    capture_output=True,
    text=True,
    env=environment,
    timeout=TIMEOUT,
  )
  if done.returncode:
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    raise RuntimeError(f"the other process ended with {done.returncode}: {last}")
  return done.stdout.split()[-1] != digest(y)


def digest(y: np.ndarray) -> str:
  """Return the sha256, in hex, of an array's bytes."""
  return hashlib.sha256(np.ascontiguousarray(y).tobytes()).hexdigest()


def main(text: str) -> None:
  """Print the digest of the outputs of the attention that a task describes."""
  task = json.loads(text)
  discovery.load()
  if task["module"] not in sys.modules and task["module"].startswith(
    discovery.FILE_PREFIX
  ):
    discovery.load([task["file"]])
  cls = importlib.import_module(task["module"])
  for name in task["name"].split("."):
    cls = getattr(cls, name)
  subject = Subject(
    task["spec"],
    attention=cls,  # type: ignore[arg-type]
    sizes=Sizes(*task["sizes"]),
    depth=DEPTHS[1],
    position=task["position"],
  )
  print(digest(subject.run(subject.inputs())))


if __name__ == "__main__":
  main(sys.argv[1])
