"""The hash of code without a file changes with what it computes, and only with that."""

import dataclasses

import numpy as np
import pytest

from attention_lab.attention.standard import Standard
from attention_lab.conformance import table
from attention_lab.system.code_hash import used_code
from attention_lab.system.session_code import has_file, session_code

CELL = """
import dataclasses
import functools
import numpy
from attention_lab.conformance import table as imported

def helper(x):
  return [x + y for y in (1, 2)]

@functools.wraps(helper)
def wrapped(x):
  return x

class Base:
  size = 4

@dataclasses.dataclass(kw_only=True)
class Mine(Base):
  window: int = 64
  many: list = dataclasses.field(default_factory=lambda: [1])

  @property
  def half(self):
    return self.window / 2

  def method(self, x, y=1.5):
    '''Return something.'''
    inner = lambda z: z + SCALE
    return helper(inner(x)) + wrapped(y) + imported.HEAD

  def recursive(self):
    return Mine().recursive() + super().__init__()
"""


def defined(source=CELL, name="Mine", **names):
  names = {"__name__": "cells_of_tests", "SCALE": 1.0} | names
  exec(compile(source, "<cell>", "exec"), names)
  return names[name]


def test_equal_code_has_equal_hashes():
  one, other = (session_code([defined(text)]) for text in (CELL, f"\n# x\n\n{CELL}"))
  assert one == other
  assert set(one.hashes) == {
    f"cells_of_tests.{name}" for name in ("Mine", "Mine.<lambda>", "Base", "helper")
  }
  assert table.__name__ in one.modules


@pytest.mark.parametrize(
  ("old", "new", "changed"),
  [
    ("x + y for", "x - y for", "helper"),
    ("(1, 2)", "(1, 3)", "helper"),
    ("size = 4", "size = 5", "Base"),
    ("window: int = 64", "window: int = 32", "Mine"),
    ("[1]", "[2]", "Mine.<lambda>"),
    ("self.window / 2", "self.window / 3", "Mine"),
    ("y=1.5", "y=2.5", "Mine"),
    ("z + SCALE", "z - SCALE", "Mine"),
    ("  return x\n", "  return -x\n", "helper"),  # The name of what it wraps.
    ("class Mine(Base)", "class Mine(dict)", "Mine"),
  ],
)
def test_an_edit_changes_the_hash_of_what_was_edited(old, new, changed):
  assert CELL.count(old) == 1
  before = session_code([defined()]).hashes
  after = session_code([defined(CELL.replace(old, new))]).hashes
  names = {name for name in before if before[name] != after.get(name, before[name])}
  assert f"cells_of_tests.{changed}" in names


class Instance:
  """An object without a repr of its own."""

  def __init__(self, value):
    self.value = value


def squared(x):
  return x**2


@pytest.mark.parametrize(
  ("one", "other"),
  [
    (1.0, 2.0),
    (1, True),
    (0.0, -0.0),
    ("a", "b"),
    ((1, (2,)), (1, (3,))),
    ([1], [2]),
    ({"a": 1}, {"a": 2}),
    ({1, 2}, {1, 3}),
    (np.zeros(2), np.ones(2)),
    (np.zeros(2, np.int32), np.zeros(2, np.int64)),
    (defined(name="helper"), defined(CELL.replace("x + y", "x * y"), "helper")),
    (np, dataclasses),
    (squared, np.sum),
  ],
)
def test_a_value_that_the_code_reads_counts(one, other):
  hashes = [session_code([defined(SCALE=x)]).hashes for x in (one, other)]
  assert hashes[0] != hashes[1]
  assert hashes[0] == session_code([defined(SCALE=one)]).hashes


def test_objects_of_a_session_count_by_their_values():
  source = "class Holder:\n  def __init__(self, value):\n    self.value = value\n"
  holder = defined(source, "Holder")
  hashes = [session_code([defined(SCALE=holder(x))]).hashes for x in (1, 1, 2)]
  assert hashes[0] == hashes[1] != hashes[2]


def test_gradients_of_their_own_count():
  source = (
    "import jax\n\n@jax.custom_vjp\ndef f(x):\n  return x\n\n"
    "f.defvjp(lambda x: (x, None), lambda _, g: (2 * g,))\n\n"
    "class Mine:\n  def method(self, x):\n    return f(x)\n"
  )
  sources = source, source, source.replace("2 * g", "3 * g")
  hashes = [session_code([defined(text)]).hashes for text in sources]
  assert hashes[0] == hashes[1] != hashes[2]


def test_code_with_a_file_is_named_by_its_module():
  found = session_code([Standard, squared, object, dict])
  assert found.hashes == {}
  assert {Standard.__module__, __name__} <= found.modules
  assert has_file(Instance)
  assert has_file(int)


@pytest.mark.parametrize("cached", ["functools.cache", "jax.jit"])
def test_what_a_library_wraps_counts(cached):
  source = (
    f"import functools, jax\n@{cached}\ndef f(x):\n  return 2 * x\n\n"
    "class Mine:\n  def method(self, x):\n    return f(x)\n"
  )
  sources = source, source, source.replace("2 * x", "3 * x")
  hashes = [session_code([defined(text)]).hashes for text in sources]
  assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize(
  ("body", "uses"),
  [("return pytest", True), ("import pytest", True), ("return 1", False)],
)
def test_modules_that_a_cell_uses_count_as_those_of_a_file(body, uses):
  cell = f"import pytest\nclass Mine:\n  def f(self):\n    {body}\n"
  assert ("version of pytest" in used_code([], [defined(cell)])) == uses
