"""Every attention obeys every law under every position it honours; broken ones do not."""

import dataclasses

import jax.numpy as jnp
import pytest

from attention_lab.attention.base import attentions
from attention_lab.attention.mask import Mask
from attention_lab.attention.standard import Standard
from attention_lab.attention.weights import softmax
from attention_lab.position.base import positions
from tests.attention import laws

PAIRS = [
  (attention, position)
  for attention in attentions
  for position in positions
  if not positions[position].acts() - set(attentions[attention].honours)
  and (positions[position].acts() - {"embed"} or position == "none")
]
PAIRS += [
  ("standard(num_kv_heads=1, bias=True)", "rope"),
  ("selective(num_kv_heads=1, bias=True)", "rope"),
]


@pytest.mark.parametrize("law", laws.LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize(("attention", "position"), PAIRS)
def test_every_attention_obeys(law, attention, position):
  law(attention, position)


class OffByOne(Standard):
  """Sees one token of the future."""

  def attend(self, q, k, v, mask):
    late = Mask(mask.query_positions + 1, mask.context_positions, mask.causal)
    return super().attend(q, k, v, late)


class ReadsPadding(Standard):
  """Takes padding for tokens."""

  def attend(self, q, k, v, mask):
    context = jnp.maximum(mask.context_positions, 0)
    return super().attend(q, k, v, Mask(mask.query_positions, context, mask.causal))


class LateCache(Standard):
  """Its cache is one position behind."""

  def extend(self, query, state, positions):
    return super().extend(
      query, state._replace(positions=state.positions + 1), positions
    )


class PlainSoftmax(Standard):
  """Divides by zero for a query that sees nobody."""

  def attend(self, q, k, v, mask):
    scores = jnp.einsum("BTNK,BSNK->BNTS", q, k)
    allowed = jnp.broadcast_to(mask.dense(), scores.shape)
    weights = jnp.exp(scores) * allowed
    weights = weights / weights.sum(axis=-1, keepdims=True)
    return jnp.einsum("BNTS,BSNK->BTNK", weights, v)


class MixesRows(Standard):
  """Adds the batch's mean."""

  def attend(self, q, k, v, mask):
    y = super().attend(q, k, v, mask)
    return y + y.mean(axis=0, keepdims=True)


class OverQueries(Standard):
  """Normalises over the queries, so that the future weighs on the past."""

  def attend(self, q, k, v, mask):
    scores = jnp.einsum("BTNK,BSNK->BNST", q, k)
    allowed = jnp.swapaxes(jnp.broadcast_to(mask.dense(), scores.mT.shape), 2, 3)
    return jnp.einsum("BNST,BSNK->BTNK", softmax(scores, allowed), v)


BROKEN = [
  (OffByOne, laws.tomorrow_never_changes_today),
  (OverQueries, laws.tomorrow_never_changes_today),
  (ReadsPadding, laws.padding_is_never_read),
  (LateCache, laws.chunks_equal_the_whole),
  (PlainSoftmax, laws.seeing_nobody_is_finite),
  (MixesRows, laws.rows_are_independent),
]


@pytest.mark.parametrize(("broken", "law"), BROKEN, ids=lambda x: x.__name__)
def test_a_broken_attention_is_caught(broken, law, monkeypatch):
  part = dataclasses.dataclass(kw_only=True)(broken)
  monkeypatch.setitem(attentions._parts, "broken", part)
  with pytest.raises(AssertionError):
    law("broken", "none")


OPTIONS = {
  "standard": {
    "num_kv_heads": 1,
    "output_projection": False,
    "bias": True,
    "dropout": 0.5,
  },
  "selective": {"num_kv_heads": 1, "output_projection": True, "bias": True},
  "haiku": {"bias": True},
}


@pytest.mark.parametrize("attention", attentions)
def test_every_option_is_tried_here(attention):
  assert set(OPTIONS.get(attention, {})) == set(attentions.options(attention))


@pytest.mark.parametrize(
  ("attention", "option"), [(a, option) for a in OPTIONS for option in OPTIONS[a]]
)
def test_every_option_changes_something(attention, option):
  laws.an_option_changes_something(attention, option, OPTIONS[attention][option])
