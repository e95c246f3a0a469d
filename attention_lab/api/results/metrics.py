"""Metrics of a split of the data."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

from attention_lab.api.results import show
from attention_lab.decode.bleu import Score
from attention_lab.nn.metrics import perplexity

NUMBERS = (
  *("loss", "accuracy", "sequence_accuracy"),
  *("bits_per_byte", "bits_per_character", "word_perplexity"),
)


@dataclasses.dataclass(frozen=True)
class Metrics:
  """Metrics of a model on a split.

  Attributes:
    loss: mean cross-entropy in nats per token that counts.
    accuracy: share of these tokens that are the most likely ones, from 0 to 1.
    sequence_accuracy: share of sequences whose tokens are all right; None unless the
      dataset is of pairs.
    bits_per_byte: bits per byte of the original text; None unless the dataset is a text
      and the bytes of its tokens are known.
    bits_per_character: of a text, in results of earlier versions; None in others.
    word_perplexity: exp(all nats / number of words) of a whole split, in an evaluation.
    bleu: BLEU of translations; None if none were scored.
    chrf: chrF of translations; None if none were scored.
  """

  loss: float
  accuracy: float
  sequence_accuracy: float | None = None
  bits_per_byte: float | None = None
  bits_per_character: float | None = None
  word_perplexity: float | None = None
  bleu: Score | None = None
  chrf: Score | None = None

  @classmethod
  def of(cls, record: Mapping[str, Any]) -> Self:
    """Return the metrics in a record of summary.json or evaluation.json."""
    numbers: dict[str, Any] = {k: float(record[k]) for k in NUMBERS if k in record}
    scores: dict[str, Any] = {
      name: Score(**record[name]) for name in ("bleu", "chrf") if name in record
    }
    return cls(**numbers, **scores)

  @property
  def perplexity(self) -> float:
    """The exponential of the loss; that of 700 for larger losses."""
    return perplexity(self.loss)

  def texts(self) -> list[str]:
    """Return loss, accuracy and perplexity as texts."""
    return [f"{self.loss:.4f}", f"{self.accuracy:.4f}", f"{self.perplexity:.4g}"]

  def __str__(self) -> str:
    bits = self.bits_per_byte
    also = "" if bits is None else f", {bits:.4f} bits per byte"
    return f"loss {self.loss:.4f} nats, accuracy {self.accuracy:.4f}{also}"


def by_name(
  splits: Mapping[str, Metrics], lengths: Mapping[int, Metrics]
) -> dict[str, Metrics]:
  """Return metrics by split and by length, under names such as "length 64"."""
  return {**splits, **{f"length {length}": x for length, x in lengths.items()}}


def as_table(title: str, found: Mapping[str, Metrics]) -> str:
  """Return metrics by name as an HTML table."""
  head = [title, "loss (nats)", "accuracy", "perplexity"]
  return show.table(head, [[name, *each.texts()] for name, each in found.items()])
