"""The folder of a run: names of its files, its config.json, and who may write to it."""

import contextlib
import hashlib
import os
import secrets
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

from attention_lab.errors import UserError
from attention_lab.run.checkpoint import Checkpoints
from attention_lab.system import lock as locks
from attention_lab.system.files import (
  is_missing,
  make_folder,
  remove_partial,
  write_file,
  write_json,
  writing,
)
from attention_lab.system.processor import processor
from attention_lab.system.regular import read_regular, refuse_link
from attention_lab.system.shape import OrNull, read_shaped
from attention_lab.system.versions import all_versions

# Files and folders in the folder of a run. Nothing else in the package names them.
CONFIG = "config.json"
METRICS = "metrics.jsonl"
SUMMARY = "summary.json"
EVALUATION = "evaluation.json"
TRANSLATIONS = "translations.{}.txt"  # Of a split.
CHECKPOINTS = "checkpoints"
TENSORBOARD = "tensorboard"
PROFILE = "profile"
MAPS = "maps"
WANDB_ID = "wandb_id"
LOCK = ".lock"
SAVED = ".saved"  # Exists if the run has ever saved a checkpoint.

RUNS = Path("runs")  # Where runs without --workdir go.

# The shape of config.json, which may lack what earlier versions did not record.
PROVENANCE = {
  "command?": str,
  "started?": str,
  "dataset_sha256?": str,
  "versions?": {str: OrNull(str)},
  "git_commit?": OrNull(str),
  "devices?": [str],
  "platform?": str,
  "processor?": OrNull(str),
  "from?": dict,
}
CONTENT = {
  "config": dict,
  "provenance?": PROVENANCE,
  "earlier?": [dict],
  "files?": {str: str},
  "code?": [OrNull({str: str})],
}


def stored(workdir: Path) -> dict[str, Any] | None:
  """Return the content of config.json in a folder; None if there is no run.

  Raises:
    UserError: it is malformed.
  """
  path = workdir / CONFIG
  if is_missing(path):
    return None
  return read_shaped(path, CONTENT)


def stored_config(workdir: Path) -> dict[str, Any] | None:
  """Return the configuration of the run in a folder; None if there is no run."""
  content = stored(workdir)
  return None if content is None else content["config"]


def new_folder(*words: str) -> Path:
  """Return the path of a new folder, named after the time and `words`.

  A random suffix tells runs apart that start in the same second.
  """
  moment = time.strftime("%Y%m%d-%H%M%S")
  safe = "-".join(
    "".join(c if c.isalnum() or c == "_" else "-" for c in w) for w in words
  )
  return RUNS / f"{moment}-{safe[:76].strip('-')}-{secrets.token_hex(3)}"


def given_or_new(workdir: str | None, words: Sequence[str]) -> Path:
  """Return `workdir`, or the path of a new folder if none is given."""
  return Path(workdir) if workdir else new_folder(*words)


def existing(workdir: str | None) -> Path:
  """Return `workdir`; raise `UserError` if it holds no run, naming the newest one."""
  if workdir and not is_missing(Path(workdir) / CONFIG):
    return Path(workdir)
  found = filter(os.path.exists, RUNS.glob(f"*/{CONFIG}"))  # A link may lead nowhere.
  newest = max(found, key=os.path.getmtime, default=None)
  hint = f" The newest run is --workdir={newest.parent}" if newest else ""
  what = (
    f"There is no run in {workdir}." if workdir else "Name a run with --workdir=..."
  )
  raise UserError(what + hint)


def refuse_single(workdir: str) -> NoReturn:
  """Raise `UserError` because a comparison is to be made in the folder of a run."""
  raise UserError(
    f"--workdir={workdir} holds a single run, not a comparison. Name another folder, or "
    f"omit --workdir for one in {RUNS}/; --mode=evaluate measures this run."
  )


def kept(workdir: Path) -> dict[str, bytes]:
  """Return the files that a run keeps to be usable without its data, by name.

  The sha256 of each file is compared with config.json; a missing or damaged file is taken
  from a checkpoint. A folder without a run has none.

  Raises:
    UserError: a file is missing or damaged in both places.
  """
  found = {}
  for name, digest in ((stored(workdir) or {}).get("files") or {}).items():
    if Path(name).name != name or name in ("", ".."):
      raise UserError(f"{workdir / CONFIG}: {name!r} is not the name of a file.")
    content = _content(workdir / name)
    if _sha256(content) != digest:
      content = Checkpoints(workdir / CHECKPOINTS, 1).files().get(name, b"")
    if _sha256(content) != digest:
      raise UserError(
        f"{workdir / name} is missing or damaged, and no checkpoint holds a copy. "
        f"Restore the file, or name another --workdir."
      )
    found[name] = content
  return found


def _content(path: Path) -> bytes:
  try:
    return read_regular(path)
  except (OSError, UserError):  # Also a folder, a link or a pipe of this name.
    return b""


def _sha256(content: bytes) -> str:
  return hashlib.sha256(content).hexdigest()


@contextlib.contextmanager
def held(workdir: Path, new: bool = False) -> Iterator[None]:
  """Make the folder if it does not exist, and lock it against other processes.

  Files that a killed process left half written are removed.

  Args:
    workdir: the folder.
    new: whether it must not exist yet.

  Raises:
    UserError: the folder cannot be written to, exists and should not, or another process
      trains in it.
  """
  make_folder(workdir, "workdir", new)
  remedy = "Wait for it or end it, or name another --workdir."
  with locks.alone(workdir / LOCK, remedy):
    refuse_link(workdir / CHECKPOINTS)
    make_folder(workdir / CHECKPOINTS, "workdir")
    for folder in (workdir, workdir / CHECKPOINTS):
      remove_partial(folder)
    yield


def mark_saved(workdir: Path) -> None:
  """Record that a run has saved a checkpoint."""
  if is_missing(workdir / SAVED):
    with writing(workdir / SAVED):
      write_file(workdir / SAVED, b"")


def record(
  workdir: Path,
  settings: Mapping[str, Any],
  fingerprint: str,
  devices: Sequence[Any],
  files: Mapping[str, bytes] = MappingProxyType({}),
  code: Mapping[str, str] = MappingProxyType({}),
  source: Mapping[str, Any] | None = None,
) -> None:
  """Write config.json, and the files that the run keeps, into a folder that is `held`.

  The provenance of earlier starts is kept, and the code of those that had another.

  Args:
    workdir: the folder.
    settings: the configuration, by section.
    fingerprint: sha256 of the data.
    devices: the devices of this start.
    files: contents of the files to keep, by name.
    code: hashes of the code that the run's numbers depend on.
    source: where the first parameters are from, if this start read them from another run.

  Raises:
    UserError: the folder cannot be written to.
  """
  earlier, codes = [], recorded_codes(workdir)
  if (before := stored(workdir)) is not None:
    last = before.get("provenance")
    earlier = [*(before.get("earlier") or []), *([last] if last else [])]
  now = _provenance(fingerprint, devices)
  if source := source or (earlier[-1].get("from") if earlier else None):
    now["from"] = dict(source)
  content = {
    "config": dict(settings),
    "provenance": now,
    "earlier": earlier,
    "code": codes if codes[-1:] == [dict(code)] else [*codes, dict(code)],
  }
  if files:
    content["files"] = {name: _sha256(data) for name, data in files.items()}
  with writing(workdir):
    for name, data in files.items():
      write_file(workdir / name, data)
    write_json(workdir / CONFIG, content)


def _provenance(fingerprint: str, devices: Sequence[Any]) -> dict[str, Any]:
  """Return what is recorded of this start: command, time, data, versions, devices."""
  return {
    "command": command(),
    "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    "dataset_sha256": fingerprint,
    "versions": all_versions(),
    "git_commit": _git_commit(),
    "devices": [device.device_kind for device in devices],
    "platform": devices[0].platform,
    "processor": processor(),
  }


def recorded_codes(workdir: Path) -> list[dict[str, str] | None]:
  """Return the code that a run's starts had, each change of it once.

  None stands for the code of a version that recorded none. A folder without a run has an
  empty list.
  """
  content = stored(workdir)
  return [] if content is None else list(content.get("code") or [None])


def recorded_data(workdir: Path) -> str | None:
  """Return the sha256 of the data that a run was trained on."""
  return provenance(workdir).get("dataset_sha256")


def provenance(workdir: Path) -> dict[str, Any]:
  """Return what was recorded of a run's last start; nothing without a run."""
  return (stored(workdir) or {}).get("provenance") or {}


def command() -> str:
  """Return the command line that was typed."""
  return shlex.join(["python", "-m", "attention_lab.main", *sys.argv[1:]])


def refuse_other_data(workdir: Path, fingerprint: str) -> None:
  """Raise `UserError` if the folder holds a run that was trained on other data."""
  if stored_config(workdir) is None:
    return
  recorded = recorded_data(workdir)
  if recorded != fingerprint:
    raise UserError(
      f"The data has changed since the run in {workdir} began (sha256 {recorded} then, "
      f"{fingerprint} now). Restore the old data, or name another --workdir."
    )


def _git_commit() -> str | None:
  """Return the commit of this package's checkout, with "+" if files have changed."""
  folder = Path(__file__).parent
  try:
    git = lambda *words: subprocess.run(  # noqa: E731
      ["git", "-C", folder, *words],
      capture_output=True,
      text=True,
      check=True,
      timeout=5,
    ).stdout.strip()
    if not git("ls-files", "--", __file__):
      return None  # The package is installed inside another repository.
    return git("rev-parse", "HEAD") + (
      "+" if git("status", "--porcelain", "-uno") else ""
    )
  except (OSError, subprocess.SubprocessError):
    return None
