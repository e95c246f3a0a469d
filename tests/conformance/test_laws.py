"""Every built-in attention keeps every law; every broken one is seen by its own law."""

import pytest

from attention_lab.attention.base.attention import attentions
from attention_lab.conformance import claims, decoding
from attention_lab.conformance.check import LAWS, verdicts
from attention_lab.conformance.law import Case, Law, judge
from attention_lab.conformance.subject import Subject
from attention_lab.errors import UserError
from tests.conformance.broken import BROKEN


def _called(x):
  return getattr(x, "__name__", "")


# What stops working altogether; of all others a law has to see that they are wrong.
RAISE = ("NeedsPairs", "NoRuleForVmap")
FURTHER = ("standard(num_kv_heads=1, bias=True)", "selective(num_kv_heads=2)")


@pytest.mark.parametrize("spec", attentions)
def test_every_attention_keeps_every_law(spec):
  failed = [v for v in verdicts(Subject(spec)) if v.failed]
  assert not failed, "\n".join(f"{v.law} {v.status}: {v.case}" for v in failed)


@pytest.mark.parametrize("spec", FURTHER)
def test_grouped_heads_and_biases_decode_as_they_train(spec):
  assert judge(decoding.decoding_is_the_full_pass, Subject(spec)).status == "holds"


@pytest.mark.parametrize(("part", "law"), BROKEN, ids=_called)
def test_a_broken_attention_is_seen_by_its_law(part, law, monkeypatch):
  monkeypatch.setitem(attentions._parts, "broken", part)
  monkeypatch.setattr(claims, "LENGTHS", (256, 1_024))  # None goes by segments.
  verdict = judge(law, Subject("broken"))
  status = "raises" if part.__name__ in RAISE else "broken"
  assert verdict.status == status, f"{part.__name__}: {verdict}"
  assert verdict.meaning


def test_every_law_is_seen_to_fail():
  assert {law.name for law in LAWS} == {law.name for _, law in BROKEN}


def made_of(*cases, error=None):
  """A law with these cases."""

  def run(subject):
    yield from cases
    if error:
      raise error

  return Law("a law", "a meaning", run, lambda subject: "")


def test_the_smallest_case_that_fails_is_told():
  law = made_of(Case("small", 0.5, 1), Case("middle", 3, 1), Case("large", 9, 1))
  verdict = judge(law, None)
  assert (verdict.status, verdict.worst) == ("broken", 3)
  assert verdict.case.startswith("middle")


def test_the_worst_of_what_holds_is_told():
  verdict = judge(made_of(Case("a", 0.1, 1), Case("b", 2, 4), Case("c", 0, 0)), None)
  assert (verdict.status, verdict.worst, verdict.meaning) == ("holds", 0.5, "")
  assert verdict.case.startswith("b")


@pytest.mark.parametrize("error", [float("nan"), float("inf"), True])
def test_no_number_holds(error):
  verdict = judge(made_of(Case("a", error, 0.0)), None)
  assert (verdict.status, verdict.worst) == ("broken", None)


def test_a_refusal_holds_and_a_crash_does_not():
  assert judge(made_of(error=UserError("too long")), None).status == "holds"
  verdict = judge(made_of(error=ValueError("a\nb")), None)
  assert (verdict.status, verdict.failed) == ("raises", True)
  assert "ValueError" in verdict.case


def test_a_law_that_does_not_apply_is_not_asked():
  verdict = judge(claims.grows_linearly, Subject("standard"))
  assert verdict.status == "not asked"
