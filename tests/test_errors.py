"""Tests of the nearest known name and of exceptions on one line."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention_lab.errors import (
  LONGEST,
  frames_of,
  line_of,
  nearest,
  one_line,
  printable,
  summary,
)


def test_nearest_suggests_a_similar_name():
  assert nearest("standrad", ["linear", "standard"]) == "Did you mean 'standard'?"


def test_nearest_suggests_the_most_similar_of_several_names():
  assert nearest("rope2", ["rope", "rope2d"]) == "Did you mean 'rope2d'?"


def test_nearest_lists_all_names_in_order_if_none_is_similar():
  assert nearest("zzz", ["b", "a"]) == "Known: a, b."


def test_nearest_without_names_returns_none():
  assert nearest("x", []) == "Known: none."


@pytest.mark.parametrize(
  ("error", "line"),
  [
    (ValueError("two\n  lines\t joined "), "ValueError: two lines joined"),
    (KeyError("missing"), "KeyError: 'missing'"),
    (RuntimeError(), "RuntimeError"),
  ],
)
def test_exception_becomes_one_line_with_its_type(error, line):
  assert one_line(error) == line


def raised(function):
  """Return the exception that a function raises."""
  with pytest.raises(BaseException) as found:  # noqa: PT011
    function()
  return found.value


@pytest.mark.parametrize(
  ("function", "line"),
  [
    (
      lambda x: x if x.sum() > 0 else -x,
      "TracerBoolConversionError: Attempted boolean conversion of traced array with "
      "shape bool[]. Use jnp.where or jax.lax.cond, not `if` on arrays",
    ),
    (
      np.asarray,
      "TracerArrayConversionError: The numpy.ndarray conversion method __array__() was "
      "called on traced array with shape float32[3]. Use jax.numpy, not numpy",
    ),
    (
      lambda x: range(x.sum().astype(int)),
      "TracerIntegerConversionError: The __index__() method was called on traced array "
      "with shape int32[]. Use jnp.take or jax.lax.dynamic_slice, not an index",
    ),
    (
      lambda x: float(x.sum()),
      "ConcretizationTypeError: Abstract tracer value encountered where concrete value "
      "is expected: traced array with shape float32[]. Values of arrays are not known "
      "while JAX traces",
    ),
    (
      lambda x: x[x > 0],
      "NonConcreteBooleanIndexError: Array boolean indices must be concrete; got "
      "bool[3]. Use jnp.where, not a boolean index",
    ),
  ],
)
def test_message_of_jax_is_its_first_sentence_and_the_remedy(function, line):
  error = raised(lambda: jax.jit(function)(jnp.ones(3)))
  assert summary(error) == line


def test_message_of_another_library_is_kept():
  assert summary(ValueError("One. Two.\nThree.")) == "ValueError: One. Two. Three"


def test_exception_in_a_callback_is_the_last_line():
  def fail(x):
    raise KeyError("boom")

  shape = jax.ShapeDtypeStruct((3,), jnp.float32)
  call = jax.jit(lambda x: jax.pure_callback(fail, shape, x))
  error = raised(lambda: call(jnp.ones(3)).block_until_ready())
  assert summary(error) == f"{type(error).__name__}: KeyError: 'boom'"


@pytest.mark.parametrize("call", ["jnp.ones(3) @ jnp.ones(4)", "json.loads('x')"])
def test_line_of_the_user_comes_first_and_libraries_are_skipped(tmp_path, call):
  path = tmp_path / "jax" / "mine.py"  # A folder of the user's may have any name.
  code = f"import json\nimport jax.numpy as jnp\ndef f():\n  {call}"
  namespace = {}
  exec(compile(code, str(path), "exec"), namespace)
  error = raised(namespace["f"])
  assert one_line(error) == f"mine.py, line 4: {summary(error)}"


def test_line_of_a_syntax_error_comes_first():
  error = raised(lambda: compile("x = 1\ndef f(:", "mine.py", "exec"))
  assert one_line(error) == "mine.py, line 2: SyntaxError: invalid syntax"


def test_leaked_tracer_has_the_line_that_made_it():
  kept = []

  @jax.jit
  def keep(x):
    kept.append(jnp.einsum("i->", x))  # Made in a file of a library.
    return x

  keep(jnp.ones(3))
  error = raised(lambda: jax.jit(lambda: kept[0] + 1)())
  line = keep.__wrapped__.__code__.co_firstlineno + 2
  assert line in [frame.lineno for frame in frames_of(error)]
  assert one_line(error).startswith(f"test_errors.py, line {line}: Unexpected")
  assert summary(error).endswith("as in a global or a cache, and used in another")


def test_line_of_a_wrapped_function_is_that_of_its_definition():
  line = raised.__code__.co_firstlineno
  wrapped = functools.wraps(raised)(lambda: None)
  assert line_of(wrapped) == f"test_errors.py, line {line}"


@pytest.mark.parametrize(
  ("text", "expected"),
  [
    ("a\n b\tc", "a b c"),
    ("red \x1b[31m", r"red \x1b[31m"),
    ("\u202ereversed", r"\u202ereversed"),
    ("\udce9", r"\udce9"),
    ("é → √", "é → √"),
  ],
)
def test_what_would_change_the_terminal_is_escaped(text, expected):
  assert printable(text) == expected


def test_the_middle_of_a_long_line_is_left_out():
  line = printable("wrong: " + "x" * 10_000 + " type this")
  assert len(line) == LONGEST
  assert line.startswith("wrong: xxx")
  assert line.endswith("xxx type this")
