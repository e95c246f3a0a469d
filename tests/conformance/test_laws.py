"""Tests of the laws' verdicts, and that every law has a broken attention."""

import pytest

from attention_lab.conformance import cost
from attention_lab.conformance.check import LAWS
from attention_lab.conformance.law import Case, Law, Note, judge
from attention_lab.conformance.subject import Subject
from attention_lab.errors import UserError
from tests import commands
from tests.conformance.broken import BROKEN, find_law


def test_every_law_has_a_broken_attention():
  assert {law.name for law in LAWS} == {find_law(law).name for _, law in BROKEN}


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


def test_refused_cases_are_counted_and_are_no_proof():
  def refuse():
    raise UserError("too long")

  verdict = judge(law_of(Case("long", refuse, 1), Case("short", 0.5, 1)), None)
  assert (verdict.status, verdict.worst) == ("holds", 0.5)
  assert verdict.notes == ("1 of 2 cases refused; long: too long",)
  for law in (law_of(Case("long", refuse, 1)), law_of(error=UserError("too long"))):
    verdict = judge(law, None)
    assert (verdict.status, verdict.failed) == ("refused", True)
    assert "too long" in verdict.case


def test_law_without_cases_is_not_applicable():
  verdict = judge(law_of(Note("nothing was tried")), None)
  assert (verdict.status, verdict.notes) == ("not applicable", ("nothing was tried",))


@pytest.mark.parametrize("error", [ValueError("a\nb"), SystemExit(3)])
def test_exception_raises(error):
  verdict = judge(law_of(Case("a", 0.1, 1), error=error), None)
  assert (verdict.status, verdict.failed) == ("raises", True)
  assert type(error).__name__ in verdict.case
  assert verdict.notes == ("raised at a",)


def test_excluded_law_is_not_applicable():
  verdict = judge(cost.cost_grows_linearly, Subject("standard"))
  assert (verdict.status, verdict.failed) == ("not applicable", False)
  assert verdict.case == "linear_time is not set"


def test_the_guide_lists_every_law():
  guide = (commands.ROOT / "docs" / "guides" / "checking.md").read_text()
  table = guide.partition("## The laws")[2].partition("## From Python")[0]
  rows = [line for line in table.splitlines() if line.startswith("| ")]
  assert [law.name for law in LAWS] == [row.split(" | ")[0][2:] for row in rows[2:]]
