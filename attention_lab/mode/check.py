"""--mode=check: test the laws that every attention must obey.

Tests every law on each named attention, prints a table for each and writes check.json.
The exit status is 1 if a law is broken.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from attention_lab.config import Config
from attention_lab.conformance.check import LAWS, verdicts
from attention_lab.conformance.law import Verdict
from attention_lab.conformance.subject import Subject
from attention_lab.plugin import spec as specs
from attention_lab.run import folder as run_folder
from attention_lab.system.files import make_folder, write_json
from attention_lab.system.versions import all_versions

STATUS_LABELS = {
  "holds": "[green]holds[/]",
  "broken": "[red]BROKEN[/]",
  "raises": "[red]RAISES[/]",
  "not applicable": "not applicable",
}


def run(config: Config, workdir: str | None) -> int:
  """Check the attentions, print and write the verdicts; return 1 if a law is broken."""
  names = list(dict.fromkeys(map(str, specs.parse_pattern(config.attention))))
  subjects = {name: Subject(name) for name in names}  # Refuses unknown names first.
  folder = (
    Path(workdir)
    if workdir
    else run_folder.new_folder(config.attention, config.position, config.dataset)
  )
  make_folder(folder, "workdir")
  console = Console(highlight=False, soft_wrap=True)
  found: dict[str, list[Verdict]] = {}
  for name, subject in subjects.items():
    found[name] = _check(subject, console)
    console.print(_table(name, found[name]))
  records = {name: [v._asdict() for v in each] for name, each in found.items()}
  write_json(folder / "check.json", {"attentions": records, "versions": all_versions()})
  console.print(_summary(found))
  console.print(f"Written to {folder / 'check.json'}")
  return 1 if any(verdict.failed for each in found.values() for verdict in each) else 0


def _check(subject: Subject, console: Console) -> list[Verdict]:
  with Progress(console=console, transient=True) as progress:
    task = progress.add_task(str(subject.spec), total=len(LAWS))
    found = []
    for verdict in verdicts(subject):
      found.append(verdict)
      progress.advance(task)
  return found


def _table(name: str, found: Sequence[Verdict]) -> Table:
  table = Table(title=name, title_justify="left", title_style="bold", box=None)
  for heading in ("law", "status", "worst error / limit", "case"):
    table.add_column(heading, overflow="fold")
  for verdict in found:
    worst = "" if verdict.worst is None else f"{verdict.worst:.2g}"
    case = verdict.case if verdict.status != "holds" or verdict.worst else ""
    table.add_row(verdict.law, STATUS_LABELS[verdict.status], worst, case)
    if verdict.meaning:
      table.add_row("", "", "", f"Usual cause: {verdict.meaning}.")
  return table


def _summary(found: Mapping[str, Sequence[Verdict]]) -> str:
  """Return a line such as "23 laws hold, 1 law is broken."."""
  every = [verdict for each in found.values() for verdict in each]
  holding = sum(verdict.status == "holds" for verdict in every)
  broken = sum(verdict.failed for verdict in every)
  return (
    f"{holding} {'law holds' if holding == 1 else 'laws hold'}, "
    f"{broken} {'law is' if broken == 1 else 'laws are'} broken."
  )
