"""Docstrings are written as in NumPy, JAX and Haiku, and names are standard terms."""

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "attention_lab"
FILES = {str(path.relative_to(PACKAGE)): path for path in PACKAGE.rglob("*.py")}
# First words of a docstring that is a noun phrase or a clause.
NOT_VERBS = set(
  """a all an another any both by each every for from he how if in it its no nobody none
  nothing of on one our several some such that the their there these they this those to
  under we what when where whether which who whom whose why with""".split()
)
CLAUSES = {"what", "who", "whom", "where", "how", "whether", "which"}
BANNED = set("told asked here part house waves draws sound cries_wolf free".split())


def documented(tree):
  """Yield every node that has a docstring, with the docstring."""
  kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
  for node in ast.walk(tree):
    if isinstance(node, kinds) and (text := ast.get_docstring(node)):
      yield node, text


def is_property(node):
  return any("property" in ast.dump(decorator) for decorator in node.decorator_list)


def first_word(text):
  return re.match(r"[`\"'(]*([A-Za-z]*)", text)[1].lower()


def wrong_docstrings(tree):
  """Yield docstrings of functions without a verb in front, and clauses anywhere."""
  for node, text in documented(tree):
    word, first = first_word(text), text.split("\n")[0]
    if isinstance(node, ast.FunctionDef) and not is_property(node):
      # A third person ends in s: "Returns".
      if not word or word in NOT_VERBS or re.fullmatch(r"(?!.*(ss|us)$).*s", word):
        yield f"{node.name}: {first}"
    elif word in CLAUSES - {"whether"}:
      yield f"{getattr(node, 'name', 'module')}: {first}"


def banned_names(tree):
  """Yield identifiers that are no standard terms."""
  for node in ast.walk(tree):
    for field in ("id", "arg", "name", "attr"):
      name = getattr(node, field, None)
      if isinstance(name, str) and name.strip("_").lower() in BANNED:
        yield name


@pytest.mark.parametrize("file", FILES)
def test_docstrings_begin_with_a_verb(file):
  assert list(wrong_docstrings(ast.parse(FILES[file].read_text()))) == []


@pytest.mark.parametrize("file", FILES)
def test_names_are_standard_terms(file):
  assert list(banned_names(ast.parse(FILES[file].read_text()))) == []


@pytest.mark.parametrize(
  "text",
  ["What it is.", "The mean.", "Returns x.", "Whether x holds.", "[B] → [B].", "x"],
)
def test_a_docstring_without_a_verb_is_detected(text):
  tree = ast.parse(f'def f():\n  """{text}"""\n')
  assert len(list(wrong_docstrings(tree))) == (text != "x")


def test_a_clause_as_docstring_of_a_class_is_detected():
  tree = ast.parse('"""Who attends."""\nclass A:\n  """What it is."""\n')
  assert len(list(wrong_docstrings(tree))) == 2


def test_banned_names_are_detected():
  tree = ast.parse("def told(here):\n  x.waves = part\n")
  assert sorted(banned_names(tree)) == ["here", "part", "told", "waves"]
