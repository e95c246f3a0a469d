"""The page docs/guides/settings.md, generated from the table of settings.

python -m attention_lab.settings.page > docs/guides/settings.md
"""

from collections.abc import Iterable, Iterator

from attention_lab.settings.setting import Setting
from attention_lab.settings.table import SETTINGS

HEAD = """\
# Settings

Every setting of an experiment, generated from `attention_lab/settings/` with
`python -m attention_lab.settings.page > docs/guides/settings.md`. Set one with
`--config.section.key=value`, or with its flag if it has one. A resumed run may change the
settings marked in the last column, and `--mode=evaluate` those marked "evaluation only"
too; all others have to be those that the run began with.
"""
COLUMNS = ("setting", "default", "meaning", "accepts", "flag", "resume")


def page() -> str:
  """Return the page as Markdown."""
  parts, sections = [HEAD], dict[str, list[str]]()
  for key in SETTINGS:
    sections.setdefault(key.rpartition(".")[0], []).append(key)
  for section, keys in sections.items():
    parts.append(f"## {section or 'General'}\n\n" + "\n".join(_table(keys)) + "\n")
  return "\n".join(parts)


def _table(keys: Iterable[str]) -> Iterator[str]:
  yield f"| {' | '.join(COLUMNS)} |"
  yield "| --- " * len(COLUMNS) + "|"
  for key in keys:
    yield f"| {' | '.join(_cells(key, SETTINGS[key]))} |"


def _cells(key: str, setting: Setting) -> tuple[str, ...]:
  return (
    f"`{key}`",
    f"`{setting.default!r}`",
    setting.help.replace("|", "\\|"),
    setting.accepts() or setting.type.__name__,
    f"`--{setting.flag}`" if setting.flag else "",
    "may change" * setting.resumable + "evaluation only" * setting.evaluable,
  )


if __name__ == "__main__":
  print(page(), end="")
