"""The section of reports on tuning: what was tried, and what each row chose."""

import math

from attention_lab.compare.analysis.measures import METRICS
from attention_lab.compare.analysis.record import Comparison
from attention_lab.compare.analysis.tuning import choice_text, means, settings_text
from attention_lab.compare.analysis.wording import counted
from attention_lab.compare.report.section import Section, Table

NOTE = (
  "Each row was trained with each of these settings by seeds of their own, and validated "
  "on training examples that these runs did not train on; the best mean was chosen. A "
  "choice from few seeds may miss the best: the standard error of a difference includes "
  "what the choices of its two rows may lose by chance, as their spread over seeds lets "
  "expect."
)


def sections(comparison: Comparison) -> list[Section]:
  """Return the section: a table for rows that tried the same; none if none was tuned."""
  found: dict[tuple[str, ...], Table] = {}
  for row in comparison.rows:
    if (tuned := row.tuned) is None:
      continue
    metric = METRICS[tuned.metric]
    tried = [settings_text(each) for each in tuned.settings]
    number = counted(len(tuned.scores[tuned.metric][0]), "seed")
    caption = f"{metric.heading.capitalize()} of tuning, means over {number}"
    table = Table(caption, ["row", *tried, "chosen"], [], ends_in_text=True)
    table = found.setdefault((caption, *tried), table)
    values = [metric.text(v) if math.isfinite(v) else "–" for v in means(tuned)]
    table.body.append([row.name, *values, choice_text(tuned)])
  tables = list(found.values())
  return [Section("tuning", "Tuning", tables, NOTE)] if tables else []
