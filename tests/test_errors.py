"""Proves that a mistake is answered with the nearest known name, on one line."""

import pytest

from attention_lab.errors import nearest, one_line


def test_a_near_miss_is_asked_about():
  assert nearest("standrad", ["linear", "standard"]) == "Did you mean 'standard'?"


def test_of_several_near_misses_the_closest_is_asked_about():
  assert nearest("rope2", ["rope", "rope2d"]) == "Did you mean 'rope2d'?"


def test_a_name_like_no_other_is_answered_with_all_that_is_known_in_order():
  assert nearest("zzz", ["b", "a"]) == "Known: a, b."


def test_where_nothing_is_known_that_is_said():
  assert nearest("x", []) == "Known: none."


@pytest.mark.parametrize(
  ("error", "line"),
  [
    (ValueError("two\n  lines\t here "), "ValueError: two lines here"),
    (KeyError("missing"), "KeyError: 'missing'"),
    (RuntimeError(), "RuntimeError"),
  ],
)
def test_a_foreign_exception_becomes_one_line_with_its_type(error, line):
  assert one_line(error) == line
