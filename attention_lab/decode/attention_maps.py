"""Attention maps of given texts: weights of a trained model, with their tokens."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from attention_lab.dataset.base.dataset import Dataset
from attention_lab.dataset.base.pairs import as_pairs
from attention_lab.errors import UserError
from attention_lab.experiment import Experiment
from attention_lab.kernel.mask import default_positions

BLANKS = {" ": "␣", "\n": "⏎", "\t": "⇥"}


class Map(NamedTuple):
  """Attention weights of one place of the architecture."""

  place: str  # "encoder", "decoder" or "cross"; "" if there is one place.
  # Weights [N, T, S] float32 by number of the layer, from 1; see `per_layer`.
  layers: Mapping[int, np.ndarray]
  queries: Sequence[str]  # Labels of the T queries.
  contexts: Sequence[str]  # Labels of the S context tokens.


def of_text(experiment: Experiment, params: Any, text: str) -> list[Map]:
  """Return the maps of a text that a model continues.

  Args:
    experiment: the model.
    params: its parameters, on the host.
    text: at most as many tokens as the model has positions.

  Raises:
    UserError: unknown characters, or no attention that forms weights.
  """
  tokens = experiment.dataset.vocabulary.encode(text)
  names = labels(experiment.dataset, tokens)
  weights = _weights_of_row(experiment, params, tokens)
  return _some([Map("", per_layer(weights, names, names), names, names)])


def of_pair(experiment: Experiment, params: Any, source: str, answer: str) -> list[Map]:
  """Return the maps of encoder, decoder and cross-attention for a pair of texts.

  Decoder queries are labelled with the token that they read, queries of cross-attention
  with the token that they predict.

  Args:
    experiment: a model that learns pairs.
    params: its parameters, on the host.
    source: the source text.
    answer: its translation, by the model or not.

  Raises:
    UserError: unknown characters, or no attention that forms weights.
  """
  dataset = as_pairs(experiment.dataset)
  source_tokens = dataset.source_tokens(source)
  target = dataset.vocabulary.encode(answer)
  end = [] if dataset.end_token is None else [dataset.end_token]
  target = np.concatenate([[dataset.start_token], target, end]).astype(np.int32)
  weights = _weights_of_row(experiment, params, target[:-1], source_tokens)
  names = labels_of_pair(dataset, source_tokens, target[:-1], target[1:])
  return _some(
    [
      Map(place, per_layer(weights[place], *axes), *axes)
      for place, axes in names.items()
    ]
  )


def labels_of_pair(
  dataset: Dataset, source: np.ndarray, inputs: np.ndarray, targets: np.ndarray
) -> dict[str, tuple[list[str], list[str]]]:
  """Return the labels of queries and of context tokens by place, as in `of_pair`.

  Args:
    dataset: a dataset of pairs.
    source: [S] int32.
    inputs: [T] int32, what the decoder reads.
    targets: [T] int32, what it predicts.
  """
  sources, read = labels(dataset, source), labels(dataset, inputs)
  return {
    "encoder": (sources, sources),
    "decoder": (read, read),
    "cross": (labels(dataset, targets), sources),
  }


def labels(dataset: Dataset, tokens: np.ndarray) -> list[str]:
  """Return the labels of tokens [T]; padding, which is negative, has none."""
  names = [
    dataset.vocabulary.decode([token]) if token >= 0 else ""
    for token in tokens.tolist()
  ]
  special = {}
  if dataset.task == "pairs":
    pairs = as_pairs(dataset)
    special = {pairs.start_token: "‹start›", pairs.end_token: "‹end›"}
  return [
    special.get(token) or BLANKS.get(name, name.strip())
    for token, name in zip(tokens.tolist(), names, strict=True)
  ]


def attention_weights(
  experiment: Experiment,
  params: Any,
  tokens: np.ndarray,
  source: np.ndarray | None = None,
  apply: Callable[..., Any] | None = None,
) -> Any:
  """Return the attention weights of a batch, as `Model.attention_weights` does.

  Args:
    experiment: the model.
    params: its parameters, on the host.
    tokens: [B, T] int32, without padding.
    source: [B, S] int32, of a model that learns pairs.
    apply: the jitted `Model.attention_weights`, to reuse its program.
  """
  apply = apply or jax.jit(experiment.model.attention_weights)
  sources = () if source is None else (source,)
  params = experiment.policy.cast_to_compute(params)
  return apply(params, None, tokens, default_positions(tokens), *sources)


def _weights_of_row(
  experiment: Experiment,
  params: Any,
  tokens: np.ndarray,
  source: np.ndarray | None = None,
) -> Any:
  row = tokens[None].astype(np.int32)
  source_row = None if source is None else source[None].astype(np.int32)
  return attention_weights(experiment, params, row, source_row)


def _some(maps: list[Map]) -> list[Map]:
  formed = [one for one in maps if one.layers]
  if not formed:
    raise UserError(
      "There is nothing to draw: no attention of this run forms weights for each pair of "
      "tokens. Omit the maps."
    )
  return formed


def per_layer(
  layers: Any, queries: Sequence[str], contexts: Sequence[str]
) -> dict[int, np.ndarray]:
  """Return the weights [N, T, S] float32 of a batch's first row, by number of the layer.

  Args:
    layers: as an architecture's `attention_weights` returns them, for one place.
    queries: labels of the T queries.
    contexts: labels of the S context tokens.
  """
  found = weights_by_layer(layers, (len(queries), len(contexts)))
  return {number: weights[0] for number, weights in found.items()}


def weights_by_layer(layers: Any, shape: tuple[int, int]) -> dict[int, np.ndarray]:
  """Return the weights [B, N, T, S] float32 of a batch by number of the layer.

  An attention that forms several weights for a pair of tokens, as the differential one
  does, has the heads of the first, then those of the second. Layers that form no weights,
  or not one for each pair of tokens, are left out.

  Args:
    layers: as an architecture's `attention_weights` returns them, for one place.
    shape: (T, S).
  """
  if not isinstance(layers, list):  # Layers that were scanned are stacked.
    layers = zip(*layers, strict=True)
  found = {}
  for number, formed in enumerate(layers, 1):
    heads = [np.asarray(x, np.float32) for x in formed if x.shape[-2:] == shape]
    if heads:
      found[number] = np.concatenate(heads, axis=1)
  return found
