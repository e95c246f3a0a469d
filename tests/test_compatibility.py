"""Tests that incompatible attentions are refused before anything is compiled."""

import dataclasses
import sys
from typing import ClassVar

import jax.numpy as jnp
import pytest

from attention_lab import compatibility
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


class NoResult(Standard):
  """Forgets to return the heads."""

  def attend(self, q, k, v, mask):
    self.dot_product(q, k, v, mask)


class NoOutput(Attention):
  """Forgets to return the output."""

  def __call__(self, query, context, mask):
    self.state = None


class FailsAfterHelper(Attention):
  """Calls a method that returns nothing, as it may, and raises an exception."""

  def helper(self):
    """Return nothing."""

  def initial_state(self, batch_size, length, dtype):
    return None

  def __call__(self, query, context, mask):
    self.helper()
    self.initial_state(1, 1, query.dtype)
    raise ValueError("mistaken")


class KeepsTracer(Standard):
  """Computes a scale once and keeps it for the next trace."""

  kept: ClassVar = {}

  def attend(self, q, k, v, mask):
    scale = self.kept.setdefault("scale", q.mean())
    return self.dot_product(q * scale, k, v, mask)


class Exits(Standard):
  """Ends the process."""

  def attend(self, q, k, v, mask):
    sys.exit("give up")


class ExtendsWithoutState(Standard):
  """Returns no new state."""

  def extend(self, query, state, positions):
    return super().extend(query, state, positions)[0]


class ExtendRaises(Standard):
  """Raises an exception while decoding."""

  def extend(self, query, state, positions):
    return query @ jnp.ones((999, 999)), state


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
  (
    NoResult,
    "none",
    r"NoResult\.attend \(test_compatibility\.py, line \d+\) returns None",
  ),
  (NoOutput, "none", r"NoOutput\.__call__ \(test_compat.*, line \d+\) returns None"),
  (FailsAfterHelper, "none", r"fails: test_compat.*, line \d+: ValueError: mistaken\."),
  (KeepsTracer, "none", r"test_compat.*, line \d+: UnexpectedTracerError: .*a global"),
  (Exits, "none", r"fails: test_compat.*, line \d+: SystemExit: give up\."),
  (ExtendsWithoutState, "none", r"extend \(test_compat.*\d+\) must return a pair, the"),
  (ExtendRaises, "none", r"fails: test_compat.*, line \d+: TypeError"),
  (Raises, "none", r"'mine' fails: test_compatibility.py, line \d+: TypeError: "),
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


@pytest.mark.parametrize("incompatible", [ExtendRaises], indirect=True)
def test_attention_need_not_decode_where_nothing_is_decoded(incompatible):
  words = {"architecture__name": "encoder", "dataset": "parity(sequence_length=8)"}
  assemble(tiny_config(attention="mine", position="none", **words))


@pytest.mark.parametrize("incompatible", [NoRotation], indirect=True)
def test_attention_without_rotation_is_compatible_with_alibi(incompatible):
  assemble(tiny_config(attention="mine", position="alibi"))


@pytest.mark.parametrize("incompatible", [KeysAsQueries], indirect=True)
def test_one_rotation_for_queries_and_keys_is_compatible_with_rope(incompatible):
  assemble(tiny_config(attention="mine", position="rope"))


def test_an_attention_is_traced_once_for_each_class_and_setting(monkeypatch):
  traced = []
  monkeypatch.setattr(compatibility, "_ACCEPTED", set())
  monkeypatch.setattr(
    compatibility, "refuse_incompatible", lambda name, *words: traced.append(name)
  )
  for width in (8, 9, 10):
    assemble(tiny_config(attention="standard", model__d_ff=width))
  assert len(traced) == 1
  for changes in ({"position": "alibi"}, {"model__num_heads": 1}, {"kernel": "exact"}):
    assemble(tiny_config(attention="standard", **changes))
  assert len(traced) == 4
  with attentions.registered(NoBias, "standard"):
    assemble(tiny_config(attention="standard"))
  assert len(traced) == 5
