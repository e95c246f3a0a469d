"""Evaluates parameters on splits, and at other sequence lengths."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from attention_lab.dataset.base.dataset import Dataset, num_batches
from attention_lab.dataset.base.parts import Parted
from attention_lab.dataset.base.windows import Windows
from attention_lab.distributed.devices import unreplicate
from attention_lab.errors import UserError
from attention_lab.experiment import Experiment
from attention_lab.nn.metrics import Measured, bits_per_byte, means, perplexity
from attention_lab.training.listener import OnBatch
from attention_lab.training.prefetch import placed_batches
from attention_lab.update import Measure, make_evaluate

VALIDATION_TOKENS = 262_144  # Tokens of a validation while training, by default.


def evaluate(
  run: Measure,
  params: Any,
  dataset: Dataset,
  split: str,
  batch_size: int,
  devices: Sequence[jax.Device],
  on_batch: OnBatch = lambda done, total: None,
) -> dict[str, float]:
  """Return `split_figures` of a whole split; the arguments are those of `split_sums`."""
  sums = split_sums(run, params, dataset, split, batch_size, devices, on_batch)
  return split_figures(dataset, split, batch_size, range(len(sums)), sums)


def split_sums(
  run: Measure,
  params: Any,
  dataset: Dataset,
  split: str,
  batch_size: int,
  devices: Sequence[jax.Device],
  on_batch: OnBatch,
) -> list[Measured]:
  """Return the sums over each batch of a whole split.

  Of the training split, as many batches are used as the validation split has.

  Args:
    run: computes sums over a batch, from `update.make_evaluate`.
    params: parameters, replicated over the devices.
    dataset: source of the batches.
    split: one of the dataset's splits.
    batch_size: examples in a batch, over all devices.
    devices: the devices to compute on.
    on_batch: called after each batch.
  """
  whole = "validation" if split == "train" else split
  numbers = range(num_batches(dataset, whole, batch_size))
  return batch_sums(run, params, dataset, split, numbers, batch_size, devices, on_batch)


def batch_sums(
  run: Measure,
  params: Any,
  dataset: Dataset,
  split: str,
  numbers: Sequence[int],
  batch_size: int,
  devices: Sequence[jax.Device],
  on_batch: OnBatch,
) -> list[Measured]:
  """Return the sums over each of the batches `numbers` of a split.

  The other arguments are those of `evaluate`.
  """
  totals = []
  for batch in placed_batches(dataset, split, numbers, batch_size, devices):
    totals.append(unreplicate(run(params, batch)))
    on_batch(len(totals), len(numbers))
  return totals


def figures_of(
  dataset: Dataset, split: str, totals: Sequence[Measured]
) -> dict[str, float]:
  """Return loss (nats) and accuracy over batches, given the sums over each.

  Pairs also have the accuracy of whole answers, and texts the bits per byte.
  """
  sums, right, sequences, size = added(totals)
  figures = means(sums)
  if dataset.task == "pairs" or dataset.whole_answers:
    figures["sequence_accuracy"] = float(right / max(sequences, 1))
  if not size and isinstance(dataset, Windows) and dataset.token_bytes is None:
    size = sums.weight * (dataset.bytes_per_token(split) or 0)
  if size:
    figures["bits_per_byte"] = bits_per_byte(sums.loss, size)
  return figures


def split_figures(
  dataset: Dataset,
  split: str,
  batch_size: int,
  numbers: Sequence[int],
  totals: Sequence[Measured],
) -> dict[str, float]:
  """Return `figures_of` batches of a split; of one with parts also those of each part.

  The metrics of a split with parts, such as the sources of a mixture, are means over the
  parts, weighted by their shares; "loss/NAME" is that of one part. The training split has
  no parts, so there they are those of its batches.

  Args:
    dataset: the dataset.
    split: one of its splits.
    batch_size: examples in a batch, over all devices.
    numbers: the numbers of the batches.
    totals: the sums over each.
  """
  if not isinstance(dataset, Parted) or split == "train":
    return figures_of(dataset, split, totals)
  by_number = dict(zip(numbers, totals, strict=True))
  of = {}
  for name, batches in dataset.parts(split, batch_size).items():
    if own := [by_number[i] for i in batches if i in by_number]:
      of[name] = figures_of(dataset.part_source(name), split, own)
  shares = np.array([dataset.shares[name] for name in of])
  figures = {
    key: float(shares @ [own[key] for own in of.values()] / shares.sum())
    for key in next(iter(of.values()))
    if all(key in own for own in of.values())
  }
  each = [key for key in dataset.part_metrics if key in figures]
  return figures | {f"{key}/{name}": of[name][key] for key in each for name in of}


def perplexities(
  dataset: Dataset, split: str, loss: float, totals: Sequence[Measured]
) -> dict[str, float]:
  """Return the perplexity per token of a whole split, and per word where it has words.

  The latter is that of WikiText (arXiv:1609.07843): exp(all nats / number of words).

  Args:
    dataset: the dataset.
    split: the split.
    loss: its loss, in nats per token.
    totals: from `split_sums`.
  """
  found = {"perplexity": perplexity(loss)}
  if (
    split != "train"
    and isinstance(dataset, Windows)
    and (words := dataset.words(split))
  ):
    found["word_perplexity"] = perplexity(added(totals).sums.loss / words)
  return found


def added(totals: Sequence[Measured]) -> Measured:
  """Return the sums over batches, added in float64, given the sums over each."""
  return jax.tree.map(lambda *values: float(np.sum(values, dtype=np.float64)), *totals)


def validation_subset(dataset: Dataset, batch_size: int, most: int | None) -> list[int]:
  """Return the numbers of the batches that each validation while training has.

  They are evenly spaced: batches of texts follow the text, and those of pairs are sorted
  by length, so that the first ones alone would not represent the split. Of a mixture, each
  source has some.

  Args:
    dataset: source of the batches.
    batch_size: examples in a batch, over all devices.
    most: largest number of batches; 0 for all, None for those of `VALIDATION_TOKENS`.
  """
  total = num_batches(dataset, "validation", batch_size)
  if most is None:
    most = max(1, int(VALIDATION_TOKENS // dataset.tokens_per_step(batch_size)))
  parts = [range(total)]
  if isinstance(dataset, Parted):
    parts = list(dataset.parts("validation", batch_size).values())
  found = []
  for batches in parts:
    count = max(1, min(total, most or total) * len(batches) // total)
    found += [batches[i * len(batches) // count] for i in range(count)]
  return found


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
    if length <= (prefix := experiment.dataset.prefix_length):
      raise UserError(
        f"--config.evaluation.extra_lengths: of {length} tokens none follows the prefix of "
        f"{prefix}. Take more than {prefix}."
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
  watch: Callable[[str], OnBatch],
) -> dict[str, dict[str, float]]:
  """Return loss and accuracy over the validation split of each length, by length.

  Args:
    runs: from `length_measures`.
    params: parameters, replicated over the devices.
    datasets: from `at_lengths`.
    batch_size: examples in a batch, over all devices.
    devices: the devices to compute on.
    watch: name of an evaluation → what is called after each of its batches.
  """
  return {
    str(length): evaluate(
      runs[length],
      params,
      dataset,
      "validation",
      batch_size,
      devices,
      watch(f"length {length}"),
    )
    for length, dataset in datasets.items()
  }
