"""Evaluates parameters on whole splits, and at other sequence lengths."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from attention_lab.dataset.base.dataset import Dataset, num_batches
from attention_lab.distributed.devices import unreplicate
from attention_lab.errors import UserError
from attention_lab.experiment import Experiment
from attention_lab.nn.metrics import means
from attention_lab.training.prefetch import placed_batches
from attention_lab.update import Measure, make_evaluate


def evaluate(
  run: Measure,
  params: Any,
  dataset: Dataset,
  split: str,
  batch_size: int,
  devices: Sequence[jax.Device],
) -> dict[str, float]:
  """Return loss (nats) and accuracy over a whole split.

  Pairs also have the accuracy of whole answers, and texts the bits per character. Of the
  training split, as many batches are used as the validation split has.

  Args:
    run: computes sums over a batch, from `update.make_evaluate`.
    params: parameters, replicated over the devices.
    dataset: source of the batches.
    split: one of the dataset's splits.
    batch_size: examples in a batch, over all devices.
    devices: the devices to compute on.
  """
  whole = "validation" if split == "train" else split
  count = num_batches(dataset, whole, batch_size)
  batches = placed_batches(dataset, split, count, batch_size, devices)
  totals = [unreplicate(run(params, batch)) for batch in batches]
  sums, right, sequences = jax.tree.map(lambda *values: np.array(values), *totals)
  figures = means(sums)
  if dataset.task == "pairs":
    figures["sequence_accuracy"] = float(right.sum() / max(sequences.sum(), 1))
  if characters := dataset.characters_per_token:
    figures["bits_per_character"] = figures["loss"] / math.log(2) / characters
  return figures


def at_lengths(experiment: Experiment, lengths: Sequence[int]) -> dict[int, Dataset]:
  """Return the dataset with sequences of other lengths, by length.

  Raises:
    UserError: a length that the dataset does not accept, or that exceeds the model's
      positions.
  """
  room = experiment.max_positions
  found = {}
  for length in lengths:
    if room is not None and length > room:
      raise UserError(
        f"--config.evaluation.extra_lengths: {length} tokens need more than the {room} "
        f"positions that this model learns. Take lengths up to {room}, or another "
        f"--position."
      )
    try:
      found[length] = dataclasses.replace(experiment.dataset, sequence_length=length)
      found[length].size("validation")  # Texts are read, and validated, only now.
    except UserError as error:
      raise UserError(f"--config.evaluation.extra_lengths: {error}") from None
  return found


def length_measures(
  measure: Measure, datasets: dict[int, Dataset], devices: Sequence[jax.Device]
) -> dict[int, Measure]:
  """Return the evaluation of each length: each has its own shapes, and so its program."""
  return {
    length: make_evaluate(measure, devices, dataset.num_shapes)
    for length, dataset in datasets.items()
  }


def evaluate_lengths(
  runs: dict[int, Measure],
  params: Any,
  datasets: dict[int, Dataset],
  batch_size: int,
  devices: Sequence[jax.Device],
) -> dict[str, dict[str, float]]:
  """Return loss and accuracy over the validation split of each length, by length.

  Args:
    runs: from `length_measures`.
    params: parameters, replicated over the devices.
    datasets: from `at_lengths`.
    batch_size: examples in a batch, over all devices.
    devices: the devices to compute on.
  """
  return {
    str(length): evaluate(
      runs[length], params, dataset, "validation", batch_size, devices
    )
    for length, dataset in datasets.items()
  }
