"""The files of a report, written into a folder."""

from pathlib import Path

from attention_lab.compare.analysis.record import Comparison
from attention_lab.compare.report import latex, markdown, page, results
from attention_lab.system.files import write_atomically

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
    _write(folder, name, content(comparison))
  if with_page:
    _write(folder, PAGE, page.report(comparison))


def _write(folder: Path, name: str, text: str) -> None:
  content = text.encode()
  write_atomically(folder, lambda file: file.write(content), lambda _: name)
