"""Docstrings are read into sections, and every component has those that it needs."""

import inspect
import re

import pytest

from attention_lab.attention.base.attention import attentions
from attention_lab.block.base.block import blocks
from attention_lab.catalogue.docstring import describe
from attention_lab.catalogue.mathml import mathml
from attention_lab.catalogue.option import options
from attention_lab.dataset.base.dataset import datasets
from attention_lab.norm.base.norm import norms
from attention_lab.optimizer.base.optimizer import optimizers
from attention_lab.plugin.registry import REGISTRIES
from attention_lab.position.base.position import positions
from attention_lab.schedule.base.schedule import schedules

EQUATIONS = (attentions, positions, blocks, norms, optimizers)


def own(registry):
  """Return the names of the components of this package, which have a file each."""
  return [
    name for name in registry if registry[name].__module__.startswith("attention_lab.")
  ]


def test_sections_are_read():
  class Example:
    """A summary
    of two lines.

    Details with `code`.

    Equation:
      y = x
      x_i = 1 / 2

    Departures:
      - The first,
        on two lines (arXiv:1234.56789).
      - The second.

    More details.
    """

  about = describe(Example)
  assert about.summary == "A summary of two lines."
  assert about.details == "Details with `code`.\n\nMore details."
  assert about.equation == ("y = x", "x_i = 1 / 2")
  first = "The first, on two lines (arXiv:1234.56789)."
  assert about.departures == (first, "The second.")
  assert about.papers == ("1234.56789",)
  assert about.heading == __doc__


@pytest.mark.parametrize("registry", EQUATIONS, ids=lambda each: each.kind)
def test_every_formula_is_given_with_its_source(registry):
  for name in own(registry):
    about = describe(registry[name])
    assert about.equation, name
    assert about.papers or re.search(r"\d{4}|no paper", about.heading), name
    assert all(mathml(line).startswith("<math") for line in about.equation)


@pytest.mark.parametrize("registry", REGISTRIES, ids=lambda each: each.kind)
def test_every_option_is_described(registry):
  missing = {
    f"{name}({each.name})"
    for name in own(registry)
    for each in options(registry, name)
    if not each.meaning
  }
  assert missing == set()


def test_departures_of_the_earlier_list_are_in_docstrings():
  counts = {
    registry.kind: sum(bool(describe(registry[x]).departures) for x in own(registry))
    for registry in (attentions, positions, datasets)
  }
  assert counts["attention"] >= 18
  assert counts["position"] >= 5
  assert counts["dataset"] >= 2


class Commented:
  """Options with comments."""

  beside: int = 1  # Beside it.
  # Above it,
  # on two lines.
  above: int = 2
  inside: int | None = None  # Inside brackets.
  bare: int = 3
  needed: str  # No default.

  def __init__(self, needed: str, beside=1, above=2, inside=None, bare=3):
    del needed, beside, above, inside, bare


class OneRegistry(dict):
  """A registry of one component."""

  def options(self, name):
    return inspect.signature(self[name]).parameters


def test_comments_beside_above_and_inside_a_definition_are_read():
  found = options(OneRegistry(example=Commented), "example")
  assert {each.name: each[2:] for each in found} == {
    "beside": ("1", "Beside it."),
    "above": ("2", "Above it, on two lines."),
    "inside": ("None", "Inside brackets."),
    "bare": ("3", ""),
    "needed": ("", "No default."),
  }


def test_a_lambda_is_described_without_meanings(monkeypatch):
  monkeypatch.setattr(schedules, "_parts", dict(schedules._parts))
  schedules.register("short")(lambda peak, share=0.5: lambda step: peak * share)
  assert [each.meaning for each in options(schedules, "short")] == [""]
