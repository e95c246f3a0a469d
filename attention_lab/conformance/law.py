"""Laws: properties that every attention must have, each with the cases that test it."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from attention_lab.conformance.subject import Subject
from attention_lab.errors import UserError, one_line


class Case(NamedTuple):
  """A measured error and its limit.

  A law yields its small cases first, so that the first failing case is the smallest one.
  """

  label: str  # Inputs that were measured, such as "T=6, padding in front".
  error: float
  limit: float  # Largest allowed error.

  @property
  def holds(self) -> bool:
    """True if the error is within its limit; False for NaN."""
    return self.error <= self.limit


@dataclasses.dataclass(frozen=True)
class Law:
  """A property that every attention must have, and the cases that test it.

  If `cases` raises a UserError, the attention refuses these inputs explicitly, which the
  law allows.
  """

  name: str
  meaning: str  # Usual cause of a failure.
  cases: Callable[[Subject], Iterable[Case]]
  excludes: Callable[[Subject], str]  # Why the law is not applicable; "" if it is.


class Verdict(NamedTuple):
  """Result of testing one law on one attention; check.json stores these fields."""

  law: str
  status: str  # "holds", "broken", "raises" (an exception) or "not applicable".
  worst: float | None  # Largest ratio of error to limit; None if it is not finite.
  case: str  # Smallest failing case if the law is broken, else the worst case.
  meaning: str  # Usual cause of the failure; empty if the law holds.

  @property
  def failed(self) -> bool:
    """True if the law is broken or an exception was raised."""
    return self.status in ("broken", "raises")


def law(
  name: str, meaning: str, excludes: Callable[[Subject], str] = lambda subject: ""
) -> Callable[[Callable[[Subject], Iterable[Case]]], Law]:
  """Return a decorator that makes a Law of a function (subject → cases)."""
  return lambda cases: Law(name, meaning, cases, excludes)


def only(kind: str) -> Callable[[Subject], str]:
  """Return an `excludes` function for laws about one of the kinds of attention."""
  return lambda subject: "" if kind in subject.kinds else f"it is not {kind}"


def judge(law: Law, subject: Subject) -> Verdict:
  """Test a law on an attention and return the verdict."""
  if reason := law.excludes(subject):
    return Verdict(law.name, "not applicable", None, reason, "")
  worst: tuple[float, str] = (0.0, "")
  try:
    for case in _allowing_refusal(law, subject):
      if not case.holds:
        return Verdict(law.name, "broken", _ratio(case), _describe(case), law.meaning)
      worst = max(worst, (_ratio(case) or 0.0, _describe(case)))
  except Exception as error:
    return Verdict(law.name, "raises", None, one_line(error), law.meaning)
  return Verdict(law.name, "holds", worst[0], worst[1], "")


def _allowing_refusal(law: Law, subject: Subject) -> Iterator[Case]:
  """Yield the law's cases; a UserError ends them and yields a case that holds."""
  try:
    yield from law.cases(subject)
  except UserError as error:
    yield Case(f"refused: {error}", 0.0, 0.0)


def _ratio(case: Case) -> float | None:
  if case.error == 0:
    return 0.0
  ratio = case.error / case.limit if case.limit else math.inf
  return ratio if math.isfinite(ratio) else None


def _describe(case: Case) -> str:
  if case.limit == 0:  # Such an error is a truth value, which the label describes.
    return case.label
  return f"{case.label}: {case.error:.2g} (at most {case.limit:.2g})"
