"""Records of a comparison's results, the only input of its reports."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Run(NamedTuple):
  """Training run of one row with one seed."""

  seed: int
  folder: Path
  status: str  # "finished", "failed" or "not run".
  error: str = ""  # One line; "" unless the run failed.
  # summary.json: parameters, seconds, tokens_per_second, flops_per_step, steps,
  # memory_bytes, leak_check, train and validation (loss in nats, accuracy, …), lengths
  # (by length: loss, accuracy), sequence_length (of training), above_best, primary (key of
  # the metric that the dataset is judged by), guess (loss and accuracy of the best constant
  # answer).
  summary: Mapping[str, Any] = {}
  # metrics.jsonl: step, split ("train", "validation"), loss, accuracy, learning_rate …
  curve: Sequence[Mapping[str, Any]] = ()
  code: str = ""  # Digest of the code of its last start; "" if unknown.
  data: str = ""  # Fingerprint of its dataset; "" if unknown.


class Reference(NamedTuple):
  """Share of attention weight on the tokens that the answers of validation depend on."""

  layers: Sequence[int]  # Numbers of the layers that form weights, from 1.
  shares: np.ndarray  # [layers, heads] float32; NaN for heads that a layer lacks.
  uniform: float  # The share of equal weights on all tokens that a query may attend to.


class Maps(NamedTuple):
  """Attention weights of one trained model on a text that is the same for all rows."""

  tokens: Sequence[str]  # The S tokens of the text.
  # [layers, heads, S, S] float32; softmax rows sum to 1. 0 for heads that a layer lacks.
  weights: np.ndarray
  layers: Sequence[int]  # Numbers of the layers, from 1.
  reference: Reference | None = None  # None if the dataset gives no such tokens.


class Tuned(NamedTuple):
  """Results of a row's tuning runs, on held-out training examples."""

  metric: str  # Key of the metric that the dataset is judged by.
  settings: Sequence[Mapping[str, Any]]  # The combinations that were tried.
  # Metric key → combination → run by seed; NaN for a failed run.
  scores: Mapping[str, Sequence[Sequence[float]]]
  chosen: int  # Index of the combination that the row has.


class Row(NamedTuple):
  """One configuration of the comparison with its runs, one per seed."""

  name: str  # Unique: "selective", "selective, d_ff 213", "linear, 3e-4".
  settings: Mapping[str, Any]  # Those that differ from the baseline: setting → value.
  matched: str  # How its cost was matched to the baseline's; "" if it was not.
  runs: Sequence[Run]  # One per seed.
  maps: Maps | None = None  # Maps of the first finished run; None if it has none.
  made_from: str = ""  # Name of the row that a matched row was made of; "" for others.
  against: Sequence[str] = ()  # Rows that it names to be compared with.
  note: str = ""  # Why its results are not of today's code or data; "" if they are.
  tuned: Tuned | None = None  # How its settings were chosen; None if they were not.
  chosen: Mapping[str, Any] = {}  # The settings that were chosen: setting → value.


class Comparison(NamedTuple):
  """Results of all rows of a comparison."""

  command: str  # The command line.
  rows: Sequence[Row]  # The baseline first.
  seeds: int  # Requested number of seeds.
  steps: int  # Training steps of every run.
  provenance: Mapping[str, str]  # Versions, device, dataset fingerprint: name → text.
  # Records of benchmark.json, one per attention, length and kind: attention, length, kind
  # ("forward", "gradient", "decode"), seconds, memory_bytes …; empty if not measured.
  costs: Sequence[Mapping[str, Any]] = ()
  # The baseline's values of the settings in which rows differ: setting → value.
  baseline: Mapping[str, Any] = {}
  dataset: str = ""  # The baseline's dataset.
  # The setting that the comparison is about: a row is judged against the first row that
  # differs in it alone.
  about: str = "attention"
  # Largest difference that does not matter: in units of the primary metric, or as a share
  # of the standard deviation over seeds, such as "50%".
  margin: str = "50%"
  # Numbers of seeds at which results were reported, in order.
  looks: Sequence[int] = ()
  # Measured cost of each row, from `row_costs.measure`; empty if not measured.
  row_costs: Mapping[str, Mapping[str, Any]] = {}
  # All settings of the baseline: setting → value; empty if unknown.
  settings: Mapping[str, Any] = {}
  # The folders that --mode=report joined; () for a comparison of one command.
  joined: Sequence[str] = ()
