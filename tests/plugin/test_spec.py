"""Specs are parsed as names with options, and never executed."""

import pytest

from attention_lab.errors import UserError
from attention_lab.plugin.spec import Spec, parse, parse_pattern


@pytest.mark.parametrize(
  ("text", "spec"),
  [
    ("standard", Spec("standard", {})),
    ("  standard()  ", Spec("standard", {})),
    ("window(size=64)", Spec("window", {"size": 64})),
    (
      "copy(a=1.5, b=-2, c=None, d=True)",
      Spec("copy", {"a": 1.5, "b": -2, "c": None, "d": True}),
    ),
    ("file(path='a, b*2(c)')", Spec("file", {"path": "a, b*2(c)"})),
    ("block(norm=pre)", Spec("block", {"norm": "pre"})),
    (
      "mixed(sizes=(1, 2), names=['a'])",
      Spec("mixed", {"sizes": (1, 2), "names": ["a"]}),
    ),
  ],
)
def test_name_and_options_are_parsed(text, spec):
  assert parse(text) == spec


@pytest.mark.parametrize(
  "spec", [Spec("a", {}), Spec("a", {"b": 1}), Spec("a", {"b": "it's", "c": (1, None)})]
)
def test_spec_round_trips_through_text(spec):
  assert parse(str(spec)) == spec


@pytest.mark.parametrize(
  ("text", "names"),
  [
    ("a", "a"),
    ("a,b", "ab"),
    ("a*3,b", "aaab"),
    ("a(x=1)*2, b, a*1", "aaba"),
    ("a,", "a"),
  ],
)
def test_pattern_lists_its_layers_in_order(text, names):
  assert "".join(spec.name for spec in parse_pattern(text)) == names


def test_repeated_spec_keeps_its_options():
  assert parse_pattern("a(x=1)*2") == (Spec("a", {"x": 1}), Spec("a", {"x": 1}))


@pytest.mark.parametrize(
  "text",
  [
    "",
    "   ",
    "()",
    "two words",
    "a(",
    "a(x=)",
    "a)",
    "a.b",
    "a.b(c=1)",
    "a(x=1)(y=2)",
    "'a'",
    "7",
    "a+b",
    "[a]",
    "a(**b)",
    "a\nb",
    "a\0",
    "a(lambda=1)",
    "(" * 10_000,
  ],
)
def test_malformed_spec_is_rejected(text):
  with pytest.raises(UserError, match="is not of the form name or name"):
    parse_pattern(text)


@pytest.mark.parametrize(
  ("text", "answer"),
  [
    ("a(64)", r"name every option: a\(option=value\)"),
    ("a(*b)", r"name every option"),
    ("a(x=1, x=2)", "the option 'x' is set twice"),
    ("a(x=b.c)", "the value of 'x' is not a literal; quote text: x='...'"),
    ("a(x=b())", "the value of 'x' is not a literal"),
    ("a(x={[]: 1})", "the value of 'x' is not a literal"),
    ("a(x={[]})", "the value of 'x' is not a literal"),
    ("a*0", "write repeats as a whole number"),
    ("a*-1", "write repeats as a whole number"),
    ("a*1.5", "write repeats as a whole number"),
    ("a*True", "write repeats as a whole number"),
    ("a*b", "write repeats as a whole number"),
    ("a*10001", "write repeats as a whole number"),
  ],
)
def test_mistake_in_a_spec_is_reported(text, answer):
  with pytest.raises(UserError, match=answer):
    parse_pattern(text)


@pytest.mark.parametrize(("text", "count"), [("a,b", 2), ("a*3", 3)])
def test_several_specs_are_rejected_if_one_is_expected(text, count):
  with pytest.raises(UserError, match=f"names {count} components, but one is expected"):
    parse(text)


def test_spec_is_never_executed(tmp_path):
  trace = tmp_path / "trace"
  with pytest.raises(UserError):
    parse(f"a(x=__import__('pathlib').Path({str(trace)!r}).touch())")
  assert not trace.exists()
