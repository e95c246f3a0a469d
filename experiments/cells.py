"""Functions shared by the scripts that print a table of training runs.

Each cell of a table is a separate run in its own folder.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def parse_flags(
  text: str | None, steps: int, workdir: str
) -> tuple[argparse.Namespace, list[str]]:
  """Parse the flags of a table, and return them with the unknown flags.

  The table's flags are --steps, --seeds and --workdir. Unknown flags are meant for the
  runs.

  Args:
    text: the text of --help.
    steps: default number of steps per run.
    workdir: default folder for the folders of the cells.
  """
  parser = argparse.ArgumentParser(
    description=text,
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,  # --seed must not be read as --seeds.
  )
  parser.add_argument("--steps", type=int, default=steps, help="steps per run")
  parser.add_argument("--seeds", type=int, default=1, help="runs per row")
  parser.add_argument(
    "--workdir", type=Path, default=Path(workdir), help="folder of all runs"
  )
  return parser.parse_known_args(sys.argv[1:])


def run_folder(workdir: Path, row: str, seed: int) -> Path:
  """Return the folder of a cell's run."""
  return workdir / f"{row.replace(', ', '-').replace(' ', '_')}-seed{seed}"


def train(folder: Path, steps: int, seed: int, words: list[str]) -> int:
  """Train one cell unless it has finished; return the exit status."""
  if (folder / "summary.json").exists() and summary(folder)["steps"] >= steps:
    return 0
  command = [sys.executable, "-m", "attention_lab.main", *words]
  command += [f"--steps={steps}", f"--seed={seed}", f"--workdir={folder}"]
  run = subprocess.Popen(command)
  while True:
    try:
      return run.wait()
    except KeyboardInterrupt:  # The run gets Ctrl-C as well, and saves before it exits.
      continue


def summary(folder: Path) -> dict[str, Any]:
  """Return the summary.json of a finished run."""
  content: dict[str, Any] = json.loads((folder / "summary.json").read_text("utf-8"))
  return content


def markdown(lines: list[list[str]]) -> str:
  """Return a Markdown table; the first line is the heading."""
  lines = [lines[0], ["---"] * len(lines[0]), *lines[1:]]
  return "".join(f"| {' | '.join(line)} |\n" for line in lines)
