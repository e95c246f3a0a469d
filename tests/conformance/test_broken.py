"""Every broken attention is detected by the law that is meant to."""

import pytest

from attention_lab.conformance import cost
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


# This law takes 5 to 15 seconds in full depth.
SLOW = "causality.no_dependence_on_future"
QUICK = [pair for pair in BROKEN if pair[0] not in FULL_DEPTH or pair[1] != SLOW]


@pytest.mark.parametrize(("attention", "law"), QUICK, ids=_name)
def test_broken_attention_is_detected_by_its_law(attention, law, monkeypatch):
  # Short lengths suffice here: no broken attention works in segments.
  monkeypatch.setattr(cost, "LENGTHS", (256, 1_024))
  detect(attention, law, "full" if attention in FULL_DEPTH else "quick")


@pytest.mark.conformance_full
@pytest.mark.parametrize(("attention", "law"), BROKEN, ids=_name)
def test_broken_attention_is_detected_in_full_depth(attention, law):
  detect(attention, law, "full")
