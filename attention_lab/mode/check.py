"""--mode=check: whether an attention leaks, decodes as it trains, and keeps its word.

Tries every law on each attention that is named, prints a table for each, and writes
check.json. The exit status is 1 where a law is broken.
"""

from pathlib import Path
from typing import Any

from ml_collections import config_dict
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from attention_lab.conformance.check import LAWS, verdicts
from attention_lab.conformance.law import Verdict
from attention_lab.conformance.subject import Subject
from attention_lab.plugin import spec as specs
from attention_lab.run import folder as run_folder
from attention_lab.system.files import make_folder, write_json
from attention_lab.system.versions import all_versions

MARKS = {
  "holds": "[green]holds[/]",
  "broken": "[red]BROKEN[/]",
  "raises": "[red]RAISES[/]",
  "not asked": "–",
}


def run(config: config_dict.ConfigDict, workdir: str | None) -> int:
  """Checks, prints and writes; returns 1 if anything is broken."""
  names = list(dict.fromkeys(map(str, specs.parse_pattern(config.attention))))
  subjects = {name: Subject(name) for name in names}  # Refuses what is unknown now.
  folder = Path(workdir) if workdir else run_folder.new_folder(config)
  make_folder(folder, "workdir")
  console = Console(highlight=False, soft_wrap=True)
  records: dict[str, list[dict[str, Any]]] = {}
  broken: list[str] = []
  for name, subject in subjects.items():
    found = _found(subject, console)
    console.print(_table(name, found))
    broken += [f"{name}: {v.law}" for v in found if v.failed]
    records[name] = [verdict._asdict() for verdict in found]
  write_json(folder / "check.json", {"attentions": records, "versions": all_versions()})
  laws = sum(v["status"] == "holds" for found in records.values() for v in found)
  console.print(f"{laws} laws hold, {len(broken)} are broken.")
  console.print(f"Written to {folder / 'check.json'}")
  return 1 if broken else 0


def _found(subject: Subject, console: Console) -> list[Verdict]:
  with Progress(console=console, transient=True) as progress:
    task = progress.add_task(str(subject.spec), total=len(LAWS))
    found = []
    for verdict in verdicts(subject):
      found.append(verdict)
      progress.advance(task)
  return found


def _table(name: str, found: list[Verdict]) -> Table:
  table = Table(title=name, title_justify="left", title_style="bold", box=None)
  for heading in ("law", "", "worst, over what is allowed", "where"):
    table.add_column(heading, overflow="fold")
  for verdict in found:
    worst = "" if verdict.worst is None else f"{verdict.worst:.2g}"
    where = verdict.case if verdict.status != "holds" or verdict.worst else ""
    table.add_row(verdict.law, MARKS[verdict.status], worst, where)
    if verdict.meaning:
      table.add_row("", "", "", f"Usually: {verdict.meaning}.")
  return table
