"""Tests of the laws: all built-in attentions obey them; each detects a broken attention."""

import pytest

from attention_lab.attention.base.attention import attentions
from attention_lab.conformance import claims, decoding
from attention_lab.conformance.check import LAWS, verdicts
from attention_lab.conformance.law import Case, Law, judge
from attention_lab.conformance.subject import Subject
from attention_lab.errors import UserError
from tests.conformance.broken import BROKEN


def _name(value):
  return getattr(value, "__name__", "")


# These raise an exception. All others return wrong results, which a law must detect.
RAISING = ("NeedsEvenHeads", "NoBatchingRule")
WITH_OPTIONS = ("standard(num_kv_heads=1, bias=True)", "selective(num_kv_heads=2)")


@pytest.mark.parametrize("spec", attentions)
def test_attention_obeys_every_law(spec):
  failed = [v for v in verdicts(Subject(spec)) if v.failed]
  assert not failed, "\n".join(f"{v.law} {v.status}: {v.case}" for v in failed)


@pytest.mark.parametrize("spec", WITH_OPTIONS)
def test_grouped_heads_and_biases_decode_as_in_training(spec):
  assert judge(decoding.decoding_equals_full_pass, Subject(spec)).status == "holds"


@pytest.mark.parametrize(("attention", "law"), BROKEN, ids=_name)
def test_broken_attention_is_detected_by_its_law(attention, law, monkeypatch):
  monkeypatch.setitem(attentions._parts, "broken", attention)
  # Short lengths suffice here: no broken attention works in segments.
  monkeypatch.setattr(claims, "LENGTHS", (256, 1_024))
  verdict = judge(law, Subject("broken"))
  status = "raises" if attention.__name__ in RAISING else "broken"
  assert verdict.status == status, f"{attention.__name__}: {verdict}"
  assert verdict.meaning


def test_every_law_has_a_broken_attention():
  assert {law.name for law in LAWS} == {law.name for _, law in BROKEN}


def law_of(*cases, error=None):
  """Return a law that yields these cases, then raises `error`."""

  def run(subject):
    yield from cases
    if error:
      raise error

  return Law("a law", "a meaning", run, lambda subject: "")


def test_verdict_of_broken_law_has_smallest_failing_case():
  law = law_of(Case("small", 0.5, 1), Case("middle", 3, 1), Case("large", 9, 1))
  verdict = judge(law, None)
  assert (verdict.status, verdict.worst) == ("broken", 3)
  assert verdict.case.startswith("middle")


def test_verdict_of_law_that_holds_has_worst_case():
  verdict = judge(law_of(Case("a", 0.1, 1), Case("b", 2, 4), Case("c", 0, 0)), None)
  assert (verdict.status, verdict.worst, verdict.meaning) == ("holds", 0.5, "")
  assert verdict.case.startswith("b")


@pytest.mark.parametrize("error", [float("nan"), float("inf"), True])
def test_infinite_ratio_is_broken_and_has_no_number(error):
  verdict = judge(law_of(Case("a", error, 0.0)), None)
  assert (verdict.status, verdict.worst) == ("broken", None)


def test_user_error_holds_and_other_exception_raises():
  assert judge(law_of(error=UserError("too long")), None).status == "holds"
  verdict = judge(law_of(error=ValueError("a\nb")), None)
  assert (verdict.status, verdict.failed) == ("raises", True)
  assert "ValueError" in verdict.case


def test_excluded_law_is_not_applicable():
  verdict = judge(claims.cost_grows_linearly, Subject("standard"))
  assert (verdict.status, verdict.failed) == ("not applicable", False)
  assert verdict.case == "linear_time is not set"
