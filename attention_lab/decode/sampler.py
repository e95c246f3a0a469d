"""Continues a prompt, or translates it: what samples from an experiment's model."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from attention_lab.dataset.base.kept import MARK
from attention_lab.decode.sampling import left_pad, make_generate
from attention_lab.decode.translator import Translator
from attention_lab.errors import UserError
from attention_lab.experiment import Experiment

# Options that only one of the two ways of decoding uses.
ONLY_SAMPLING = ("context", "temperature", "top_k", "top_p", "seed")
ONLY_TRANSLATION = ("input_file", "beam_size", "length_penalty")


@dataclasses.dataclass(frozen=True)
class SampleOptions:
  """The settings of section `sample`."""

  prompt: str | None  # None for the dataset's own.
  length: int  # Tokens to generate; of translations, the most.
  input_file: str | None
  count: int  # Continuations, or best translations.
  beam_size: int
  length_penalty: float
  context: str
  temperature: float
  top_k: int
  top_p: float
  seed: int
  maps: bool


def make_sampler(
  experiment: Experiment,
  options: SampleOptions,
  changed: Sequence[str] = (),
  clip: bool = False,
) -> "Sampler | Translator | None":
  """Return a function from parameters on the host to texts; None if there is no decoding.

  Args:
    experiment: the model and its vocabulary.
    options: how to decode.
    changed: names of the options that differ from their defaults.
    clip: whether to shorten what exceeds the model's positions, instead of refusing it.

  Raises:
    UserError: an invalid prompt, or a changed option that this way of decoding ignores.
  """
  if not experiment.decodes:
    return None
  pairs = experiment.dataset.task == "pairs"
  ignored = ONLY_SAMPLING if pairs else ONLY_TRANSLATION
  if unused := [name for name in ignored if name in changed]:
    value = getattr(options, unused[0])
    how = "translates by beam search" if pairs else "continues texts by sampling"
    raise UserError(
      f"--config.sample.{unused[0]}={value}: this run {how}, which does not use it. "
      f"Omit it."
    )
  if pairs:
    return Translator(
      experiment,
      _prompt(experiment, options),
      options.length,
      options.count,
      options.beam_size,
      options.length_penalty,
    )
  return Sampler(experiment, options, clip)


def _prompt(experiment: Experiment, options: SampleOptions) -> str:
  """Return the prompt: the user's, or the dataset's own if no file is translated.

  Raises:
    UserError: bytes of the user's are not UTF-8.
  """
  prompt = options.prompt
  if prompt is None:
    return experiment.dataset.prompt() if options.input_file is None else ""
  if any("\ud800" <= character <= "\udfff" for character in prompt):
    raise UserError("--prompt is not UTF-8 text.")
  return prompt.removeprefix(MARK)


class Sampler:
  """Continues a prompt with an experiment's model, by sampling token after token.

  Args:
    experiment: the model and its vocabulary.
    options: how to sample.
    clip: whether to shorten what exceeds the model's positions, instead of refusing it.

  Raises:
    UserError: unknown characters in the prompt, or more positions than the model has.
  """

  def __init__(
    self, experiment: Experiment, options: SampleOptions, clip: bool = False
  ):
    self.note = ""  # What the user should know about the prompt.
    self._experiment = experiment
    self._seed = options.seed
    dataset = experiment.dataset
    self.prompt = _prompt(experiment, options)
    encoded = dataset.vocabulary.encode(self.prompt)
    if not len(encoded):
      raise UserError("--prompt is empty; give at least one token.")
    if len(encoded) < (prefix := dataset.prefix_length):
      raise UserError(
        f"--prompt has {len(encoded)} tokens, and this model reads the first {prefix} of a "
        f"text as its prefix. Give {prefix} tokens or more."
      )
    length, room = options.length, experiment.max_positions
    context = None
    if options.context == "trained":
      context = dataset.sequence_length
      self.note = _note(len(encoded), context)
      encoded = encoded[-context:]
    elif room is not None and len(encoded) + length - 1 > room:  # The last is not read.
      if not clip or len(encoded) > room:
        raise UserError(
          f"A prompt of {len(encoded)} tokens and --config.sample.length={length} need "
          f"more than the {room} positions that this model has learned. Lower the length."
        )
      length = room - len(encoded) + 1
    self._tokens, self._positions = left_pad([encoded] * options.count)
    self._generate = make_generate(
      experiment.model,
      length,
      options.temperature,
      options.top_k,
      options.top_p,
      experiment.policy.compute_dtype,
      context,
      prefix,
    )

  def __call__(self, params: Any) -> list[str]:
    """Return the prompt in brackets with each continuation; `params` are on the host."""
    return [f"[{self.prompt}]{text}" for text in self.continuations(params)]

  def continuations(self, params: Any) -> list[str]:
    """Return the continuations of the prompt; `params` are on the host."""
    params = self._experiment.policy.cast_to_compute(params)
    key = jax.random.key(self._seed)
    tokens = self._generate(params, key, self._tokens, self._positions)
    decode = self._experiment.dataset.vocabulary.decode
    whole = np.concatenate([self._tokens, tokens], axis=1)
    read = len(decode(self._tokens[0]))
    return [decode(row)[read:] for row in whole]


def _note(prompt: int, context: int) -> str:
  """Return a line about a prompt that is longer than the trained context."""
  if prompt <= context:
    return ""
  return (
    f"The prompt has {prompt} tokens, and the model was trained on {context}: the last "
    f"{context} are read. --config.sample.context=extend reads all."
  )
