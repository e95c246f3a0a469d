"""What a comparison knows once its cells have run: the reports are made from this alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Run(NamedTuple):
  """One row with one seed: a training run in a folder of its own."""

  seed: int
  folder: Path
  status: str  # "finished", "failed" or "not run".
  error: str = ""  # The last line of a run that failed.
  # summary.json: parameters, seconds, tokens_per_second, flops_per_step, steps,
  # memory_bytes, leak_check, train and validation (loss in nats, accuracy, …), lengths
  # (by length: loss, accuracy), above_best.
  summary: Mapping[str, Any] = {}
  # metrics.jsonl: step, split ("train", "validation"), loss, accuracy, learning_rate …
  curve: Sequence[Mapping[str, Any]] = ()


class Maps(NamedTuple):
  """What one trained model attends to on a text that is the same for all rows."""

  tokens: Sequence[str]  # Of the text, S of them.
  weights: np.ndarray  # [layers, heads, S, S] float32; rows sum to 1 if a softmax's.


class Row(NamedTuple):
  """One line of the table: the same settings with every seed."""

  name: str  # Unique: "selective", "selective, d_ff 213", "linear, 3e-4".
  settings: Mapping[str, Any]  # In what it differs from the baseline: setting → value.
  matched: str  # How it was made equal to the baseline, in words; "" where it was not.
  runs: Sequence[Run]  # By seed.
  maps: Maps | None = None  # Of the first run that finished, if it has maps.


class Comparison(NamedTuple):
  """All of it."""

  command: str  # What was typed.
  rows: Sequence[Row]  # The baseline first.
  seeds: int  # That were asked for.
  steps: int  # Of every run.
  provenance: Mapping[str, str]  # Versions, device, dataset's fingerprint: name → text.
  # benchmark.json's records of every attention at every length: attention, length, kind
  # ("forward", "gradient", "decode"), seconds, memory_bytes …; empty where not measured.
  costs: Sequence[Mapping[str, Any]] = ()
  # Of the settings in which rows differ, what the baseline has: setting → value.
  baseline: Mapping[str, Any] = {}
