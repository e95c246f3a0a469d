"""The files of a report, written into a folder."""

from pathlib import Path

from attention_lab.compare.analysis.record import Comparison
from attention_lab.compare.report import latex, markdown, page, results
from attention_lab.system.files import write_file

PAGE = "report.html"
TEXTS = {
  "results.jsonl": results.jsonl,
  "results.csv": results.table,
  "results.tex": latex.latex,
  "report.md": markdown.report,
}
NAMES = (PAGE, "report.md", "results.jsonl", "results.csv", "results.tex")


def write(folder: Path, comparison: Comparison, with_page: bool = True) -> None:
  """Write the report of a comparison.

  Args:
    folder: the folder, which exists.
    comparison: its results.
    with_page: whether to write report.html too, which takes seconds.
  """
  for name, content in TEXTS.items():
    write_file(folder / name, content(comparison).encode())
  if with_page:
    write_file(folder / PAGE, page.report(comparison).encode())
