"""Verdicts on the laws of attentions: the result of `attention_lab.check`."""

import dataclasses
import html
from typing import Any

from attention_lab.api.results import show
from attention_lab.conformance import table
from attention_lab.conformance.law import Verdict


@dataclasses.dataclass(frozen=True, repr=False)
class Report(show.Printed):
  """The verdict on every law; printed, it is the table of --mode=check.

  Attributes:
    name: what was checked.
    verdicts: one for each law.
  """

  name: str
  verdicts: tuple[Verdict, ...]

  @property
  def passed(self) -> bool:
    """True if no law failed."""
    return not any(verdict.failed for verdict in self.verdicts)

  @property
  def failed(self) -> tuple[Verdict, ...]:
    """The verdicts on the laws that failed."""
    return tuple(verdict for verdict in self.verdicts if verdict.failed)

  def __str__(self) -> str:
    rows = [self.name, "", table.HEAD, *map(table.row, self.verdicts)]
    rows += table.details(self.verdicts, 80)
    return "\n".join([*rows, "", table.summary(self.verdicts)])

  def to_pandas(self) -> Any:
    """Return a `pandas.DataFrame` with a line per law: law, status, worst, case …

    Raises:
      UserError: pandas is not installed.
    """
    return show.frame([verdict._asdict() for verdict in self.verdicts])

  def _repr_html_(self) -> str:
    body = [
      [
        table.label(verdict),
        "" if verdict.worst is None else f"{verdict.worst:.2g}",
        verdict.law,
        f"{verdict.case} Usual cause: {verdict.meaning}." if verdict.failed else "",
      ]
      for verdict in self.verdicts
    ]
    head = ["status", "error/limit", "law", "smallest failing case"]
    summary = html.escape(f"{self.name}: {table.summary(self.verdicts)}")
    return f"<p>{summary}</p>{show.table(head, body)}"
