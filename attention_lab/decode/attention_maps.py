"""Attention maps of given texts: weights of a trained model, with their tokens."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from attention_lab.dataset.base.dataset import Dataset
from attention_lab.dataset.base.pairs import as_pairs
from attention_lab.errors import UserError
from attention_lab.experiment import Experiment
from attention_lab.kernel.mask import default_positions

FRAME = 0.3  # Brightness of the lines between attention maps.
BLANKS = {" ": "␣", "\n": "⏎", "\t": "⇥"}


class Map(NamedTuple):
  """Attention weights of one place of the architecture."""

  place: str  # "encoder", "decoder" or "cross"; "" if there is one place.
  layers: Sequence[np.ndarray]  # [N, T, S] float32 per layer that forms weights.
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
  return _some([Map("", _formed(weights), names, names)])


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
  inputs, targets = labels(dataset, target[:-1]), labels(dataset, target[1:])
  sources = labels(dataset, source_tokens)
  weights = _weights_of_row(experiment, params, target[:-1], source_tokens)
  names = {
    "encoder": (sources, sources),
    "decoder": (inputs, inputs),
    "cross": (targets, sources),
  }
  return _some([Map(place, _formed(weights[place]), *names[place]) for place in names])


def labels(dataset: Dataset, tokens: np.ndarray) -> list[str]:
  """Return the labels of tokens [T]."""
  names = [dataset.vocabulary.decode([token]) for token in tokens.tolist()]
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


def _formed(layers: Any) -> list[np.ndarray]:
  return [np.asarray(weights, np.float32)[0] for weights in per_layer(layers)]


def _some(maps: list[Map]) -> list[Map]:
  formed = [one for one in maps if one.layers]
  if not formed:
    raise UserError(
      "There is nothing to draw: no attention of this run forms weights. Omit the maps."
    )
  return formed


def attention_image(layers: Any, size: int = 64) -> np.ndarray | None:
  """Return attention maps as an image: a row per layer, a column per head.

  Args:
    layers: as an architecture's `attention_weights` returns them.
    size: number of queries and context tokens to show.

  Returns:
    [height, width] float32 from 0 to 1, each query's largest weight being 1; None if no
    attention forms weights.
  """
  rows = []
  for weights in per_layer(layers):
    maps = np.asarray(weights, np.float32)[0, :, :size, :size]
    maps = maps / np.maximum(maps.max(axis=-1, keepdims=True), 1e-9)
    rows.append(
      np.concatenate([np.pad(head, 1, constant_values=FRAME) for head in maps], axis=1)
    )
  if not rows:
    return None
  width = max(row.shape[1] for row in rows)
  return np.concatenate(
    [np.pad(row, ((0, 0), (0, width - row.shape[1]))) for row in rows]
  )


def per_layer(layers: Any) -> list[Any]:
  """Return the weights [B, N, T, S] that were formed, in the order of the layers.

  Args:
    layers: as an architecture's `attention_weights` returns them, for one place.
  """
  if isinstance(layers, list):
    return [weights for layer in layers for weights in layer]
  return [weights for stacked in zip(*layers, strict=True) for weights in stacked]
