"""Check the links within a built site.

python docs/extensions/check_links.py build/docs
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
  """The addresses that a page refers to, and its anchors."""

  def __init__(self, text: str):
    super().__init__()
    self.targets: set[str] = set()
    self.anchors: set[str] = {""}
    self.feed(text)

  def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
    """Collect addresses and anchors."""
    for key, value in attrs:
      if value and key in ("href", "src"):
        self.targets.add(value)
      elif value and key == "id":
        self.anchors.add(value)


def broken(site: Path) -> list[str]:
  """Return a line for each link within the site that has no target."""
  pages = {path: Page(path.read_text("utf-8")) for path in site.rglob("*.html")}
  found = []
  for path, page in pages.items():
    for target in sorted(page.targets):
      address = urlsplit(target)
      if address.scheme or address.netloc:
        continue
      name = unquote(address.path)
      file = (path.parent / name).resolve() if name else path
      anchors = pages[file].anchors if file in pages else None
      anchor = unquote(address.fragment)
      if not file.exists() or (anchors is not None and anchor not in anchors):
        found.append(f"{path.relative_to(site)}: {target}")
  return found


if __name__ == "__main__":
  lines = broken(Path(sys.argv[1]).resolve())
  print("\n".join(lines) or "No internal link is broken.")
  sys.exit(bool(lines))
