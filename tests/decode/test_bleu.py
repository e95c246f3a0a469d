"""BLEU and chrF are those that follow from their definitions."""

import math
import sys

import pytest

from attention_lab.decode.bleu import translation_scores
from attention_lab.errors import UserError

SENTENCES = ["The dog bit the man.", "It was not unexpected.", "The man bit him first."]


def scores(hypotheses, references):
  pytest.importorskip("sacrebleu")
  return translation_scores(hypotheses, references)


def test_what_is_perfect_scores_100():
  found = scores(SENTENCES, SENTENCES)
  assert [name for name in found if found[name].value == pytest.approx(100)] == [
    "bleu",
    "chrf",
  ]


def test_bleu_by_hand():
  """Of 6 words 5 are right, of 5 pairs 3, of 4 triples 2, of 3 fours 1; no brevity."""
  found = scores(["the cat sat on the mat"], ["the cat sat on a mat"])
  expected = 100 * (5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** (1 / 4)
  assert found["bleu"].value == pytest.approx(expected)


def test_a_short_translation_pays_for_its_brevity():
  found = scores(["the cat sat on"], ["the cat sat on mats"])
  assert found["bleu"].value == pytest.approx(100 * math.exp(1 - 5 / 4))


def test_chrf_by_hand():
  """All that is there is right, and of n characters in a row one in 9 - n is missing."""
  found = scores(["abcdefg"], ["abcdefgh"])
  recall = sum((8 - n) / (9 - n) for n in range(1, 7)) / 6
  assert found["chrf"].value == pytest.approx(100 * 5 * recall / (4 + recall))


def test_the_signatures_say_what_was_computed():
  found = scores(SENTENCES, SENTENCES[::-1])
  assert "tok:13a|smooth:exp|version:" in found["bleu"].signature
  assert "nc:6|nw:0|space:no|version:" in found["chrf"].signature


@pytest.mark.parametrize("pair", [(["a"], ["a", "b"]), ([], [])])
def test_what_cannot_be_compared_is_refused(pair):
  with pytest.raises(UserError, match="one reference for each"):
    translation_scores(*pair)


def test_a_missing_library_is_one_line(monkeypatch):
  monkeypatch.setitem(sys.modules, "sacrebleu", None)
  with pytest.raises(UserError, match=r"^BLEU .* pip install .* \[translate\] .*\.$"):
    translation_scores(["a"], ["a"])
