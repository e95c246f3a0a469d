"""Results of an attention as another process computes them.

Run as a program, it prints the digest of the results of one attention.
"""

import hashlib
import importlib
import json
import os
import subprocess
import sys

import jax
import numpy as np

from attention_lab.conformance.inputs import SHORT
from attention_lab.conformance.sizes import Sizes
from attention_lab.conformance.subject import DEPTHS, Subject
from attention_lab.plugin import discovery

TIMEOUT = 120.0  # Seconds.
DEVICES = 3  # Of the other process; this one usually has 1 or 8.


def obstacle(subject: Subject) -> str | None:
  """Return why another process cannot build the attention; None if it can."""
  module = sys.modules.get(subject.cls.__module__)
  if module is None or getattr(module, "__file__", None) is None:
    return "its class is not defined in a file"
  if module.__name__ == "__main__" or "<" in subject.cls.__qualname__:
    return "its class cannot be imported"
  return None


def results_differ(subject: Subject, y: np.ndarray) -> bool:
  """Return whether another process computes other results than this one.

  The results are the outputs y for `inputs()`, and the initial parameters. The other
  process hashes strings otherwise, has another number of devices, and calls the attention
  with another length first.

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
  flags = os.environ.get("XLA_FLAGS", "")
  environment = os.environ | {
    "PYTHONPATH": paths,
    "PYTHONHASHSEED": "random",
    "XLA_FLAGS": f"{flags} --xla_force_host_platform_device_count={DEVICES}",
  }
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
  return done.stdout.split()[-1] != digest(subject, y)


def digest(subject: Subject, y: np.ndarray) -> str:
  """Return the sha256, in hex, of outputs and of the initial parameters."""
  result = hashlib.sha256()
  for path, leaf in jax.tree.leaves_with_path((y, subject.initial_parameters())):
    result.update(jax.tree_util.keystr(path).encode())
    result.update(np.ascontiguousarray(leaf).tobytes())
  return result.hexdigest()


def main(text: str) -> None:
  """Print the digest of the results of the attention that a task describes."""
  task = json.loads(text)
  discovery.load()
  if task["module"] not in sys.modules and task["module"].startswith(
    discovery.FILE_PREFIX
  ):
    discovery.load([task["file"]])
  cls = importlib.import_module(task["module"])
  for name in task["name"].split("."):
    cls = getattr(cls, name)
  sizes = Sizes(*task["sizes"])
  subject = Subject(
    task["spec"],
    attention=cls,  # type: ignore[arg-type]
    sizes=sizes,
    depth=DEPTHS[1],
    position=task["position"],
    first_length=SHORT - 1,
  )
  print(digest(subject, subject.run(subject.inputs())))


if __name__ == "__main__":
  main(sys.argv[1])
