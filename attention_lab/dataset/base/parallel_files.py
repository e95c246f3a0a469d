"""The files of parallel text: one file per side of a split, line by line."""

import dataclasses
import hashlib
import itertools
import os
from pathlib import Path

from attention_lab.dataset.base.lines import file_info
from attention_lab.dataset.reader.paths import cache_root
from attention_lab.errors import UserError

# Names that {split} may stand for.
SPLIT_NAMES = {
  "train": ("train",),
  "validation": ("valid", "validation", "val", "dev"),
  "test": ("test",),
}
SIDES = ("source", "target")
RECIPE = 2  # Version of the files in the cache; another number makes new files.

Names = str | tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class ParallelFiles:
  """Paths and digests of the files of a parallel text.

  Args:
    patterns: path of the files of each side, with {split} for the split's name.
    names: what {split} stands for, by split; "" for the first usual name that exists.
    data_dir: folder to read files in if they do not exist as given; "" for none.
  """

  patterns: dict[str, str]
  names: dict[str, Names]
  data_dir: str

  def __post_init__(self) -> None:
    for side, pattern in self.patterns.items():
      if "{split}" not in pattern:
        raise UserError(
          f"parallel_text({side}={pattern!r}): write {{split}} in place of the split's "
          f"name, such as {side}='{{split}}.en'."
        )

  def exists(self, split: str) -> bool:
    """Return whether a split has names or files."""
    return bool(self._names(split))

  def paths(self, split: str, side: str) -> list[Path]:
    """Return the files of a split on one side."""
    names = self._names(split)
    if not names:
      raise UserError(
        f"{self.patterns[side]}: there is no file for {split}, with {{split}} being one "
        f"of {', '.join(SPLIT_NAMES[split])}. Name it: {split}='...'."
      )
    return [self._path(side, name) for name in names]

  def count_lines(self, split: str) -> int:
    """Return the number of lines; raise `UserError` if the two sides differ in it."""
    total = 0
    for paths in zip(*(self.paths(split, side) for side in SIDES), strict=True):
      source, target = (file_info(path).lines for path in paths)
      if source != target:
        raise UserError(
          f"{paths[0]} has {source} lines, but {paths[1]} has {target}: each line of "
          f"one has to be the translation of that line of the other."
        )
      total += source
    return total

  def digests(self, split: str) -> tuple[tuple[str, ...], ...]:
    """Return the sha256 of the files of a split, by side."""
    self.count_lines(split)
    return tuple(
      tuple(file_info(path).sha256 for path in self.paths(split, side))
      for side in SIDES
    )

  def cache_folder(self, *recipe: object) -> Path:
    """Return the folder of derived files: in the data's folder if it is writable."""
    key = hashlib.sha256(repr((RECIPE, *recipe)).encode()).hexdigest()
    return cache_root(self.data_dir) / "parallel_text" / key[:32]

  def _path(self, side: str, name: str) -> Path:
    path = Path(self.patterns[side].replace("{split}", name)).expanduser()
    if not os.path.exists(path) and self.data_dir:
      path = Path(self.data_dir).expanduser() / path
    return path

  def _names(self, split: str) -> tuple[str, ...]:
    names = self.names[split]
    if names:
      return (names,) if isinstance(names, str) else names
    found = (
      name
      for name in SPLIT_NAMES[split]
      for side in SIDES
      if os.path.exists(self._path(side, name))
    )
    return tuple(itertools.islice(found, 1))
