"""Sections of a component's docstrings: summary, details, equation, departures, papers.

The first line of a component's file says what it is and cites the paper. The class's
docstring begins with a summary; "Equation:" and "Departures:" head indented blocks, the
first with one equation per line, the second with a list of what differs from the paper.
"""

import inspect
import re
import textwrap
from collections.abc import Callable
from typing import Any, NamedTuple

HEADINGS = ("Equation", "Departures")
Component = Callable[..., Any]


class Description(NamedTuple):
  """Texts of a component, from its file's docstring and its own."""

  heading: str  # First line of the file: what it is, with the paper.
  notes: str  # The rest of the file's docstring.
  summary: str  # First paragraph of its own docstring.
  details: str  # Its further paragraphs, without the sections.
  equation: tuple[str, ...]  # One equation per line.
  departures: tuple[str, ...]  # Differences from the paper.
  papers: tuple[str, ...]  # arXiv identifiers, such as "1706.03762".


def describe(component: Component) -> Description:
  """Return the texts of a class or function."""
  own = inspect.cleandoc(component.__doc__ or "")
  module = inspect.getmodule(component)
  file = inspect.getdoc(module) or ""
  if inspect.isfunction(component) and not _has_own_file(component, module):
    file = own.partition("\n")[0]
  heading, _, notes = (file or own).partition("\n")
  prose, sections = _split(own)
  summary, _, details = prose.partition("\n\n")
  equation = textwrap.dedent(sections.get("Equation", "")).splitlines()
  return Description(
    heading=heading,
    notes=notes.strip(),
    summary=" ".join(summary.split()),
    details=details.strip(),
    equation=tuple(line for line in equation if line.strip()),
    departures=_items(sections.get("Departures", "")),
    papers=tuple(dict.fromkeys(re.findall(r"arXiv:(\d{4}\.\d{4,5})", file + own))),
  )


def paper_url(identifier: str) -> str:
  """Return the address of a paper on arXiv."""
  return f"https://arxiv.org/abs/{identifier}"


def _has_own_file(component: Component, module: Any) -> bool:
  """Return whether a file is named like the function, so that it describes no other."""
  return module is not None and module.__name__.endswith(f".{component.__name__}")


def _split(text: str) -> tuple[str, dict[str, str]]:
  """Return a docstring without its sections, and their indented blocks by heading."""
  heading = re.compile(rf"^({'|'.join(HEADINGS)}):\n((?:(?:  .*)?(?:\n|\Z))*)", re.M)
  sections = {found[1]: found[2] for found in heading.finditer(text)}
  return heading.sub("", text).strip(), sections


def _items(block: str) -> tuple[str, ...]:
  """Return the items of a list, each on one line."""
  items = re.split(r"^ *- ", block, flags=re.MULTILINE)
  return tuple(" ".join(item.split()) for item in items if item.strip())
