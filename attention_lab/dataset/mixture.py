"""Examples of several datasets in one batch, in given shares (no paper)."""

import dataclasses
import functools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from attention_lab.dataset.base.dataset import TASKS, Dataset, register_dataset
from attention_lab.dataset.base.mixed import BLOCK, Mixed
from attention_lab.dataset.base.wrapped import offered_tasks, source_of
from attention_lab.errors import UserError
from attention_lab.plugin import spec as specs
from attention_lab.tokenizer.base.vocabulary import Vocabulary, difference


@register_dataset("mixture")
@dataclasses.dataclass(kw_only=True)
class Mixture(Mixed):
  """Each training example is one of several datasets, its sources.

  Of every 1,000 examples in succession, each source has its share, to a whole number, at
  random places. Each source goes through passes of its own. The loss of validation is the
  mean of the sources' losses, weighted by the shares; `loss/NAME` is that of one source.
  The sources need the same vocabulary and `sequence_length`.
  """

  of: tuple[str, ...]  # The datasets, with options: of=('python_docs', "tokens(…)").
  weights: tuple[float, ...] = ()  # Their shares, up to a factor; () for equal ones.
  names: tuple[str, ...] = ()  # Their names in metrics; () for those of the datasets.

  tasks: ClassVar[tuple[str, ...]] = ("next_token", "labels", "masked")

  @classmethod
  def offered(cls, options: Mapping[str, Any]) -> tuple[str, ...]:
    of = _specs(options["of"])
    each = [offered_tasks(spec) for spec in of]
    common = tuple(x for x in cls.tasks if all(x in tasks for tasks in each))
    if not common:
      forms = (" or ".join(tasks) for tasks in each)
      raise UserError(
        f"mixture: the sources have no form of targets in common, of "
        f"{', '.join(cls.tasks)}: {'; '.join(map(': '.join, zip(of, forms, strict=True)))}."
      )
    return common

  def __post_init__(self) -> None:
    if self.seed < 0:
      raise UserError(f"mixture(seed={self.seed}): take 0 or more.")
    counts = _counts(self.weights, len(self.of))
    sources = [source_of(each, self, self.task or TASKS[0]) for each in self.of]
    _refuse_lengths(sources, self.sequence_length)
    self.mix(sources, _names(self.names, self.of), counts)
    # An instance has these from its sources, not from a class.
    primary = {each.primary for each in sources}
    vars(self).update(
      tasks=(self.task or TASKS[0],),
      primary=primary.pop() if len(primary) == 1 else "loss",
    )

  def over(self, sources: Sequence[Dataset]) -> Dataset:
    options: dict[str, Any] = {"of": tuple(sources), "names": self.source_names}
    return dataclasses.replace(self, **options)

  @property
  def recipe(self) -> str:
    return f"mixture {self.counts}, seed {self.seed}"

  @functools.cached_property
  def vocabulary(self) -> Vocabulary:
    first, *others = (each.vocabulary for each in self.sources)
    for name, other in zip(self.source_names[1:], others, strict=True):
      if (found := difference(first, other)) is not None:
        token, one, another = found
        raise UserError(
          f"mixture: {self.source_names[0]} has {first.size} tokens and {name} has "
          f"{other.size}; the first that differs is token {token}: {one} and {another}. "
          f"Take one vocabulary for all: for texts tokenizer='bytes' or the same tokenizer "
          f"file, for token files the same vocabulary_size."
        )
    return first

  @property
  def token_bytes(self) -> np.ndarray | None:
    each = [source.token_bytes for source in self.sources]
    return None if any(table is None for table in each) else each[0]

  @property
  def best_loss(self) -> float | None:
    best = [each.best_loss for each in self.sources]
    known = [loss for loss in best if loss is not None]
    if len(known) < len(best):
      return None
    return float(np.dot(known, self.counts)) / BLOCK

  def described(self, batch_size: int) -> str:
    parts = (
      f"{share:.1%} {name} ({source.size('train'):,} examples per pass)"
      for (name, share), source in zip(self.shares.items(), self.sources, strict=True)
    )
    lines = f"Mixture: {', '.join(parts)}", super().described(batch_size)
    return "; ".join(filter(None, lines))


def _specs(of: Any) -> tuple[str, ...]:
  """Return the option `of`; raise `UserError` unless it holds the specs of datasets."""
  if len(of) < 2 or not all(isinstance(spec, str) for spec in of):
    raise UserError(
      f"mixture(of={of!r}): take two datasets or more, as text: of=('NAME', 'NAME')."
    )
  return tuple(of)


def _counts(weights: Sequence[float], sources: int) -> list[int]:
  """Return how many of `BLOCK` examples each source has, by largest remainders.

  Raises:
    UserError: the weights are no shares of this number of sources.
  """
  given = weights or (1.0,) * sources
  if len(given) != sources:
    raise UserError(
      f"mixture(weights={weights!r}): {len(given)} weights for {sources} datasets."
    )
  right = all(type(x) in (int, float) and math.isfinite(x) and x > 0 for x in given)
  if not right:
    raise UserError(
      f"mixture(weights={weights!r}): take numbers above 0; leave out a dataset with 0."
    )
  exact = BLOCK * np.array(given, np.float64) / math.fsum(given)
  counts = np.floor(exact).astype(int)
  largest = np.argsort(counts - exact, kind="stable")[: BLOCK - counts.sum()]
  counts[largest] += 1
  if not counts.all():
    raise UserError(
      f"mixture(weights={weights!r}): a dataset has a share of less than 1 in "
      f"{BLOCK:,}; take more, or leave it out."
    )
  return counts.tolist()


def _refuse_lengths(sources: Sequence[Dataset], length: int) -> None:
  """Raise `UserError` unless the sources have one length, or all get another."""
  lengths = [each.sequence_length for each in sources]
  if not length and len({*lengths}) > 1:
    raise UserError(
      f"mixture: the datasets have examples of {' and '.join(map(str, lengths))} tokens. "
      f"Set one length for all: mixture(…, sequence_length={lengths[0]})."
    )


def _names(names: Sequence[str], of: Sequence[Any]) -> tuple[str, ...]:
  """Return the names of the sources: those given, or those of the datasets.

  Datasets of the same name get a number.

  Raises:
    UserError: the given ones are not one different name for each.
  """
  if names:
    if len(names) != len(of) or len({*names}) < len(of):
      raise UserError(
        f"mixture(names={names!r}): take one name for each of {len(of)} datasets, all "
        f"different."
      )
    return tuple(map(str, names))
  found = [specs.parse(spec).name for spec in of]
  count, seen = Counter(found), Counter[str]()
  for i, name in enumerate(found):
    seen[name] += 1
    if count[name] > 1:
      found[i] = f"{name}_{seen[name]}"
  return tuple(found)
