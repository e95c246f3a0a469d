"""--mode=report FOLDER…: join finished runs and comparisons into one report.

Nothing is trained, and no folder that is joined is changed.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from attention_lab.compare import extras, plan_file, sources
from attention_lab.compare.analysis.sentences import sentence
from attention_lab.compare.analysis.table import lines
from attention_lab.compare.join import join
from attention_lab.compare.margin import margin_of
from attention_lab.compare.report import files
from attention_lab.config import Config
from attention_lab.errors import UserError
from attention_lab.run import folder as run_folder
from attention_lab.system.files import make_folder, write_json

FILE = "joined.json"  # Marks a folder as one that this mode wrote.


def run(config: Config, workdir: str | None) -> int:
  """Write the report of the folders and print the results."""
  extras.refuse_missing("--mode=report")
  folders = [Path(name) for name in config.compare.folders]
  _refuse_folders(folders)
  margin = margin_of(config) if config.compare.margin else ""
  keep = config.compare.stale == "keep"
  target = Path(workdir) if workdir else _default(folders, margin, keep)
  _refuse_target(target, folders)
  found = [sources.read(folder) for folder in folders]
  comparison = join(found, run_folder.command(), margin, keep)
  make_folder(target, "workdir")
  content = {"folders": [str(folder) for folder in folders]}
  write_json(target / FILE, content | {"command": comparison.command})
  files.write(target, comparison)
  console = Console(highlight=False, soft_wrap=True, emoji=False)
  for line in lines(comparison):
    console.print(f"{line.name}: {sentence(line, comparison.seeds)}.", markup=False)
  console.print(f"Written to {target}: {', '.join(files.NAMES)}", markup=False)
  return 0


def _refuse_folders(folders: Sequence[Path]) -> None:
  """Raise `UserError` if there is no folder, one twice, or one with a report."""
  if not folders:
    raise UserError(
      "Name the folders of runs or comparisons to join: --mode=report runs/a runs/b"
    )
  places = [folder.resolve() for folder in folders]
  for folder, place in zip(folders, places, strict=True):
    if places.count(place) > 1:
      raise UserError(f"{folder} is named twice.")
    if (folder / FILE).exists():
      raise UserError(
        f"{folder} holds a report, not a run or a comparison. Name the folders that it "
        "joined."
      )


def _default(folders: Sequence[Path], margin: str, keep: bool) -> Path:
  """Return a folder that depends on the command's inputs alone."""
  inputs = [[str(folder.resolve()) for folder in folders], margin, keep]
  digest = hashlib.sha256(json.dumps(inputs).encode()).hexdigest()
  return run_folder.RUNS / f"report-{digest[:8]}"


def _refuse_target(target: Path, folders: Sequence[Path]) -> None:
  """Raise `UserError` if the report would be written over something else."""
  inside = [folder for folder in folders if _is_inside(target, folder)]
  if inside:
    raise UserError(
      f"--workdir={target} is in {inside[0]}, which the report reads and does not change. "
      "Name another folder, or omit --workdir."
    )
  others = (run_folder.CONFIG, plan_file.FILE, *files.NAMES)
  there = [name for name in others if (target / name).exists()]
  if there and not (target / FILE).exists():
    raise UserError(
      f"--workdir={target} holds {there[0]}, which --mode=report did not write. Name "
      "another folder, or omit --workdir."
    )


def _is_inside(target: Path, folder: Path) -> bool:
  place = Path(os.path.abspath(target)).resolve()
  return place.is_relative_to(folder.resolve())
