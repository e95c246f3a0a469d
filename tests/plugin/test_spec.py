"""Proves that a spec is read as a name with options, and that nothing in it is run."""

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
def test_a_name_and_its_options_are_read(text, spec):
  assert parse(text) == spec


@pytest.mark.parametrize(
  "spec", [Spec("a", {}), Spec("a", {"b": 1}), Spec("a", {"b": "it's", "c": (1, None)})]
)
def test_a_spec_as_text_reads_back_as_itself(spec):
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
def test_a_pattern_lists_its_layers_in_order(text, names):
  assert "".join(spec.name for spec in parse_pattern(text)) == names


def test_a_repeated_spec_keeps_its_options():
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
def test_what_is_no_spec_is_refused(text):
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
def test_a_mistake_inside_a_spec_is_named(text, answer):
  with pytest.raises(UserError, match=answer):
    parse_pattern(text)


@pytest.mark.parametrize(("text", "count"), [("a,b", 2), ("a*3", 3)])
def test_several_parts_are_refused_where_one_is_expected(text, count):
  with pytest.raises(UserError, match=f"names {count} components, but one is expected"):
    parse(text)


def test_a_spec_is_never_executed(tmp_path):
  trace = tmp_path / "trace"
  with pytest.raises(UserError):
    parse(f"a(x=__import__('pathlib').Path({str(trace)!r}).touch())")
  assert not trace.exists()
