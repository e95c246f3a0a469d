"""What cannot be right is refused before anything is compiled."""

import dataclasses

import jax.numpy as jnp
import pytest

from attention_lab.attention.base.attention import Attention, attentions
from attention_lab.attention.standard import Standard
from attention_lab.errors import UserError
from attention_lab.experiment import assemble
from tests.parts import tiny_config


class NoRotation(Standard):
  """Forgets to ask for rotation."""

  def queries(self, x, positions):
    return self._project(x, self.num_heads, "query")

  def keys_values(self, x, positions):
    return self._project(x, 2, "key"), self._project(x, 2, "value")


class KeysAsQueries(Standard):
  """Turns its keys as if they were queries."""

  def keys_values(self, x, positions):
    k = self.position.rotate(self._project(x, 2, "key"), positions)
    return k, self._project(x, 2, "value")


class NoBias(Standard):
  """Says that it honours no bias, though it calls for one."""

  honours = ("rotate",)


class WrongShape(Attention):
  """Returns another shape."""

  def __call__(self, query, context, mask):
    return query[:, :1]


class WrongType(WrongShape):
  """Returns another dtype."""

  def __call__(self, query, context, mask):
    return query.astype(jnp.float16)


class Raises(WrongShape):
  """Fails in its forward pass."""

  def __call__(self, query, context, mask):
    return query @ jnp.ones((999, 999))


@pytest.fixture
def broken(monkeypatch, request):
  part = dataclasses.dataclass(kw_only=True)(request.param)
  monkeypatch.setitem(attentions._parts, "mine", part)


CASES = [
  (
    NoRotation,
    "rope",
    "acts by rotate.*Use one of: alibi, fire, kerple, learned, none,",
  ),
  (KeysAsQueries, "xpos", "acts by rotate_keys, .*Use one of: .*randomized, rope,"),
  (NoBias, "alibi", "acts by bias.*Use one of: learned, none, randomized, rope,"),
  (WrongShape, "none", r"into float32\[2, 1, 8\]; it must keep shape"),
  (WrongType, "none", r"into float16\[2, 3, 8\]"),
  (Raises, "none", r"'mine' fails: TypeError: .*\(test_pairing.py, line \d+\)"),
]


@pytest.mark.parametrize(
  ("broken", "position", "message"),
  CASES,
  indirect=["broken"],
  ids=lambda x: str(x)[:9],
)
def test_what_cannot_be_right_is_refused(broken, position, message):
  with pytest.raises(UserError, match=message) as error:
    assemble(tiny_config(attention="mine", position=position))
  assert "\n" not in str(error.value)


@pytest.mark.parametrize("broken", [NoRotation], indirect=True)
def test_the_same_attention_is_fine_where_nothing_is_missed(broken):
  assemble(tiny_config(attention="mine", position="alibi"))


@pytest.mark.parametrize("broken", [KeysAsQueries], indirect=True)
def test_queries_and_keys_may_be_one_where_they_turn_alike(broken):
  assemble(tiny_config(attention="mine", position="rope"))
