"""Keyword options of `sample` and `TrainedModel.generate`."""

from typing import Literal, TypedDict

from attention_lab.api.components import Components


class DecodeOptions(TypedDict, total=False):
  """Options of decoding; those that are missing are as in the run's configuration.

  Attributes:
    length: tokens to generate; of translations, the most.
    count: number of continuations, or of best translations.
    temperature: temperature of sampling; 0 for the most likely token.
    top_k: sample from the k most likely tokens; 0 for all.
    top_p: sample from the most likely tokens that have this probability together.
    seed: seed of sampling.
    context: "trained" to read at most as many tokens at once as in training, or "extend".
    beam_size: hypotheses of beam search, of translations.
    length_penalty: α of arXiv:1609.08144, eq. 14, of translations.
  """

  length: int
  count: int
  temperature: float
  top_k: int
  top_p: float
  seed: int
  context: Literal["trained", "extend"]
  beam_size: int
  length_penalty: float


class SampleOptions(DecodeOptions, Components):
  """Options of decoding, and components that nothing registers."""
