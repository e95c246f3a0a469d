"""Laws: properties that every attention must have, each with the cases that test it."""

import dataclasses
import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

from attention_lab.conformance.subject import Subject
from attention_lab.errors import UserError, one_line

# An error, or an error and a description of where it occurred.
Error = float | tuple[float, str]


class Measured(NamedTuple):
  """A measured error and its limit."""

  label: str
  error: float
  limit: float

  @property
  def holds(self) -> bool:
    """True if the error is within its limit; False for NaN."""
    return self.error <= self.limit

  @property
  def ratio(self) -> float | None:
    """Error over limit; None if it is not finite."""
    if self.error == 0:
      return 0.0
    ratio = self.error / self.limit if self.limit else math.inf
    return ratio if math.isfinite(ratio) else None

  def __str__(self) -> str:
    if self.limit == 0:  # Such an error is a truth value, which the label describes.
      return self.label
    return f"{self.label}: {self.error:.2g} (at most {self.limit:.2g})"


class Case(NamedTuple):
  """Inputs for which a law must hold.

  A law yields its small cases first, so that the first failing case is the smallest one.
  A case that raises a UserError is refused; the other cases are still measured.
  """

  label: str  # The inputs, such as "T=6, padding in front".
  measure: Callable[[], Error] | float  # Measures the error, or the error itself.
  limit: float  # Largest allowed error.

  def measured(self) -> Measured:
    """Measure the error."""
    error = self.measure() if callable(self.measure) else self.measure
    if isinstance(error, tuple):
      error, where = error
      return Measured(f"{self.label}, {where}", float(error), self.limit)
    return Measured(self.label, float(error), self.limit)


class Note(NamedTuple):
  """A remark about what a law did not test, or tested otherwise."""

  text: str


@dataclasses.dataclass(frozen=True)
class Law:
  """A property that every attention must have, and the cases that test it."""

  name: str
  meaning: str  # Usual cause of a failure.
  cases: Callable[[Subject], Iterable[Case | Note]]
  excludes: Callable[[Subject], str]  # Why the law is not applicable; "" if it is.


class Verdict(NamedTuple):
  """Result of testing one law on one attention; check.json stores these fields."""

  law: str
  # "holds", "broken", "raises" (an exception), "refused" (every case) or
  # "not applicable".
  status: str
  worst: float | None  # Largest ratio of error to limit; None if it is not finite.
  case: str  # Smallest failing case if the law is broken, else the worst case.
  meaning: str  # Usual cause of the failure; empty if the law holds.
  notes: tuple[str, ...] = ()  # What was not tested, and which cases were refused.

  @property
  def failed(self) -> bool:
    """True unless the law holds or is not applicable."""
    return self.status in ("broken", "raises", "refused")


def law(
  name: str, meaning: str, excludes: Callable[[Subject], str] = lambda subject: ""
) -> Callable[[Callable[[Subject], Iterable[Case | Note]]], Law]:
  """Return a decorator that makes a Law of a function (subject → cases)."""
  return lambda cases: Law(name, meaning, cases, excludes)


def only(kind: str) -> Callable[[Subject], str]:
  """Return an `excludes` function for laws about one of the kinds of attention."""
  return lambda subject: "" if kind in subject.kinds else f"it is not {kind}"


def judge(
  law: Law, subject: Subject, tell: Callable[[str], None] = lambda label: None
) -> Verdict:
  """Test a law on an attention and return the verdict.

  Args:
    law: the law.
    subject: the attention.
    tell: called with each case's label before the case is measured.
  """
  if reason := law.excludes(subject):
    return Verdict(law.name, "not applicable", None, reason, "")
  label, worst = "", Measured("", 0.0, 1.0)
  notes: list[str] = []
  refused: list[str] = []
  count = 0
  try:
    for case in law.cases(subject):
      if isinstance(case, Note):
        notes.append(case.text)
        continue
      label = case.label
      tell(label)
      try:
        measured = case.measured()
      except UserError as error:
        refused.append(f"{label}: {error}")
        continue
      count += 1
      if not measured.holds:
        case_text = str(measured)
        return Verdict(
          law.name, "broken", measured.ratio, case_text, law.meaning, tuple(notes)
        )
      worst = max(worst, measured, key=lambda each: each.ratio or 0.0)
  except UserError as error:
    refused.append(str(error))
  except (Exception, SystemExit) as error:
    where = (f"raised at {label}",) if label else ()
    return Verdict(
      law.name, "raises", None, one_line(error), law.meaning, (*notes, *where)
    )
  if not count:
    return _without_cases(law, refused, notes)
  if refused:
    notes.append(
      f"{len(refused)} of {len(refused) + count} cases refused; {refused[0]}"
    )
  case_text = str(worst) if worst.label else ""
  return Verdict(law.name, "holds", worst.ratio, case_text, "", tuple(notes))


def _without_cases(law: Law, refused: list[str], notes: list[str]) -> Verdict:
  """Return the verdict on a law of which no case could be measured."""
  if refused:
    meaning = "the attention refuses all inputs of this law, so nothing is proved"
    return Verdict(law.name, "refused", None, refused[0], meaning, tuple(notes))
  reason = "there is nothing to test"
  return Verdict(law.name, "not applicable", None, reason, "", tuple(notes))
