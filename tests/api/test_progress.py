"""A bar shows the cell and the time left, on a terminal and in notebooks alone."""

import io
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from attention_lab.api.display import BarListener
from attention_lab.api.progress import Bar
from attention_lab.compare.launch import Job
from attention_lab.training.progress import Show


class Terminal(io.StringIO):
  """A terminal."""

  def isatty(self):
    return True


@pytest.fixture
def shown(tmp_path, monkeypatch):
  """Return a function that runs one of two cells, and returns what was printed."""
  rows = [SimpleNamespace(name="mine"), SimpleNamespace(name="standard")]
  plan = SimpleNamespace(
    rows=rows, seeds=[3], left=lambda row: int(row.name != "standard")
  )
  job = Job("mine", (3,), (Path(tmp_path / "seed3"),), 4, (), tmp_path / "log")

  def run(stream, wanted=True):
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setenv("TERM", "xterm")
    with Bar(plan, wanted) as bar:
      bar.started(job)
      bar.tick([job])
      bar.ended(job)
    return stream.getvalue()

  return run


def test_a_terminal_has_a_bar_for_as_long_as_cells_run(shown):
  text = shown(Terminal())
  assert "cell 2 of 2, mine, seed 3" in text
  assert text.endswith("\x1b[2K")  # The line is erased.


def test_nothing_is_printed_elsewhere_or_if_it_is_not_wanted(shown):
  assert shown(io.StringIO()) == ""
  assert shown(Terminal(), wanted=False) == ""


def test_a_notebook_has_a_bar_that_is_removed(shown, monkeypatch):
  texts = []
  handle = SimpleNamespace(update=texts.append)
  display = SimpleNamespace(HTML=str, display=lambda text, display_id: handle)
  monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(display=display))
  monkeypatch.setattr(Console, "is_jupyter", True, raising=False)
  monkeypatch.setattr(Console, "__init__", lambda self, **options: None)
  assert shown(io.StringIO()) == ""
  assert texts == [
    '<progress value="1" max="2"></progress> cell 2 of 2, mine, seed 3',
    '<progress value="2" max="2"></progress> cell 2 of 2',
    "",
  ]


def test_training_has_a_bar_with_its_latest_metrics(monkeypatch):
  stream = Terminal()
  monkeypatch.setattr(sys, "stdout", stream)
  monkeypatch.setenv("TERM", "xterm")
  listener = BarListener(1, 4)
  listener.step(2)
  listener.figures(2, "train", {"loss": 2.0}, 65)
  listener.batches("validation")(1, 2)  # The bar stays that of training.
  listener.line("a line of the command")
  listener.close()
  text = stream.getvalue()
  assert "step 2 of 4  train: loss 2  left 1:05" in text
  assert "a line" not in text
  assert "validation" not in text


def test_lines_without_a_bar_are_plain_on_what_claims_to_be_a_terminal(monkeypatch):
  stream = Terminal()
  monkeypatch.setattr(sys, "stdout", stream)
  show = Show(0, 4, bar=False)
  show.step(2)
  show.figures(2, "train", {"loss": 2.0})
  show.close()
  assert stream.getvalue() == "step 2/4  train: loss 2\n"
