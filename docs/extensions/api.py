"""Pages of the API: one for each name in attention_lab.__all__."""

import inspect
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import attention_lab
from attention_lab.catalogue.markdown import link, prose, table

HEAD = """\
# API

`import attention_lab` is quick and loads no JAX; each name loads what it needs when it is
first used.
"""


def pages() -> Iterator[tuple[str, str]]:
  """Yield path and text of the index and of the page of each name."""
  names = sorted(attention_lab.__all__, key=str.lower)
  rows = [(link(name, f"{_stem(name)}.md"), prose(_summary(name))) for name in names]
  listed = "\n".join(map(_stem, names))
  tree = f"```{{toctree}}\n:hidden:\n:maxdepth: 1\n\n{listed}\n```"
  yield "index.md", "\n\n".join([HEAD, table(("name", "what it is"), rows), tree, ""])
  for name in names:
    yield f"{_stem(name)}.md", _page(name)


def _target(name: str) -> Any:
  """Return the object of a name; some packages are functions, too."""
  found = getattr(attention_lab, name)
  return (
    getattr(found, "__wrapped__", found) if isinstance(found, ModuleType) else found
  )


def _kind(target: Any) -> str:
  if isinstance(target, ModuleType):
    return "module"
  return "class" if inspect.isclass(target) else "function"


def _stem(name: str) -> str:
  """Return the name of the page's file, one that differs in more than capitals."""
  return f"{_kind(_target(name))}-{name}"


def _summary(name: str) -> str:
  text = inspect.getdoc(_target(name)) or ""
  return " ".join(text.partition("\n\n")[0].split())


def _page(name: str) -> str:
  target = _target(name)
  if isinstance(target, ModuleType):
    lines = [_summary(name), ""]
    for word in target.__all__:
      each = getattr(target, word)
      lines += [f"`attention_lab.{name}.{word}`:", ""]
      lines += _directive(each, f"{each.__module__}.{each.__name__}")
  elif target is getattr(attention_lab, name):
    lines = _directive(target, f"attention_lab.{name}")
  else:
    lines = [f"`attention_lab.{name}`:", ""]
    lines += _directive(target, f"{target.__module__}.{name}")
  return "\n".join([f"# {name}", "", *lines])


def _directive(target: Any, place: str) -> list[str]:
  """Return the lines that document an object, imported from a place."""
  kind = _kind(target)
  members = ["   :members:"] * (kind == "class")
  return ["```{eval-rst}", f".. auto{kind}:: {place}", *members, "```", ""]
