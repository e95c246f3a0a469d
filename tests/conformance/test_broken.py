"""Every broken attention is detected by the law that is meant to."""

import pytest

from attention_lab.conformance import cost
from attention_lab.conformance.check import LAWS
from attention_lab.conformance.law import judge
from attention_lab.conformance.subject import Subject
from tests.conformance.broken import BROKEN, FULL_DEPTH, find_law

# All others return wrong results for some inputs, which a law must detect.
REFUSING = ("RefusesEveryTestedLength", "RefusesOtherLengths")
RAISING = (
  "AssumesHeadsFillModel",
  "CannotGroup",
  "FailsAtOtherLengths",
  "NeedsEvenHeads",
  "NoBatchingRule",
  "UsesQueryPositions",
)


def _name(value):
  return getattr(value, "__name__", "")


def detect(attention, law, depth):
  """Require that a law detects a broken attention."""
  verdict = judge(find_law(law), Subject("broken", depth=depth, attention=attention))
  name = attention.__name__
  status = "raises" if name in RAISING else "refused" if name in REFUSING else "broken"
  assert verdict.status == status, f"{name}: {verdict}"
  assert verdict.meaning


def of_each_law(count):
  """Return some broken attentions of each law, preferably those that show at once."""
  found = {}
  for attention, law in sorted(BROKEN, key=lambda pair: pair[0] in FULL_DEPTH):
    found.setdefault(law, []).append((attention, law))
  return [pair for pairs in found.values() for pair in pairs[:count]]


@pytest.mark.parametrize(("attention", "law"), of_each_law(2), ids=_name)
def test_broken_attention_is_detected_by_its_law(attention, law, monkeypatch):
  # Short lengths suffice here: no broken attention works in segments.
  monkeypatch.setattr(cost, "LENGTHS", (256, 1_024))
  detect(attention, law, "full" if attention in FULL_DEPTH else "quick")


def test_every_law_has_a_broken_attention():
  assert len(of_each_law(1)) == len(LAWS)


@pytest.mark.conformance_full
@pytest.mark.parametrize(("attention", "law"), BROKEN, ids=_name)
def test_broken_attention_is_detected_in_full_depth(attention, law):
  detect(attention, law, "full")
