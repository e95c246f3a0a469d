"""Results on diagnostic tasks, read from the tables of docs/measurements."""

import re

from extensions.repository import DOCS

# Files whose tables have a row per component, and the title of the task.
FILES = {
  "associative_recall": "Accuracy of [associative recall]",
  "length_generalisation": "Accuracy of [copying by length]",
}


def by_component() -> dict[str, str]:
  """Return the results of each component as Markdown, by "kind/name"."""
  found: dict[str, str] = {}
  for stem, title in FILES.items():
    text = (DOCS / "measurements" / f"{stem}.md").read_text("utf-8")
    for table in re.findall(r"(?:^\|.*\|\n)+", text, flags=re.MULTILINE):
      head, line, *rows = table.splitlines()
      kind = head.split("|")[1].strip()
      for name in dict.fromkeys(map(_name, rows)):
        own = [row for row in rows if _name(row) == name]
        place = f"../../../measurements/{stem}.md"
        found[f"{kind}/{name}"] = "\n".join(
          [f"{title}({place}):", "", head, line, *own]
        )
  return found


def _name(row: str) -> str:
  """Return the component of a row, without its options."""
  return re.findall(r"\w+", row)[0]
