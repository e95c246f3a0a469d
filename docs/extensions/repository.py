"""Links from pages to files of the repository lead to pages of the site.

A page is written for a code host, where ../../README.md and ../../attention_lab/update.py
are files. On the site, Markdown files become pages, and source files and folders become
pages that show them.
"""

import os
import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1]
ROOT = DOCS.parent
GENERATED = DOCS / "_generated"
PAGES = ("README.md", "CHANGELOG.md", "BUILD_NOTES.md", "experiments/README.md")
PICTURES = (".png", ".svg", ".jpg")
LANGUAGES = {".py": "python", ".sbatch": "bash", ".toml": "toml", ".css": "css"}
LINK = re.compile(r"(\]\()([^)\s#]+)((?:#[^)\s]*)?\))")
FENCE = re.compile(r"^(```.*?^```)$", re.DOTALL | re.MULTILINE)


def copy_pages() -> None:
  """Write the repository's own Markdown files as pages."""
  for name in PAGES:
    page = _page_of(ROOT / name)
    text = (ROOT / name).read_text("utf-8")
    write(page, with_links(text, ROOT / name, page))


def with_links(text: str, original: Path, page: Path) -> str:
  """Return Markdown with links that lead into the repository replaced.

  Args:
    text: the Markdown.
    original: file whose folder the links start from.
    page: file of the page, whose folder they shall start from.
  """

  def replaced(found: re.Match[str]) -> str:
    target = (original.parent / found[2]).resolve()
    if "://" in found[2] or not target.exists() or target.is_relative_to(GENERATED):
      return found[0]
    place = _page_of(target)
    anchor = found[3] if place.suffix == ".md" and target.suffix == ".md" else ")"
    return found[1] + os.path.relpath(place, page.parent) + anchor

  pieces = FENCE.split(text)
  pieces[::2] = [LINK.sub(replaced, piece) for piece in pieces[::2]]
  return "".join(pieces)


def _page_of(target: Path) -> Path:
  """Return the file of the page that stands for a file or folder of the repository."""
  if target.suffix in PICTURES:
    return target
  if target in (DOCS, DOCS / "README.md"):
    return DOCS / "index.md"
  if target.is_relative_to(DOCS) and target.suffix == ".md":
    return target
  name = target.relative_to(ROOT)
  if str(name) in PAGES:
    return GENERATED / "repository" / name
  page = GENERATED / "source" / f"{name}.md"
  if not page.exists():
    write(page, "")  # Folders and files may refer to each other.
    write(page, _folder(target, page) if target.is_dir() else _source(target))
  return page


def _folder(folder: Path, page: Path) -> str:
  names = [*folder.glob("*.py"), *folder.glob("*.md")]
  items = [
    f"- [{each.name}]({os.path.relpath(_page_of(each), page.parent)})"
    for each in sorted(names)
    if each.name != "__init__.py"
  ]
  return "\n".join(
    ["---\norphan: true\n---", f"# {folder.relative_to(ROOT)}", "", *items]
  )


def _source(file: Path) -> str:
  language = LANGUAGES.get(file.suffix, "text")
  lines = ["---", "orphan: true", "---", f"# {file.relative_to(ROOT)}", ""]
  return "\n".join([*lines, f"````{language}", file.read_text("utf-8"), "````", ""])


def write(file: Path, text: str) -> None:
  """Write a generated page, unless it is there with the same text."""
  file.parent.mkdir(parents=True, exist_ok=True)
  if not file.exists() or file.read_text("utf-8") != text:
    file.write_text(text, "utf-8")


def replace_links(app: Any, name: str, source: list[str]) -> None:
  """Replace the links of a page that is about to be read."""
  page = Path(app.env.doc2path(name))
  if not page.is_relative_to(GENERATED):
    source[0] = with_links(source[0], page, page)


def make_linked_pages() -> None:
  """Write the pages of files that the pages in docs/ link to, before Sphinx lists pages."""
  for page in DOCS.rglob("*.md"):
    if not page.is_relative_to(GENERATED):
      with_links(page.read_text("utf-8"), page, page)


def setup(app: Any) -> dict[str, bool]:
  app.connect("source-read", replace_links)
  return {"parallel_read_safe": True}
