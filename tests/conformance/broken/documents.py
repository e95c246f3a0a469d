"""Attentions that claim to keep documents apart, and do not."""

import dataclasses
from typing import Any, NamedTuple

import jax.numpy as jnp

from attention_lab.attention.delta_net import DeltaNet
from attention_lab.attention.linear import Linear
from attention_lab.attention.retention import Retention
from attention_lab.attention.standard import Standard
from attention_lab.kernel.mask import default_positions
from tests.conformance.broken.base import Masked, breaks, difference, present, shifted

LAW = "documents.documents_are_separate"


def of_one_document(mask):
  """Return the mask without the documents."""
  return dataclasses.replace(mask, query_segments=None, context_segments=None)


@breaks(LAW)
class KeepsState(Retention):
  """Carries the state from one document to the next."""

  def advance(self, query, context, mask, state):
    return super().advance(query, context, of_one_document(mask), state)


@breaks(LAW)
class MasksByPosition(Masked):
  """Compares positions alone, which also agree between documents."""

  def allowed(self, mask):
    return present(mask) & (difference(mask) >= 0)


@breaks(LAW)
class ConvolvesAcross(DeltaNet):
  """Convolves the first tokens of a document with the last ones of that before it."""

  def _convolved(self, query, context, mask, recent):
    return super()._convolved(query, context, of_one_document(mask), recent)


@breaks(LAW)
class ShiftsAcross(Standard):
  """Gives each token the vector of the token before it, also at a document's start."""

  def __call__(self, query, context, mask):
    x = query + shifted(query, 1)
    return super().__call__(x, x, mask)


@breaks(LAW)
class CountsOn(Standard):
  """Scales by the place in the row where positions begin anew."""

  def __call__(self, query, context, mask):
    place = default_positions(query)[..., None]
    return super().__call__(query, context, mask) / (1 + place)


@breaks(LAW)
class SumsAllKeys(Linear):
  """Divides by a sum over all documents of the row."""

  def mean(self, q, k, v, mask, state, log_decay=None):
    y, after = super().mean(q, k, v, mask, state, log_decay)
    total = jnp.cumsum(k.sum(axis=(2, 3)), axis=1)[..., None, None]
    return y / (1 + total), after


class Counted(NamedTuple):
  """A cache, and the number of tokens that were read into it."""

  tokens: Any
  count: Any  # []


@breaks(LAW)
class CountsInState(Standard):
  """Scales outputs by a count in the state that has no rows, so that none is emptied."""

  def initial_state(self, batch_size, length, dtype):
    tokens = super().initial_state(batch_size, length, dtype)
    return Counted(tokens, jnp.zeros((), jnp.int32))

  def __call__(self, query, context, mask):
    y = super().__call__(query, context, mask)
    return y / (2 + jnp.maximum(mask.query_positions, 0))[..., None]

  def extend(self, query, state, positions):
    y, tokens = super().extend(query, state.tokens, positions)
    place = state.count + jnp.arange(query.shape[1])
    return y / (2 + place)[None, :, None], Counted(tokens, state.count + query.shape[1])
