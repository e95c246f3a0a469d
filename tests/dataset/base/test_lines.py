"""Lines end with a line feed alone, and a file's byte-order mark is not text."""

import pytest

from attention_lab.dataset.base.lines import file_info, read_lines


@pytest.mark.parametrize(
  ("content", "expected"),
  [
    ("a\nb\n", ["a", "b"]),
    ("a\r\nb\r\r\n", ["a", "b\r"]),
    ("a\u2028b\x0cc\x85d\ve\rf", ["a\u2028b\x0cc\x85d\ve\rf"]),
    ("a\n\nb", ["a", "", "b"]),
    ("a\r", ["a\r"]),
    ("\ufeffa\n\ufeffb\n", ["a", "\ufeffb"]),
    ("\ufeff\r\nb", ["", "b"]),
  ],
)
def test_lines_are_those_of_the_file(tmp_path, content, expected):
  path = tmp_path / "lines"
  path.write_bytes(content.encode())
  assert list(read_lines([path])) == expected
  assert file_info(path).lines == len(expected)


def test_every_file_may_begin_with_a_mark(tmp_path):
  paths = [tmp_path / name for name in "ab"]
  for path in paths:
    path.write_bytes(f"\ufeff{path.name}\n".encode())
  assert list(read_lines(paths)) == ["a", "b"]
