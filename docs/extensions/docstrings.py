"""Docstrings are plain text: what reStructuredText would read as markup is escaped."""

import re
from typing import Any

MARKUP = re.compile(r"([\\*|]|(?<=\w)_(?=\W|$))")
HEADINGS = re.compile(r"^(Equation|Departures):$")


def escape(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]):
  """Escape markup outside of code, before napoleon reads the sections."""
  del app, what, name, obj, options
  lines[:] = [HEADINGS.sub(r"\1::", _escaped(line)) for line in lines]


def _escaped(line: str) -> str:
  pieces = re.split(r"(`[^`]*`)", line)
  pieces[::2] = [MARKUP.sub(r"\\\1", piece) for piece in pieces[::2]]
  return "".join(pieces)


def setup(app: Any) -> dict[str, bool]:
  app.connect("autodoc-process-docstring", escape, priority=100)
  return {"parallel_read_safe": True}
