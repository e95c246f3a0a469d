"""A run's folder: its config.json, and what may be read from and written to it."""

import contextlib
import hashlib
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from attention_lab import config as configs
from attention_lab import optimizer as optimizers
from attention_lab.errors import UserError
from attention_lab.run.checkpoint import Checkpoints
from attention_lab.system import lock as locks
from attention_lab.system.files import (
  make_folder,
  read_json,
  remove_partial,
  write_atomically,
  write_json,
  writing,
)
from attention_lab.system.versions import all_versions

CONFIG = "config.json"
CHECKPOINTS = "checkpoints"
LOCK = ".lock"
RUNS = Path("runs")  # Where runs go that were given no folder.


def stored_config(workdir: Path) -> dict[str, Any] | None:
  """The configuration of the run in a folder; None if there is none."""
  path = workdir / CONFIG
  if not os.path.exists(path):
    return None
  content = read_json(path)
  if not (isinstance(content, dict) and isinstance(content.get("config"), dict)):
    raise UserError(f"{path} is not a run's configuration: it has no 'config'.")
  return content["config"]


def new_folder(config: Any) -> Path:
  """A folder named after the time and what is tried."""
  moment = time.strftime("%Y%m%d-%H%M%S")
  words = [config.attention, config.position, config.dataset]
  safe = "-".join(
    "".join(c if c.isalnum() or c == "_" else "-" for c in w) for w in words
  )
  return RUNS / f"{moment}-{safe[:80].strip('-')}"


def existing(workdir: str | None) -> Path:
  """The folder of a run that is there; raises UserError if it is not."""
  if workdir and os.path.exists(Path(workdir) / CONFIG):
    return Path(workdir)
  newest = max(RUNS.glob(f"*/{CONFIG}"), key=lambda p: p.stat().st_mtime, default=None)
  hint = f" The newest one here: --workdir={newest.parent}" if newest else ""
  what = (
    f"There is no run in {workdir}." if workdir else "Name a run with --workdir=..."
  )
  raise UserError(what + hint)


def kept(workdir: Path) -> dict[str, bytes]:
  """The files that a run keeps so that it can be used without its data, by name.

  Each is compared with its sha256 in config.json; one that is lost or damaged is taken
  from a checkpoint. A folder without a run has none.

  Raises:
    UserError: a file is in neither.
  """
  if stored_config(workdir) is None:
    return {}
  found = {}
  for name, digest in read_json(workdir / CONFIG).get("files", {}).items():
    if Path(name).name != name or name in ("", ".."):
      raise UserError(
        f"{workdir / CONFIG}: {name!r} is no name of a file in its folder."
      )
    content = _content(workdir / name)
    if _sha256(content) != digest:
      content = Checkpoints(workdir / CHECKPOINTS, 1).files().get(name, b"")
    if _sha256(content) != digest:
      raise UserError(
        f"{workdir / name} is lost or damaged, and no checkpoint beside it holds it. "
        f"Bring it back, or name another --workdir."
      )
    found[name] = content
  return found


def _content(path: Path) -> bytes:
  return path.read_bytes() if os.path.isfile(path) else b""


def _sha256(content: bytes) -> str:
  return hashlib.sha256(content).hexdigest()


@contextlib.contextmanager
def held(workdir: Path, config: Any, fingerprint: str) -> Iterator[None]:
  """Makes the folder, if need be, and keeps other processes from training in it.

  Raises:
    UserError: the folder cannot be written to, is another process's, or holds a run of
      another configuration or of other data.
  """
  stored = stored_config(workdir)
  if stored is not None:
    refuse_other_config(workdir, stored, config)
    refuse_other_data(workdir, fingerprint)
  make_folder(workdir, "workdir")
  remedy = "Wait for it or end it, or name another --workdir."
  with locks.alone(workdir / LOCK, remedy):
    make_folder(workdir / CHECKPOINTS, "workdir")
    for folder in (workdir, workdir / CHECKPOINTS):
      remove_partial(folder)
    yield


def record(
  workdir: Path,
  config: Any,
  fingerprint: str,
  devices: list[Any],
  files: Mapping[str, bytes] = MappingProxyType({}),
) -> None:
  """Writes into a folder that is `held` its config.json, to which each start adds where
  it came from, and the files that the run keeps.

  Raises:
    UserError: the folder cannot be written to.
  """
  earlier = []
  if stored_config(workdir) is not None:
    content = read_json(workdir / CONFIG)
    earlier = [*content.get("earlier", []), content["provenance"]]
  provenance = {
    "command": command(),
    "dataset_sha256": fingerprint,
    "versions": all_versions(),
    "git_commit": _git_commit(),
    "devices": [device.device_kind for device in devices],
    "platform": devices[0].platform,
  }
  content = {"config": config.to_dict(), "provenance": provenance, "earlier": earlier}
  if files:
    content["files"] = {name: _sha256(data) for name, data in files.items()}
  with writing(workdir):
    for name, data in files.items():
      _write(workdir / name, data)
    write_json(workdir / CONFIG, content)


def command() -> str:
  """What was typed."""
  return shlex.join(["python", "-m", "attention_lab.main", *sys.argv[1:]])


def _write(path: Path, content: bytes) -> None:
  write_atomically(path.parent, lambda file: file.write(content), lambda _: path.name)


def refuse_other_config(workdir: Path, stored: Mapping[str, Any], config: Any) -> None:
  """Raises UserError naming the settings in which a run and `config` differ."""
  different = configs.differences(configs.from_stored(stored), config)
  if "steps" in different and not optimizers.depends_on_steps(config.train.schedule):
    del different["steps"]  # More steps of the same schedule: the same run, longer.
  if different:
    listed = ", ".join(
      f"{k}: {old!r} there, {new!r} here" for k, (old, new) in different.items()
    )
    raise UserError(
      f"{workdir} holds a run of another configuration ({listed}). Leave these flags "
      f"out to go on with it, or name another --workdir."
    )


def refuse_other_data(workdir: Path, fingerprint: str) -> None:
  """Raises UserError if the run was trained on other data."""
  recorded = read_json(workdir / CONFIG).get("provenance", {}).get("dataset_sha256")
  if recorded != fingerprint:
    raise UserError(
      f"The data has changed since the run in {workdir} began (sha256 {recorded} then, "
      f"{fingerprint} now). Bring the old data back, or name another --workdir."
    )


def _git_commit() -> str | None:
  """The commit of the checkout this package lies in, "+" behind it if changed."""
  folder = Path(__file__).parent
  try:
    ask = lambda *words: subprocess.run(  # noqa: E731
      ["git", "-C", folder, *words],
      capture_output=True,
      text=True,
      check=True,
      timeout=5,
    ).stdout.strip()
    if not ask("ls-files", "--", __file__):
      return None  # Somebody else's repository around an installed package.
    return ask("rev-parse", "HEAD") + (
      "+" if ask("status", "--porcelain", "-uno") else ""
    )
  except (OSError, subprocess.SubprocessError):
    return None
