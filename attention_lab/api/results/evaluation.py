"""Metrics of a trained model: the result of `attention_lab.evaluate`."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Self

from attention_lab.api.results import show
from attention_lab.api.results.metrics import Metrics, as_table, by_name
from attention_lab.decode.bleu import Score
from attention_lab.errors import UserError, nearest


@dataclasses.dataclass(frozen=True, repr=False)
class Evaluation(show.Printed):
  """Metrics of a trained model on the splits of its dataset, and at other lengths.

  Attributes:
    step: training steps of the parameters.
    splits: metrics by split that was evaluated, such as "train" and "validation".
    lengths: metrics on the validation split by length in tokens.
    scores: BLEU and chrF of given files; empty unless evaluation__files names some.
    record: what evaluation.json holds.
  """

  step: int
  splits: Mapping[str, Metrics]
  lengths: Mapping[int, Metrics]
  scores: Mapping[str, Score]
  record: Mapping[str, Any]

  @classmethod
  def of(cls, record: Mapping[str, Any], splits: Sequence[str]) -> Self:
    """Return the metrics in a record of evaluation.json.

    Args:
      record: the record.
      splits: the splits of the dataset.
    """
    lengths = record.get("lengths", {}).items()
    return cls(
      step=record["step"],
      splits={split: Metrics.of(record[split]) for split in splits if split in record},
      lengths={int(length): Metrics.of(found) for length, found in lengths},
      scores={key: Score(**found) for key, found in record.get("files", {}).items()},
      record=record,
    )

  @property
  def train(self) -> Metrics:
    """The metrics on as many training batches as the validation split has."""
    return self["train"]

  @property
  def validation(self) -> Metrics:
    """The metrics on the validation split."""
    return self["validation"]

  def __getitem__(self, split: str) -> Metrics:
    """Return the metrics of a split; raise `UserError` if there is no such split."""
    if split not in self.splits:
      raise UserError(f"There is no split {split!r}. {nearest(split, self.splits)}")
    return self.splits[split]

  def to_pandas(self) -> Any:
    """Return a `pandas.DataFrame` with a line per split and length.

    Raises:
      UserError: pandas is not installed.
    """
    return show.frame(
      [
        {"on": name, **dataclasses.asdict(found)}
        for name, found in self._rows().items()
      ]
    )

  def __str__(self) -> str:
    return "\n".join(f"{name}: {found}" for name, found in self._rows().items())

  def _repr_html_(self) -> str:
    return as_table(f"step {self.step:,}", self._rows())

  def _rows(self) -> dict[str, Metrics]:
    return by_name(self.splits, self.lengths)
