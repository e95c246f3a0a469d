"""Evaluates parameters on a whole split, at other lengths too, and continues prompts."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from attention_lab.config import get_config
from attention_lab.dataset.base.dataset import Dataset, num_batches
from attention_lab.decode.sampling import left_pad, make_generate
from attention_lab.decode.translator import Translator
from attention_lab.distributed.devices import unreplicate
from attention_lab.errors import UserError
from attention_lab.experiment import Experiment
from attention_lab.nn.metrics import means
from attention_lab.training.prefetch import placed_batches
from attention_lab.update import Measure, make_evaluate

# Settings of "sample" that one of the two ways of decoding alone has a use for.
ONLY_DRAWN = ("temperature", "top_k", "top_p", "seed")
ONLY_ANSWERED = ("input_file", "beam_size", "length_penalty")


def evaluate(
  run: Measure,
  params: Any,
  dataset: Dataset,
  split: str,
  batch_size: int,
  devices: Sequence[jax.Device],
) -> dict[str, float]:
  """Loss (nats) and accuracy over a whole split; of pairs, also of whole answers; of
  texts, bits per character.

  Of the training split it takes as many batches as the validation split has.

  Args:
    run: from `update.make_evaluate`.
    params: parameters, replicated over the devices.
    dataset: where the batches come from.
    split: one of the dataset's splits.
    batch_size: examples in a batch, over all devices.
    devices: where to compute.
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
  """The dataset with sequences of other lengths, its other options as they are.

  Raises:
    UserError: a length that the dataset cannot have, or with more positions than the
      model can tell apart.
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
      found[length].size("validation")  # Texts are read, and looked at, only now.
    except UserError as error:
      raise UserError(f"--config.evaluation.extra_lengths: {error}") from None
  return found


def length_measures(
  measure: Measure, datasets: dict[int, Dataset], devices: Sequence[jax.Device]
) -> dict[int, Measure]:
  """What evaluates each length: it has its own shapes, and so its own program."""
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
  """Loss and accuracy over each length's validation split, by the length.

  Args:
    runs: from `length_measures`.
    params: parameters, replicated over the devices.
    datasets: from `at_lengths`.
    batch_size: examples in a batch, over all devices.
    devices: where to compute.
  """
  return {
    str(length): evaluate(
      runs[length], params, dataset, "validation", batch_size, devices
    )
    for length, dataset in datasets.items()
  }


def make_sampler(
  experiment: Experiment, sample: Any, clip: bool = False
) -> "Sampler | Translator | None":
  """What continues the prompt, or answers it where pairs are learnt: parameters on the
  host → texts. None of a model that does neither.

  Raises:
    UserError: a bad prompt, or options of the one way of decoding set for the other.
  """
  if not experiment.decodes:
    return None
  answers = experiment.dataset.task == "pairs"
  defaults, idle = get_config().sample, ONLY_DRAWN if answers else ONLY_ANSWERED
  if changed := [key for key in idle if sample[key] != defaults[key]]:
    what = "answers pairs by beam search" if answers else "continues texts by drawing"
    raise UserError(
      f"--config.sample.{changed[0]}={sample[changed[0]]}: this run {what}, which takes "
      f"no such thing. Leave it out."
    )
  return (
    Translator(experiment, sample) if answers else Sampler(experiment, sample, clip)
  )


class Sampler:
  """Continues a prompt with an experiment's model, by drawing token after token.

  Args:
    experiment: the model and its vocabulary.
    sample: the configuration's section "sample".
    clip: shorten what is longer than the positions the model knows, instead of refusing.

  Raises:
    UserError: a prompt with unknown characters, or more positions than there are.
  """

  def __init__(self, experiment: Experiment, sample: Any, clip: bool = False):
    self._experiment = experiment
    self._seed = sample.seed
    self.prompt = sample.prompt
    if self.prompt is None:
      self.prompt = experiment.dataset.prompt()
    encoded = experiment.dataset.vocabulary.encode(self.prompt)
    if not len(encoded):
      raise UserError("--prompt is empty; give at least one token.")
    length, room = sample.length, experiment.max_positions
    if room is not None and len(encoded) + length - 1 > room:  # Nobody reads the last.
      if not clip or len(encoded) > room:
        raise UserError(
          f"A prompt of {len(encoded)} tokens and --config.sample.length={length} need "
          f"more than the {room} positions that this model has learnt. Lower the length."
        )
      length = room - len(encoded) + 1
    self._tokens, self._positions = left_pad([encoded] * sample.count)
    self._generate = make_generate(
      experiment.model,
      length,
      sample.temperature,
      sample.top_k,
      sample.top_p,
      experiment.policy.compute_dtype,
    )

  def __call__(self, params: Any) -> list[str]:
    """The prompt with each continuation; `params` as they are trained, on the host."""
    params = self._experiment.policy.cast_to_compute(params)
    key = jax.random.key(self._seed)
    tokens = self._generate(params, key, self._tokens, self._positions)
    decode = self._experiment.dataset.vocabulary.decode
    return [decode(row) for row in np.concatenate([self._tokens, tokens], axis=1)]
