"""Equations of docstrings become MathML."""

import re
from xml.etree import ElementTree

import pytest

from attention_lab.catalogue.docstring import describe
from attention_lab.catalogue.mathml import Notation, mathml
from attention_lab.plugin.registry import REGISTRIES


def plain(equation):
  """Return the MathML without attributes and grouping."""
  return re.sub(
    r"</?mrow>|</?math>", "", re.sub(r"(<\w+)[^>]*>", r"\1>", mathml(equation))
  )


@pytest.mark.parametrize(
  ("equation", "expected"),
  [
    ("x_i", "<msub><mi>x</mi><mi>i</mi></msub>"),
    ("x_ij²", "<msubsup><mi>x</mi><mi>i</mi><mi>j</mi><mi>2</mi></msubsup>"),
    ("kᵀ", "<msup><mi>k</mi><mi>T</mi></msup>"),
    ("√K", "<msqrt><mi>K</mi></msqrt>"),
    ("√(T D)", "<msqrt><mi>T</mi><mi>D</mi></msqrt>"),
    ("a b / c", "<mfrac><mi>a</mi><mi>b</mi><mi>c</mi></mfrac>"),
    ("a / (b + c)", "<mfrac><mi>a</mi><mi>b</mi><mo>+</mo><mi>c</mi></mfrac>"),
    ("a/b", "<mi>a</mi><mo>/</mo><mi>b</mi>"),
    (
      "Σ_{l<i} x",
      "<munder><mo>Σ</mo><mi>l</mi><mo>&lt;</mo><mi>i</mi></munder><mi>x</mi>",
    ),
    ("q̂", "<mover><mi>q</mi><mo>^</mo></mover>"),
    ("max_bias", "<mi>max_bias</mi>"),
    ("log x", "<mi>log</mi><mspace><mi>x</mi>"),
    ("-1", "<mo>−</mo><mn>1</mn>"),
  ],
)
def test_notation(equation, expected):
  assert plain(equation) == expected


@pytest.mark.parametrize("equation", ["(a", "a)", "a / ", "a / / b", "a_", "√"])
def test_wrong_notation_is_refused(equation):
  with pytest.raises(Notation, match=re.escape(equation.strip())):
    mathml(equation)


def test_all_equations_are_well_formed():
  for registry in REGISTRIES:
    for name in registry:
      for equation in describe(registry[name]).equation:
        assert ElementTree.fromstring(mathml(equation)).get("alttext") == equation
