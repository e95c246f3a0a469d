"""A class that breaks its contract is rejected at registration, with what to write."""

import abc
import dataclasses

import pytest

from attention_lab.architecture.base.architecture import architectures
from attention_lab.architecture.decoder_only import DecoderOnly
from attention_lab.attention.base.attention import Attention, attentions
from attention_lab.attention.base.multi_head import MultiHead
from attention_lab.attention.base.recurrent import Recurrent
from attention_lab.attention.base.weighted import Weighted
from attention_lab.attention.standard import Standard
from attention_lab.dataset.base.dataset import datasets
from attention_lab.dataset.copy import Copy
from attention_lab.errors import UserError
from attention_lab.plugin import discovery
from attention_lab.plugin.contract import Contract, Names
from attention_lab.position.base.position import Position, positions


@pytest.fixture(autouse=True)
def isolated(monkeypatch):
  """Forget what a test registers by mistake."""
  for registry in (attentions, positions, datasets, architectures):
    monkeypatch.setattr(registry, "_parts", dict(registry._parts))


def method(arguments):
  """Return a function of these arguments."""
  return eval(f"lambda {arguments}: None")


def make(base, **members):
  """Return a subclass with these members."""
  return type("Mine", (base,), members)


def refusal(registry, component):
  """Return the message with which a component is rejected."""
  with pytest.raises(UserError) as error:
    registry.register("mine")(component)
  assert "mine" not in registry
  message = str(error.value)
  assert "\n" not in message
  return message


@pytest.mark.parametrize(
  ("base", "name", "arguments", "answer"),
  [
    (
      MultiHead,
      "atend",
      "self, q, k, v, mask",
      "does not define attend(self, q, k, v, mask). It defines 'atend'; did you mean "
      "'attend'?",
    ),
    (Recurrent, "advanse", "self, q", "It defines 'advanse'; did you mean 'advance'?"),
    # `extend` is similar to `attend`, but is a method of its own.
    (MultiHead, "extend", "self, q, s, p", "attend(self, q, k, v, mask)."),
    (Attention, "attend", "self, q", "__call__(self, query, context, mask)."),
  ],
)
def test_missing_method_is_named_with_the_misspelt_one(base, name, arguments, answer):
  message = refusal(attentions, make(base, **{name: method(arguments)}))
  assert message.endswith(answer)


@pytest.mark.parametrize(
  ("registry", "base", "name", "arguments", "answer"),
  [
    (attentions, Standard, "attend", "self, q, k, v", "attend(self, q, k, v, mask)"),
    (attentions, Standard, "attend", "q, k, v, mask", "attend(self, q, k, v, mask)"),
    (attentions, Standard, "attend", "self, q, k, v, m, x", "not attend(self, q, k, v"),
    (attentions, Attention, "__call__", "self, x", "(self, query, context, mask)"),
    (attentions, Standard, "extend", "self, query, state", "state, positions)"),
    (attentions, Weighted, "weights", "self, scores", "weights(self, scores, allowed)"),
    (positions, Position, "rotate", "self, x", "write rotate(self, x, positions)"),
    (datasets, Copy, "size", "self", "write size(self, split)"),
    (architectures, DecoderOnly, "extend", "self, tokens", "tokens, state, positions)"),
  ],
)
def test_method_with_other_arguments_is_rejected_with_the_expected_ones(
  registry, base, name, arguments, answer
):
  message = refusal(registry, make(base, **{name: method(arguments)}))
  assert answer in message
  assert f"not {name}({arguments}) (<string>, line 1)." in message


@pytest.mark.parametrize(
  "arguments",
  ["self, *arguments", "self, a, b, c, d", "self, q, k, v, mask, scale=1"],
)
def test_method_that_accepts_the_arguments_is_registered(arguments):
  attentions.register("mine")(make(Standard, attend=method(arguments)))


def test_static_method_is_registered():
  attentions.register("mine")(
    make(Weighted, weights=staticmethod(method("scores, allowed")))
  )


def test_optional_argument_may_be_omitted():
  attentions.register("mine")(make(Linear, project=method("self, x, name")))


def test_method_of_a_parent_is_verified_too():
  parent = make(Standard, attend=method("self, q"))
  assert "write attend(self, q, k, v, mask)" in refusal(attentions, make(parent))


def test_private_method_may_have_any_arguments():
  attentions.register("mine")(make(Recurring, _by_segments=method("self")))


class Recurring(Recurrent):
  """Recurrent attention."""

  def advance(self, query, context, mask, state):
    return query, state


class Linear(Recurring):
  """Another one."""


def test_method_in_place_of_a_property_is_rejected():
  message = refusal(datasets, make(Copy, fingerprint=method("self")))
  assert "fingerprint (<string>, line 1) is a property: put @property above" in message


def test_property_in_place_of_a_method_is_rejected():
  message = refusal(attentions, make(Standard, attend=property(method("self"))))
  assert message.endswith("attend is a method: remove @property above it.")


class OwnInit(Standard):
  """Attention with its own `__init__`."""

  def __init__(self, scale=1.0):
    self.scale = scale


@dataclasses.dataclass(kw_only=True)
class InheritsInit(OwnInit):
  """Dataclass that inherits a field, and an `__init__` below it."""

  window: int = 4


def test_own_init_is_rejected_with_its_line():
  message = refusal(attentions, OwnInit)
  line = OwnInit.__init__.__code__.co_firstlineno
  assert f"__init__ (test_contract.py, line {line}) must be omitted" in message
  assert "super().__post_init__()" in message
  assert "must be omitted" in refusal(attentions, InheritsInit)


@pytest.mark.parametrize(
  ("registry", "base", "variable", "value", "answer"),
  [
    (attentions, Standard, "kinds", ("casual",), "'casual'. Did you mean 'causal'?"),
    (attentions, Standard, "kinds", ("causal", "x"), "Known: bidirectional, causal"),
    (attentions, Standard, "kinds", "causal", "write a tuple: ('causal',)"),
    (attentions, Standard, "kinds", (), "kinds is empty"),
    (attentions, Standard, "kinds", None, "kinds is None; write a tuple"),
    (attentions, Standard, "honours", ("rotation",), "Did you mean 'rotate'?"),
    (attentions, Standard, "honours", ("embed",), "'embed'. Known: bias, rotate, rot"),
    (attentions, Standard, "honours", "bias", "write a tuple: ('bias',)"),
    (datasets, Copy, "tasks", ("next_tokens",), "Did you mean 'next_token'?"),
    (datasets, Copy, "tasks", "pairs", "write a tuple: ('pairs',)"),
    (architectures, DecoderOnly, "tasks", ("label",), "Did you mean 'labels'?"),
    (architectures, DecoderOnly, "places", {"a": "casual"}, "Did you mean 'causal'?"),
  ],
)
def test_unknown_name_in_a_class_variable_is_rejected_with_the_nearest(
  registry, base, variable, value, answer
):
  message = refusal(registry, make(base, **{variable: value}))
  assert f" {variable} " in message
  assert answer in message


def test_attention_may_honour_no_hook():
  attentions.register("mine")(make(Standard, honours=()))


def test_every_built_in_component_keeps_its_contract():
  discovery.load()
  for registry in (attentions, positions, datasets, architectures):
    for name in registry:
      registry.contract.refuse(registry[name])


class Shape(abc.ABC):
  """Base that is not a dataclass."""

  sides = ("left",)

  @abc.abstractmethod
  def area(self, scale):
    """Return an area."""


class Square(Shape):
  """Class with its own `__init__`, which its base allows."""

  def __init__(self, side):
    self.side = side

  def area(self, scale):
    return self.side


def test_contract_of_another_base_allows_an_own_init():
  Contract(Shape, {"sides": Names(("left", "right"))}).refuse(Square)
