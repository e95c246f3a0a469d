"""Looks a run over: what training would refuse is refused before anything is written."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from ml_collections import config_dict

from attention_lab.dataset.base.dataset import Dataset
from attention_lab.dataset.base.validation import refuse_unsound_dataset
from attention_lab.decode.translator import Translator, refuse_unscored
from attention_lab.experiment import Experiment, assemble
from attention_lab.system.memory import refuse_large_batches
from attention_lab.training.evaluation import Sampler, at_lengths, make_sampler


class Ready(NamedTuple):
  """An experiment that can be trained, and what goes with it."""

  experiment: Experiment
  lengths: dict[int, Dataset]  # At which the end is evaluated too.
  sampler: Sampler | Translator | None


def looked_over(
  config: config_dict.ConfigDict, kept: Mapping[str, bytes] = MappingProxyType({})
) -> Ready:
  """What a configuration trains.

  Args:
    config: the configuration.
    kept: the files of the run that is gone on with, as `assemble` takes them.

  Raises:
    UserError: it cannot be trained.
  """
  experiment = assemble(config, kept)
  dataset = experiment.dataset
  tokens = config.batch_size * dataset.sequence_length
  refuse_large_batches(tokens, config.train.steps_per_call)
  refuse_unsound_dataset(dataset, config.batch_size)
  if config.evaluation.scores:
    refuse_unscored(experiment)
  lengths = at_lengths(experiment, config.evaluation.lengths)
  sampler = make_sampler(experiment, config.sample, clip=True)
  return Ready(experiment, lengths, sampler)
