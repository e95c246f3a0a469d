"""Stored measurements of attentions, as results of --mode=benchmark."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

KINDS = ("forward", "gradient", "decode")
STORED = Path(__file__).with_name("attention_costs.json")


class Cost(NamedTuple):
  """Time of an attention at a length, alone and over that of the first attention."""

  length: int
  kind: str  # Of KINDS.
  seconds: float
  ratio: float


class Measurement(NamedTuple):
  """One run of --mode=benchmark, all of whose programs were timed in turns."""

  command: str
  machine: str
  baseline: str  # The first attention, which ratios refer to.
  costs: dict[str, list[Cost]]  # By attention.


def read(path: Path = STORED) -> list[Measurement]:
  """Return the measurements of a file; by default, those of the built-in attentions."""
  return [_measurement(each) for each in json.loads(path.read_text("utf-8"))]


def of_attention(name: str, measurements: Sequence[Measurement]) -> Measurement | None:
  """Return the first measurement that contains an attention."""
  return next((each for each in measurements if name in each.costs), None)


def _measurement(stored: dict[str, Any]) -> Measurement:
  records = [each for each in stored["records"] if each["seconds"] is not None]
  baseline = records[0]["attention"]
  first = {
    (each["length"], each["kind"]): each["seconds"]
    for each in records
    if each["attention"] == baseline
  }
  costs: dict[str, list[Cost]] = {}
  for each in records:
    length, kind, seconds = each["length"], each["kind"], each["seconds"]
    ratio = seconds / first[length, kind]
    costs.setdefault(each["attention"], []).append(Cost(length, kind, seconds, ratio))
  return Measurement(stored["command"], stored["machine"], baseline, costs)
