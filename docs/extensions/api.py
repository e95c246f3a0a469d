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
  """Return the object of a name; `compare` is a package that is a function, too."""
  found = getattr(attention_lab, name)
  if isinstance(found, ModuleType):
    return getattr(__import__(f"attention_lab.api.{name}", fromlist=[name]), name)
  return found


def _stem(name: str) -> str:
  """Return the name of the page's file, one that differs in more than capitals."""
  return f"{'class' if inspect.isclass(_target(name)) else 'function'}-{name}"


def _summary(name: str) -> str:
  text = inspect.getdoc(_target(name)) or ""
  return " ".join(text.partition("\n\n")[0].split())


def _page(name: str) -> str:
  target = _target(name)
  own = name if target is getattr(attention_lab, name) else f"api.{name}.{name}"
  kind = "class" if inspect.isclass(target) else "function"
  lines = [f"# {name}", "", "```{eval-rst}", f".. auto{kind}:: attention_lab.{own}"]
  lines += ["   :members:"] * (kind == "class")
  return "\n".join([*lines, "```", ""])
