"""Markdown of docstrings and tables, for the generated pages."""

import re
from collections.abc import Iterable, Sequence

from attention_lab.catalogue.mathml import mathml

SPECIAL = re.compile(r"([\\*_<>\[\]|$#])")
PAPER = re.compile(r"arXiv:(\d{4}\.\d{4,5})")


def prose(text: str) -> str:
  """Return the text of a docstring as Markdown; code stays as it is, papers are links."""
  pieces = re.split(r"(`[^`\n]*`)", text)
  pieces[::2] = [SPECIAL.sub(r"\\\1", piece) for piece in pieces[::2]]
  return PAPER.sub(r"[arXiv:\1](https://arxiv.org/abs/\1)", "".join(pieces))


def equations(lines: Iterable[str]) -> str:
  """Return equations in the notation of `mathml` as a block of HTML."""
  rows = "\n".join(mathml(line) for line in lines)
  return f'```{{raw}} html\n<div class="equation">\n{rows}\n</div>\n```'


def code(value: str) -> str:
  """Return text as code for a cell of a table; "" for no text."""
  return "`" + value.replace("|", "\\|") + "`" if value else ""


def table(
  headings: Sequence[str], rows: Iterable[Sequence[str]], name: str = ""
) -> str:
  """Return a table, whose HTML has a class of this name if there is one."""
  lines = [f"| {' | '.join(cells)} |" for cells in (headings, *rows)]
  lines.insert(1, "| --- " * len(headings) + "|")
  text = "\n".join(lines)
  return f"```{{table}}\n:class: {name}\n\n{text}\n```" if name else text


def link(name: str, page: str) -> str:
  """Return a link whose text is code."""
  return f"[`{name}`]({page})"
