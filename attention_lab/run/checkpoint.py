"""Checkpoints: one .npz per step, with its sha256 in its name, written atomically.

Every flipped bit of a file changes its sha256, so damage is always detected;
docs/measurements/reliability.md compares this with orbax. Nothing is unpickled.
"""

import hashlib
import itertools
import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, NamedTuple

import numpy as np

from attention_lab.errors import UserError
from attention_lab.run.named_arrays import FILES, META, named_leaves, unflatten
from attention_lab.system import npz
from attention_lab.system.files import (
  advice_after,
  is_missing,
  parse_json,
  write_atomically,
)
from attention_lab.system.regular import read_regular, refuse_link
from attention_lab.system.shape import OrNull, refuse_malformed

DIGEST_LENGTH = 16  # Hex digits of the sha256 in the name.
# Shape of the meta data that is used here.
OF_META = {"validation_loss?": OrNull(float), "validated?": OrNull([int])}


class Restored(NamedTuple):
  """Content of a checkpoint."""

  tree: Any  # Host arrays.
  meta: dict[str, Any]
  path: Path
  sha256: str = ""  # Of the file.


# (path, meta data) → None; raises `UserError` at a checkpoint that is not to be used.
Refuse = Callable[[Path, Mapping[str, Any]], None]


class Checkpoints:
  """The checkpoints in a folder: the newest `keep`, and the best.

  Args:
    folder: an existing folder.
    keep: number of newest checkpoints to keep; the best one is kept too. It has the
      lowest "validation_loss" in its meta data of those whose own step was validated.
    files: contents of the files that every checkpoint holds, by name.
    refuse: refuses checkpoints of other runs when they are restored.
  """

  def __init__(
    self,
    folder: Path,
    keep: int,
    files: Mapping[str, bytes] = MappingProxyType({}),
    refuse: Refuse = lambda path, meta: None,
  ):
    self.folder = folder
    self.keep = keep
    self._refuse = refuse
    self._files = {
      f"{FILES}{name}": np.frombuffer(content, np.uint8)
      for name, content in files.items()
    }
    self._losses: dict[Path, float] = {}
    self._left: set[Path] = set()  # Could not be removed.

  @property
  def files_size(self) -> int:
    """Size in bytes of the files that every checkpoint holds."""
    return sum(content.size for content in self._files.values())

  def to_come(self) -> int:
    """Return how many more checkpoints there will be at most than there are now."""
    return max(
      1, self.keep + 2 - len(self.paths())
    )  # The best one, and one being written.

  def paths(self) -> list[Path]:
    """Return all checkpoints, newest first; raise `UserError` if they cannot be listed."""
    if is_missing(self.folder):
      return []
    try:
      found = [self.folder / name for name in os.listdir(self.folder)]
    except OSError as error:
      raise UserError(f"Cannot read {self.folder}: {error.strerror}.") from None
    return sorted(filter(_is_checkpoint, found), key=step_of, reverse=True)

  def last_step(self) -> int:
    """Return the step of the newest checkpoint; 0 if there is none."""
    return max(map(step_of, self.paths()), default=0)

  def save(self, step: int, tree: Any, meta: dict[str, Any]) -> Path:
    """Save a tree of host arrays; `remove_old` then removes what is not kept."""
    arrays = dict(named_leaves(tree)) | self._files
    arrays[META] = np.frombuffer(json.dumps(meta).encode(), np.uint8)

    def name(file: IO[bytes]) -> str:
      digest = hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
      return f"{step:09d}-{digest[:DIGEST_LENGTH]}.npz"

    refuse_link(self.folder)  # Another process may have replaced it.
    try:
      path = write_atomically(self.folder, lambda file: np.savez(file, **arrays), name)
    except OSError as error:
      raise UserError(
        f"The checkpoint of step {step} could not be written to {self.folder}: "
        f"{error.strerror}. {advice_after(error)}"
      ) from None
    self._losses[path] = _loss_of(step, meta)
    return path

  def remove_old(self, newest: Path) -> None:
    """Remove the checkpoints that are not kept besides the one just saved."""
    for old in self._unwanted(newest):
      try:
        old.unlink(missing_ok=True)
      except OSError as error:  # Also a folder of this name.
        if old not in self._left:
          print(f"warning: cannot remove {old}: {error.strerror}.", file=sys.stderr)
        self._left.add(old)

  def restore(
    self, like: Any, which: str = "newest", only: str = ""
  ) -> Restored | None:
    """Return the newest readable checkpoint, or the best; None if there is none.

    Damaged checkpoints are named on standard error and skipped.

    Args:
      like: a tree with the expected structure, shapes and dtypes.
      which: "newest" or "best" (lowest validation loss).
      only: beginning of the names of the arrays that `like` has to have all of.

    Raises:
      UserError: every checkpoint is damaged, or one is refused or differs from `like`.
    """
    paths = self.paths()
    if which == "best" and paths:
      if best := self._best():
        paths = [best, *(path for path in paths if path != best)]
      else:
        print(
          f"warning: no checkpoint in {self.folder} was validated at its own step; the "
          f"newest is used.",
          file=sys.stderr,
        )
    restored = next(self._readable(like, paths, only), None)
    if restored is None and paths:
      raise _all_damaged([self])
    return restored

  def at(self, like: Any, step: int) -> Restored | None:
    """Return the checkpoint of a step; None if there is none, or it is damaged."""
    paths = [path for path in self.paths() if step_of(path) == step]
    return next(self._readable(like, paths), None)

  def newest(self, like: Any, count: int) -> Iterator[Restored]:
    """Yield the readable ones of the newest `keep`, at most `count`, newest first.

    The best one is excluded unless it is among them. Errors are those of `restore`.
    """
    return itertools.islice(self._readable(like, self.paths()[: self.keep]), count)

  def files(self) -> dict[str, bytes]:
    """Return the files that the newest readable checkpoint holds, by name."""
    for path in self.paths():
      if (found := _read(path)) is not None:
        with found[0] as arrays:
          names = [name for name in arrays if name.startswith(FILES)]
          return {name.removeprefix(FILES): bytes(arrays[name]) for name in names}
    return {}

  def _readable(
    self, like: Any, paths: Iterable[Path], only: str = ""
  ) -> Iterator[Restored]:
    """Yield the content of the files that are not damaged; warn about the others."""
    for path in paths:
      if (found := _read(path)) is None:
        print(f"warning: {path} is damaged; trying the one before it.", file=sys.stderr)
        continue
      arrays, sha256 = found
      with arrays:
        meta = _meta(arrays)
        self._refuse(path, meta)  # Before its arrays are found to differ.
        yield Restored(unflatten(like, arrays, path, only), meta, path, sha256)

  def _unwanted(self, newest: Path) -> list[Path]:
    """Return the checkpoints that are neither among the newest nor the best.

    Others of the step just saved, or of later steps, are from before the run fell back to
    an earlier checkpoint; they are returned too.
    """
    paths, now = self.paths(), step_of(newest)
    stale = [path for path in paths if step_of(path) >= now and path != newest]
    older = [path for path in paths if path not in stale]
    best = self._best()
    return stale + [path for path in older[self.keep :] if path != best]

  def _best(self) -> Path | None:
    losses = {path: self._loss(path) for path in self.paths()}
    known = {path: loss for path, loss in losses.items() if math.isfinite(loss)}
    return min(known, key=lambda path: known[path]) if known else None

  def _loss(self, path: Path) -> float:
    """Return the validation loss of a checkpoint; infinite if it is unknown."""
    if path not in self._losses:
      self._losses[path] = math.inf
      if (found := _read(path)) is not None:
        with found[0] as arrays:
          self._losses[path] = _loss_of(step_of(path), _meta(arrays))
    return self._losses[path]


def common_steps(several: Sequence[Checkpoints]) -> list[int]:
  """Return the steps of which all folders have a checkpoint, newest first."""
  steps = [set(map(step_of, each.paths())) for each in several]
  return sorted(set.intersection(*steps), reverse=True)


def restore_together(several: Sequence[Checkpoints], like: Any) -> list[Restored]:
  """Return the checkpoints of the newest step that all folders have.

  The folders differ if a program of several runs was killed between two saves. The result
  is empty if they have no step in common; errors are those of `Checkpoints.restore`.
  """
  steps = common_steps(several)
  for step in steps:
    found = [restored for each in several if (restored := each.at(like, step))]
    if len(found) == len(several):
      return found
  if steps:
    raise _all_damaged(several)
  return []


def _all_damaged(several: Sequence[Checkpoints]) -> UserError:
  folders = ", ".join(str(each.folder) for each in several)
  return UserError(
    f"Every checkpoint in {folders} is damaged. Nothing was removed; to start again, name "
    f"another --workdir."
  )


def _read(path: Path) -> tuple[Any, str] | None:
  """Return the arrays of a file and its sha256; None if it is damaged or unreadable."""
  try:
    content = read_regular(path)
  except (OSError, UserError):  # Also a folder, a link or a pipe of this name.
    return None
  sha256 = hashlib.sha256(content).hexdigest()
  if not path.stem.endswith("-" + sha256[:DIGEST_LENGTH]):
    return None
  try:
    arrays = npz.load(content)
    refuse_malformed(path, _meta(arrays), OF_META)
    return arrays, sha256
  except (ValueError, KeyError, UserError):
    return None


def _meta(arrays: Any) -> dict[str, Any]:
  meta: dict[str, Any] = parse_json(bytes(arrays[META]))
  return meta


def _loss_of(step: int, meta: dict[str, Any]) -> float:
  """Return the validation loss of a checkpoint; infinite if it has none of its own.

  A checkpoint between two validations records the last one, with its step.
  """
  validated = meta.get("validated")  # Earlier versions did not record it.
  if meta.get("validation_loss") is None or (validated and validated[0] != step):
    return math.inf
  return float(meta["validation_loss"])


def _is_checkpoint(path: Path) -> bool:
  step, _, digest = path.stem.partition("-")
  return path.suffix == ".npz" and step.isdecimal() and len(digest) == DIGEST_LENGTH


def step_of(path: Path) -> int:
  """Return the step in the name of a checkpoint."""
  return int(path.stem.partition("-")[0])
