"""Who attends to whom in given texts: weights of a trained model, with their tokens."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from attention_lab.dataset.base.dataset import Dataset
from attention_lab.dataset.base.pairs import as_pairs
from attention_lab.errors import UserError
from attention_lab.experiment import Experiment
from attention_lab.kernel.mask import default_positions

FRAME = 0.3  # How bright the lines between attention maps are.
BLANKS = {" ": "␣", "\n": "⏎", "\t": "⇥"}


class Map(NamedTuple):
  """The weights in one place of the architecture."""

  place: str  # "encoder", "decoder", "cross"; "" where there is but one.
  layers: Sequence[np.ndarray]  # [N, T, S] float32 of each layer that formed weights.
  queries: Sequence[str]  # What the T queries are called.
  contexts: Sequence[str]  # What the S tokens are called that they attend to.


def of_text(experiment: Experiment, params: Any, text: str) -> list[Map]:
  """The maps of a text that a model continues.

  Args:
    experiment: the model.
    params: its parameters as they are trained, on the host.
    text: at most as many tokens as the model has positions.

  Raises:
    UserError: unknown characters, or no attention that forms weights.
  """
  tokens = experiment.dataset.vocabulary.encode(text)
  names = labels(experiment.dataset, tokens)
  weights = _weights(experiment, params, tokens)
  return _some([Map("", _formed(weights), names, names)])


def of_pair(experiment: Experiment, params: Any, source: str, answer: str) -> list[Map]:
  """The maps of the encoder, the decoder and between both, given a pair's two texts.

  A query of the decoder is the token that it reads; one that looks at the source is
  called by the token that it is about to say.

  Args:
    experiment: a model that learns pairs.
    params: its parameters as they are trained, on the host.
    source: what is answered.
    answer: what it is answered with, by the model or by anybody.

  Raises:
    UserError: unknown characters, or no attention that forms weights.
  """
  dataset = as_pairs(experiment.dataset)
  asked = dataset.source_tokens(source)
  said = dataset.vocabulary.encode(answer)
  end = [] if dataset.end_token is None else [dataset.end_token]
  said = np.concatenate([[dataset.start_token], said, end]).astype(np.int32)
  inputs, targets = labels(dataset, said[:-1]), labels(dataset, said[1:])
  sources = labels(dataset, asked)
  weights = _weights(experiment, params, said[:-1], asked)
  names = {
    "encoder": (sources, sources),
    "decoder": (inputs, inputs),
    "cross": (targets, sources),
  }
  return _some([Map(place, _formed(weights[place]), *names[place]) for place in names])


def labels(dataset: Dataset, tokens: np.ndarray) -> list[str]:
  """What tokens [T] are called on an axis."""
  names = [dataset.vocabulary.decode([token]) for token in tokens.tolist()]
  special = {}
  if dataset.task == "pairs":
    pairs = as_pairs(dataset)
    special = {pairs.start_token: "‹start›", pairs.end_token: "‹end›"}
  return [
    special.get(token) or BLANKS.get(name, name.strip())
    for token, name in zip(tokens.tolist(), names, strict=True)
  ]


def _weights(
  experiment: Experiment, params: Any, tokens: np.ndarray, *source: np.ndarray
) -> Any:
  rows = [part[None].astype(np.int32) for part in (tokens, *source)]
  at = default_positions(rows[0])
  params = experiment.policy.cast_to_compute(params)
  run = jax.jit(experiment.model.attention_weights)
  return run(params, None, rows[0], at, *rows[1:])


def _formed(layers: Any) -> list[np.ndarray]:
  return [np.asarray(weights, np.float32)[0] for weights in per_layer(layers)]


def _some(maps: list[Map]) -> list[Map]:
  formed = [one for one in maps if one.layers]
  if not formed:
    raise UserError(
      "There is nothing to draw: no attention of this run forms weights. Leave out "
      "--config.sample.maps."
    )
  return formed


def attention_image(layers: Any, size: int = 64) -> np.ndarray | None:
  """Attention maps side by side: a row for each layer, a column for each head.

  Args:
    layers: as an architecture's `attention_weights` returns them.
    size: how many queries and contexts are shown of each map.

  Returns:
    [height, width] float32 from 0 to 1, each query's largest weight white; None if no
    attention formed weights.
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
  """One [B, N, T, S] for each layer that formed weights; several in one add some.

  Args:
    layers: as an architecture's `attention_weights` returns them, for one place.
  """
  if isinstance(layers, list):
    return [weights for layer in layers for weights in layer]
  return [weights for stacked in zip(*layers, strict=True) for weights in stacked]
