"""Code of a run: what has changed since it was recorded, and whether it may continue."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from attention_lab.errors import UserError
from attention_lab.run import folder as run_folder
from attention_lab.system.code_hash import changes

MOST_NAMES = 4  # Most changed files that a message lists.


def changed_code(workdir: Path, code: Mapping[str, str]) -> list[str]:
  """Return the names in which code differs from that of a run's last start.

  None are returned if the folder holds no run, or one whose code was not recorded.

  Args:
    workdir: the folder.
    code: from `code_hash.used_code`.
  """
  return changed_since(last_code(workdir), code)


def last_code(workdir: Path) -> dict[str, str] | None:
  """Return the code of a run's last start; None if there is no run, or none recorded."""
  return (run_folder.recorded_codes(workdir) or [None])[-1]


def changed_since(
  recorded: Mapping[str, str] | None, code: Mapping[str, str]
) -> list[str]:
  """Return the names in which code differs from recorded code; none if none was."""
  return [] if recorded is None else changes(recorded, code)


def refuse_other_code(workdir: Path, code: Mapping[str, str], policy: str) -> None:
  """Raise `UserError` if the code of a folder's run has changed, and name the files.

  Args:
    workdir: the folder.
    code: from `code_hash.used_code`.
    policy: "refuse", or "accept" to raise nothing.
  """
  refuse_changed(workdir, changed_code(workdir, code), policy)


def refuse_changed(path: Path, changed: Sequence[str], policy: str) -> None:
  """Raise `UserError` if code has changed, unless the policy is "accept".

  Args:
    path: the folder of the run, or the file that it was exported to.
    changed: names of the files.
    policy: "refuse" or "accept".
  """
  if changed and policy == "refuse":
    raise UserError(
      f"{message(path, changed)} Restore it, name another --workdir, or type "
      f"--config.checkpoint.changed_code=accept, which is recorded."
    )


def message(path: Path, changed: Sequence[str]) -> str:
  """Return that the code of the run in a folder or file has changed, as a sentence."""
  return f"The code of the run in {path} has changed since ({named(changed)})."


def named(changed: Sequence[str]) -> str:
  """Return the names of changed files, the first few of many."""
  rest = len(changed) - MOST_NAMES
  more = f" and {rest} more" * (rest > 0)
  return ", ".join(changed[:MOST_NAMES]) + more
