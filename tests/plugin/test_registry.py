"""Components are registered by name, and their options are validated."""

import dataclasses
from typing import Any, ClassVar, Literal

import pytest

from attention_lab.errors import UserError
from attention_lab.plugin.contract import Contract, FunctionContract
from attention_lab.plugin.registry import Registry, fields_of


@dataclasses.dataclass(kw_only=True)
class Base:
  """Base class of the components in these tests."""

  size: int


@dataclasses.dataclass(kw_only=True)
class Window(Base):
  """Component with an option of every type."""

  width: int  # Without a default.
  base: float = 10.0
  causal: bool = False
  name_of: str = "x"
  limit: int | None = None
  norm: Literal["pre", "post"] = "pre"
  sizes: tuple[int, ...] = ()
  anything: Any = None
  constant: ClassVar[int] = 3


@pytest.fixture(autouse=True)
def own_registries(monkeypatch):
  """Forget the registries that a test makes."""
  monkeypatch.setattr("attention_lab.plugin.registry.REGISTRIES", [])


@pytest.fixture
def registry():
  """Return a registry that holds `Window`."""
  registry = Registry("attention", Contract(Base), fields_of(Base))
  registry.register("window")(Window)
  return registry


def test_registered_class_is_returned_unchanged(registry):
  assert registry["window"] is Window


def test_names_are_in_alphabetical_order(registry):
  registry.register("a")(Base)
  registry.register("z")(Base)
  assert (list(registry), len(registry)) == (["a", "window", "z"], 3)


def test_only_registered_names_are_contained(registry):
  assert "window" in registry
  assert "nothing" not in registry


@pytest.mark.parametrize(
  ("kind", "message"),
  [
    ("attention", "'windwo' is not an attention. Did you mean 'window'?"),
    ("dataset", "'windwo' is not a dataset. Did you mean 'window'?"),
  ],
)
def test_unknown_name_is_rejected_with_the_nearest(kind, message):
  registry = Registry(kind, Contract(object), ())
  registry.register("window")(Window)
  with pytest.raises(UserError) as error:
    registry["windwo"]
  assert str(error.value) == message


@pytest.mark.parametrize("name", ["two words", "a-b", "", "3d", "a(b=1)"])
def test_name_that_is_not_an_identifier_is_rejected(registry, name):
  with pytest.raises(UserError, match="a name is a word of letters, digits"):
    registry.register(name)(Window)


def test_decorator_without_a_name_is_rejected(registry):
  with pytest.raises(UserError, match=r'Write a name: @register_attention\("name"\)'):
    registry.register(Window)


def test_duplicate_name_is_rejected_with_the_module_that_registered_it(registry):
  with pytest.raises(UserError, match=rf"{__name__} already registered this name"):
    registry.register("window")(Base)
  assert registry["window"] is Window


def of_a_session(name):
  """Return a class that no file defines."""
  names = {"__name__": "cells_of_tests", "Base": Base}
  exec(f"class {name}(Base):\n  def method(self):\n    pass\n", names)
  return names[name]


def test_a_class_of_a_session_may_be_defined_once_more(registry):
  registry.register("mine")(of_a_session("Mine"))
  again = registry.register("mine")(of_a_session("Mine"))
  assert registry["mine"] is again
  with pytest.raises(UserError, match="cells_of_tests already registered this name"):
    registry.register("mine")(of_a_session("Other"))


def test_a_class_is_registered_for_a_context(registry):
  first, second, known = of_a_session("MyX2Y"), of_a_session("MyX2Y"), list(registry)
  with registry.registered(first) as one, registry.registered(second) as other:
    assert (one, other) == ("my_x2_y", "my_x2_y_2")
    assert registry[one] is first
    with registry.registered(first) as name:
      assert name == one
    assert registry[one] is first
  assert list(registry) == known


def test_class_with_another_base_is_rejected(registry):
  with pytest.raises(UserError, match="must be a subclass of Base"):
    registry.register("number")(int)


def test_function_is_rejected_if_classes_are_expected(registry):
  with pytest.raises(UserError, match="must be a subclass of Base"):
    registry.register("f")(lambda: None)


def test_options_without_the_dataclass_decorator_are_rejected(registry):
  with pytest.raises(UserError, match=r"put @dataclasses.dataclass\(kw_only=True\)"):

    @registry.register("forgetful")
    class Forgetful(Base):
      width: int = 3


def test_subclass_without_new_options_needs_no_decorator(registry):
  @registry.register("plain")
  class Plain(Window):
    shared: ClassVar[int] = 3

  assert registry["plain"] is Plain
  assert list(registry.options("plain")) == list(registry.options("window"))


def test_options_are_the_parameters_of_the_component_in_their_order(registry):
  assert list(registry.options("window")) == [
    *("width", "base", "causal", "name_of", "limit", "norm", "sizes", "anything")
  ]


def test_name_of_a_haiku_module_is_not_an_option():
  registry = Registry("layer", FunctionContract(()), ())
  registry.register("layer")(lambda width=1, name=None: (width, name))
  assert list(registry.options("layer")) == ["width"]


@pytest.mark.parametrize(
  ("spec", "expected"),
  [
    ("window(width=3)", {"width": 3}),
    ("window(width=3, base=2)", {"base": 2}),
    ("window(width=3, base=2.5)", {"base": 2.5}),
    ("window(width=3, causal=True)", {"causal": True}),
    ("window(width=3, name_of=word)", {"name_of": "word"}),
    ("window(width=3, limit=None)", {"limit": None}),
    ("window(width=3, limit=4)", {"limit": 4}),
    ("window(width=3, norm=post)", {"norm": "post"}),
    ("window(width=3, sizes=(1, 2))", {"sizes": (1, 2)}),
    ("window(width=3, anything={1: 2})", {"anything": {1: 2}}),
  ],
)
def test_option_of_the_annotated_type_is_bound(registry, spec, expected):
  component = registry.bind(spec)(size=1)
  assert {key: getattr(component, key) for key in expected} == expected


@pytest.mark.parametrize(
  ("option", "expected"),
  [
    ("width='3'", "int"),
    ("width=3.0", "int"),
    ("width=True", "int"),
    ("width=None", "int"),
    ("base='x'", "float"),
    ("base=True", "float"),
    ("causal=1", "bool"),
    ("name_of=3", "str"),
    ("limit='x'", r"int \| None"),
    ("norm='middle'", "Literal"),
    ("sizes=3", "tuple"),
  ],
)
def test_option_of_another_type_is_rejected_with_the_annotated_type(
  registry, option, expected
):
  with pytest.raises(UserError, match=rf"window\({option}\): expected .*{expected}"):
    registry.bind(f"window({option})")


def test_unknown_option_is_rejected_with_the_nearest(registry):
  with pytest.raises(UserError, match=r"no option 'widht'\. Did you mean 'width'"):
    registry.bind("window(widht=3)")


def test_parameter_supplied_by_the_experiment_is_not_an_option(registry):
  with pytest.raises(UserError, match="has no option 'size'"):
    registry.bind("window(width=3, size=4)")


def test_option_of_a_component_without_options_is_rejected():
  registry = Registry("schedule", FunctionContract(("peak",)), ("peak",))
  registry.register("constant")(lambda peak: peak)
  with pytest.raises(UserError, match=r"'constant' has no option 'x'\. It has none"):
    registry.bind("constant(x=1)")


def test_option_without_a_default_is_required(registry):
  with pytest.raises(UserError, match=r"needs an option: window\(width=...\)"):
    registry.bind("window")


def test_function_can_be_registered():
  registry = Registry("schedule", FunctionContract(("peak",)), ("peak",))

  @registry.register("scaled")
  def scaled(peak: float, factor: float = 1.0) -> float:
    return peak * factor

  assert registry.bind("scaled(factor=3)")(peak=2.0) == 6.0
  with pytest.raises(UserError, match=r"scaled\(factor='x'\): expected float"):
    registry.bind("scaled(factor=x)")
