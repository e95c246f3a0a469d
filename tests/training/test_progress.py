"""Proves that without a terminal progress is plain lines, unchanged and uncut."""

import pytest
from rich import console

from attention_lab.training.progress import Show


@pytest.fixture
def shown(capsys):
  """Return what a Show of 10 steps prints."""

  def run(use):
    show = Show(0, 10)
    use(show)
    show.close()
    return capsys.readouterr().out

  return run


def test_a_notebook_does_not_bypass_standard_output(shown, monkeypatch):
  """The runs of a comparison in a notebook print to their logs."""
  monkeypatch.setattr(console, "_is_jupyter", lambda: True)
  assert shown(lambda show: show.line("text")) == "text\n"


def test_figures_are_one_line(shown):
  values = {"loss": 2.0, "grad_norm": 0.125}
  line = shown(lambda show: show.figures(5, "train", values, 83.9))
  assert line == "step 5/10  train: loss 2  grad norm 0.125  left 1:23\n"


@pytest.mark.parametrize(
  ("value", "text"),
  [
    (0.123456, "0.1235"),
    (12345.6, "12,346"),
    (1000.0, "1,000"),
    (1e-9, "1e-09"),
    (float("nan"), "nan"),
    (7, "7"),
    ("word", "word"),
  ],
)
def test_a_figure_has_as_many_digits_as_one_reads(shown, value, text):
  line = shown(lambda show: show.figures(1, "validation", {"x": value}))
  assert line == f"step 1/10  validation: x {text}\n"


def test_moving_the_bar_prints_nothing(shown):
  assert shown(lambda show: show.step(5)) == ""


@pytest.mark.parametrize(
  "text",
  [
    "word " * 100 + "end",
    "x" * 500,
    "[bold]not markup[/bold] [/]",
    "an :x: is no emoji",
    "1.5 'quoted' http://example.org",
    "two\nlines",
    "",
  ],
)
def test_a_line_is_printed_as_it_is(shown, text):
  assert shown(lambda show: show.line(text)) == text + "\n"


def test_closing_twice_does_no_harm(shown):
  assert shown(lambda show: show.close()) == ""


def test_on_a_terminal_a_bar_shows_steps_and_figures(shown, monkeypatch):
  monkeypatch.setenv("FORCE_COLOR", "1")
  monkeypatch.setenv("TERM", "xterm")
  monkeypatch.setenv("COLUMNS", "100")

  def use(show):
    show.figures(5, "train", {"loss": 2.0}, 83.9)
    show.step(5)

  screen = shown(use)
  assert "5/10" in screen
  assert "loss 2" in screen
