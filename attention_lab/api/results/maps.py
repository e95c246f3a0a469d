"""Attention weights of a trained model on a text, with labels."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from attention_lab.api.results import show
from attention_lab.benchmark.plot import figure_of_maps
from attention_lab.decode.attention_maps import Map
from attention_lab.errors import UserError


@dataclasses.dataclass(frozen=True)
class AttentionMap:
  """The weights of one head.

  Attributes:
    place: "encoder", "decoder" or "cross"; "" if the architecture has one place.
    layer: number of the layer, from 1.
    head: number of the head, from 1; the second weights of an attention that forms several
      follow the heads of the first.
    queries: the T tokens that attend.
    contexts: the S tokens that they attend to.
    weights: [T, S] float32.
  """

  place: str
  layer: int
  head: int
  queries: tuple[str, ...]
  contexts: tuple[str, ...]
  weights: np.ndarray = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True, repr=False)
class AttentionMaps:
  """The weights of every layer and head; iterated over, an `AttentionMap` each.

  Attributes:
    maps: the weights by place: [heads, T, S] float32 by layer, and the tokens.
  """

  maps: tuple[Map, ...]

  def __iter__(self) -> Iterator[AttentionMap]:
    for place, layers, queries, contexts in self.maps:
      for layer, heads in layers.items():
        for head, weights in enumerate(heads, 1):
          labels = tuple(queries), tuple(contexts)
          yield AttentionMap(place, layer, head, *labels, weights)

  def __len__(self) -> int:
    return sum(len(heads) for one in self.maps for heads in one.layers.values())

  def get(self, layer: int, head: int, place: str = "") -> AttentionMap:
    """Return the weights of a head.

    Args:
      layer: number of the layer, from 1.
      head: number of the head, from 1.
      place: "encoder", "decoder" or "cross"; "" if the architecture has one place.

    Raises:
      UserError: there is no such head.
    """
    for one in self:
      if (one.place, one.layer, one.head) == (place, layer, head):
        return one
    raise UserError(
      f"There are no weights of layer={layer}, head={head}, place={place!r}, only of: "
      f"{'; '.join(self._sizes())}."
    )

  def to_pandas(self) -> Any:
    """Return a `pandas.DataFrame` with a line per weight.

    Its columns are place, layer, head, query and context (positions, from 0), query_token,
    context_token and weight.

    Raises:
      UserError: pandas is not installed.
    """
    return show.frame(
      [
        {
          **{"place": one.place, "layer": one.layer, "head": one.head},
          **{"query": t, "context": s},
          "query_token": one.queries[t],
          "context_token": one.contexts[s],
          "weight": float(one.weights[t, s]),
        }
        for one in self
        for t, s in np.ndindex(*one.weights.shape)
      ]
    )

  def plot(self, place: str | None = None) -> Any:
    """Return a figure: a row per layer, a column per head, axes labelled with tokens.

    Args:
      place: "encoder", "decoder" or "cross"; None for the first.

    Returns:
      A `matplotlib.figure.Figure`, which no window shows.

    Raises:
      UserError: there is no such place, or matplotlib is not installed.
    """
    found = [one for one in self.maps if place in (None, one.place)]
    if not found:
      known = ", ".join(repr(one.place) for one in self.maps)
      raise UserError(f"There is no place {place!r}. Known: {known}.")
    first = found[0]
    return figure_of_maps(first.layers, first.queries, first.contexts, first.place)

  def __repr__(self) -> str:
    return f"AttentionMaps({'; '.join(self._sizes())})"

  def _repr_html_(self) -> str:
    body = [
      [one.place or "–", str(len(one.layers)), *map(str, _heads_and_tokens(one))]
      for one in self.maps
    ]
    return show.table(["place", "layers", "heads", "queries", "context tokens"], body)

  def _sizes(self) -> Sequence[str]:
    """Return the numbers of layers, heads and tokens of each place as text."""
    texts = []
    for one in self.maps:
      heads, queries, contexts = _heads_and_tokens(one)
      sizes = f"{len(one.layers)} layers, {heads} heads, {queries} × {contexts} tokens"
      texts.append(f"{one.place}: {sizes}" if one.place else sizes)
    return texts


def _heads_and_tokens(one: Map) -> tuple[int, int, int]:
  """Return the largest number of heads of a layer, and the numbers T and S of tokens."""
  return max(map(len, one.layers.values())), len(one.queries), len(one.contexts)
