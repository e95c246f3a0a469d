"""Tests of the nearest known name and of exceptions on one line."""

import pytest

from attention_lab.errors import nearest, one_line


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
