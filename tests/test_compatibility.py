"""Tests that incompatible attentions are refused before anything is compiled."""

import dataclasses

import jax.numpy as jnp
import pytest

from attention_lab.attention.base.attention import Attention, attentions
from attention_lab.attention.standard import Standard
from attention_lab.errors import UserError
from attention_lab.experiment import assemble
from tests.parts import tiny_config


class NoRotation(Standard):
  """Projects queries and keys without rotating them."""

  def queries(self, x, positions):
    return self.project(x, self.num_heads, "query")

  def keys_values(self, x, positions):
    return self.project(x, 2, "key"), self.project(x, 2, "value")


class KeysAsQueries(Standard):
  """Rotates keys by the hook for queries."""

  def keys_values(self, x, positions):
    k = self.position.rotate(self.project(x, 2, "key"), positions)
    return k, self.project(x, 2, "value")


class NoBias(Standard):
  """Uses the bias without honouring it."""

  honours = ("rotate",)


class WrongShape(Attention):
  """Returns an array of another shape."""

  def __call__(self, query, context, mask):
    return query[:, :1]


class WrongType(WrongShape):
  """Returns an array of another dtype."""

  def __call__(self, query, context, mask):
    return query.astype(jnp.float16)


class Raises(WrongShape):
  """Raises an exception in its forward pass."""

  def __call__(self, query, context, mask):
    return query @ jnp.ones((999, 999))


@pytest.fixture
def incompatible(monkeypatch, request):
  attention = dataclasses.dataclass(kw_only=True)(request.param)
  monkeypatch.setitem(attentions._parts, "mine", attention)


CASES = [
  (
    NoRotation,
    "rope",
    "acts by rotate.*Use one of: alibi, fire, kerple, learned, none,",
  ),
  (KeysAsQueries, "xpos", "acts by rotate_keys, .*Use one of: .*randomized, rope,"),
  (NoBias, "alibi", "acts by bias.*Use one of: learned, none, randomized, rope,"),
  (WrongShape, "none", r"to float32\[2, 1, 8\]; it must keep shape"),
  (WrongType, "none", r"to float16\[2, 3, 8\]"),
  (Raises, "none", r"'mine' fails: TypeError: .*\(test_compatibility.py, line \d+\)"),
]


@pytest.mark.parametrize(
  ("incompatible", "position", "message"),
  CASES,
  indirect=["incompatible"],
  ids=lambda x: str(x)[:9],
)
def test_incompatible_attention_is_refused(incompatible, position, message):
  with pytest.raises(UserError, match=message) as error:
    assemble(tiny_config(attention="mine", position=position))
  assert "\n" not in str(error.value)


@pytest.mark.parametrize("incompatible", [NoRotation], indirect=True)
def test_attention_without_rotation_is_compatible_with_alibi(incompatible):
  assemble(tiny_config(attention="mine", position="alibi"))


@pytest.mark.parametrize("incompatible", [KeysAsQueries], indirect=True)
def test_one_rotation_for_queries_and_keys_is_compatible_with_rope(incompatible):
  assemble(tiny_config(attention="mine", position="rope"))
