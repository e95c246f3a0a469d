"""Model name and number of cores of the CPU."""

import os
import platform
import re
import subprocess
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")


def processor() -> str | None:
  """Return the CPU's model name with its usable cores; None if the name is unknown."""
  name = _linux() or _macos() or platform.processor()
  if not name:
    return None
  cores = _cores()
  return f"{name}, {cores} core{'s' * (cores != 1)}"


def _linux() -> str:
  try:
    text = CPUINFO.read_text("utf-8", "replace")
  except OSError:
    return ""
  found = re.search(r"^(?:model name|Processor|cpu model)\s*:\s*(.+)$", text, re.M)
  return " ".join(found[1].split()) if found else ""


def _macos() -> str:
  if platform.system() != "Darwin":
    return ""
  try:
    command = ["sysctl", "-n", "machdep.cpu.brand_string"]
    return subprocess.run(
      command, capture_output=True, text=True, check=True, timeout=5
    ).stdout.strip()
  except (OSError, subprocess.SubprocessError):
    return ""


def _cores() -> int:
  if hasattr(os, "sched_getaffinity"):  # Linux: those that this process may use.
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1
