"""Proves that parts are filed under names, and that their options are checked."""

import dataclasses
from typing import Any, ClassVar, Literal

import pytest

from attention_lab.errors import UserError
from attention_lab.plugin.registry import Registry, fields_of


@dataclasses.dataclass(kw_only=True)
class Base:
  """What the parts of this test inherit from."""

  size: int


@dataclasses.dataclass(kw_only=True)
class Window(Base):
  """A part with an option of every type."""

  width: int  # Without a default.
  base: float = 10.0
  causal: bool = False
  name_of: str = "x"
  limit: int | None = None
  norm: Literal["pre", "post"] = "pre"
  sizes: tuple[int, ...] = ()
  anything: Any = None
  constant: ClassVar[int] = 3


@pytest.fixture
def parts():
  registry = Registry("attention", base=Base, given=fields_of(Base))
  registry.register("window")(Window)
  return registry


def test_a_registered_class_is_found_and_unchanged(parts):
  assert parts["window"] is Window


def test_names_are_listed_in_alphabetical_order(parts):
  parts.register("a")(Base)
  parts.register("z")(Base)
  assert (list(parts), len(parts)) == (["a", "window", "z"], 3)


def test_a_name_that_is_not_registered_is_not_contained(parts):
  assert "window" in parts
  assert "nothing" not in parts


@pytest.mark.parametrize(
  ("kind", "message"),
  [
    ("attention", "'windwo' is not an attention. Did you mean 'window'?"),
    ("dataset", "'windwo' is not a dataset. Did you mean 'window'?"),
  ],
)
def test_an_unknown_name_is_answered_with_the_nearest(kind, message):
  registry = Registry(kind)
  registry.register("window")(Window)
  with pytest.raises(UserError) as error:
    registry["windwo"]
  assert str(error.value) == message


@pytest.mark.parametrize("name", ["two words", "a-b", "", "3d", "a(b=1)"])
def test_a_name_that_no_spec_could_spell_is_refused(parts, name):
  with pytest.raises(UserError, match="a name is a word of letters, digits"):
    parts.register(name)(Window)


def test_a_name_that_is_taken_is_refused_with_its_owner(parts):
  with pytest.raises(UserError, match=rf"{__name__} already registered this name"):
    parts.register("window")(Base)
  assert parts["window"] is Window


def test_a_class_of_another_kind_is_refused(parts):
  with pytest.raises(UserError, match="must be a subclass of Base"):
    parts.register("number")(int)


def test_a_function_is_refused_where_classes_are_expected(parts):
  with pytest.raises(UserError, match="must be a subclass of Base"):
    parts.register("f")(lambda: None)


def test_options_without_the_dataclass_decorator_are_refused(parts):
  with pytest.raises(UserError, match=r"put @dataclasses.dataclass\(kw_only=True\)"):

    @parts.register("forgetful")
    class Forgetful(Base):
      width: int = 3


def test_a_subclass_without_options_of_its_own_needs_no_decorator(parts):
  @parts.register("plain")
  class Plain(Window):
    shared: ClassVar[int] = 3

  assert parts["plain"] is Plain
  assert list(parts.options("plain")) == list(parts.options("window"))


def test_options_are_the_parts_own_parameters_in_their_order(parts):
  assert list(parts.options("window")) == [
    *("width", "base", "causal", "name_of", "limit", "norm", "sizes", "anything")
  ]


def test_the_name_of_a_haiku_module_is_no_option():
  registry = Registry("layer")
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
def test_options_of_the_right_type_are_bound(parts, spec, expected):
  part = parts.bind(spec)(size=1)
  assert {key: getattr(part, key) for key in expected} == expected


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
def test_an_option_of_the_wrong_type_is_refused_with_the_right_one(
  parts, option, expected
):
  with pytest.raises(UserError, match=rf"window\({option}\): expected .*{expected}"):
    parts.bind(f"window({option})")


def test_an_unknown_option_is_answered_with_the_nearest(parts):
  with pytest.raises(UserError, match=r"no option 'widht'\. Did you mean 'width'"):
    parts.bind("window(widht=3)")


def test_what_the_experiment_gives_is_no_option(parts):
  with pytest.raises(UserError, match="has no option 'size'"):
    parts.bind("window(width=3, size=4)")


def test_a_part_without_options_says_so():
  registry = Registry("schedule", given=("peak",))
  registry.register("constant")(lambda peak: peak)
  with pytest.raises(UserError, match=r"'constant' has no option 'x'\. It has none"):
    registry.bind("constant(x=1)")


def test_an_option_without_a_default_must_be_set(parts):
  with pytest.raises(UserError, match=r"needs an option: window\(width=...\)"):
    parts.bind("window")


def test_functions_are_parts_too():
  registry = Registry("schedule", given=("peak",))

  @registry.register("scaled")
  def scaled(peak: float, factor: float = 1.0) -> float:
    return peak * factor

  assert registry.bind("scaled(factor=3)")(peak=2.0) == 6.0
  with pytest.raises(UserError, match=r"scaled\(factor='x'\): expected float"):
    registry.bind("scaled(factor=x)")
