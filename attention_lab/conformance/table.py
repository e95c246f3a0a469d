"""Table of verdicts as text: a line per law, then the details of those that failed."""

import textwrap
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import TypeVar

from attention_lab.conformance.law import Verdict

LABELS = {"broken": "BROKEN", "raises": "RAISES", "refused": "REFUSED"}
HEAD = f"{'status':14}  {'error/limit':>11}  law"
LISTED = 3  # Names in a summary.

Key = TypeVar("Key", bound=Hashable)


def row(verdict: Verdict) -> str:
  """Return the line of a law: status, largest ratio of error to limit, and name."""
  known = verdict.worst is not None and verdict.status in ("holds", "broken")
  worst = f"{verdict.worst:.2g}" if known else ""
  return f"{label(verdict):14}  {worst:>11}  {verdict.law}"


def label(verdict: Verdict) -> str:
  """Return the status of a verdict as it is printed."""
  return LABELS.get(verdict.status, verdict.status)


def details(found: Sequence[Verdict], width: int) -> Iterator[str]:
  """Yield the lines below the table: reasons, notes, and at last the failures.

  Laws with the same reason, exception or usual cause are listed together.
  """
  yield ""
  excluded = [(v.case, v) for v in found if v.status == "not applicable"]
  for reason, laws in _grouped(excluded):
    yield from _wrapped(f"Not applicable ({reason}): {_names(laws)}.", width)
  noted = [(note, v) for v in found if not v.failed for note in v.notes]
  for note, laws in _grouped(noted):
    yield from _wrapped(f"Note ({_names(laws)}): {note}.", width)
  for (status, cause), laws in _grouped([(_cause(v), v) for v in found if v.failed]):
    yield ""
    if status == "broken":
      yield from _broken(laws, width)
    else:
      yield from _wrapped(f"{LABELS[status]}: {cause}", width)
      for verdict in laws:
        notes = f" ({'; '.join(verdict.notes)})" if verdict.notes else ""
        yield from _wrapped(f"in: {verdict.law}{notes}", width, "  ")


def _broken(laws: Sequence[Verdict], width: int) -> Iterator[str]:
  """Yield the lines about broken laws that have the same usual cause."""
  for verdict in laws:
    yield from _wrapped(f"BROKEN: {verdict.law}", width)
    yield from _wrapped(verdict.case, width, "  ")
    for note in verdict.notes:
      yield from _wrapped(f"Note: {note}.", width, "  ")
  yield from _wrapped(f"Usual cause: {laws[0].meaning}.", width, "  ")


def _cause(verdict: Verdict) -> tuple[str, str]:
  """Return the status and what verdicts that fail for one reason have in common."""
  broken = verdict.status == "broken"
  return verdict.status, verdict.meaning if broken else verdict.case


def summary(found: Sequence[Verdict]) -> str:
  """Return a line such as "27 laws hold, 1 law is broken (…), 2 not applicable."."""
  holding = sum(verdict.status == "holds" for verdict in found)
  failed = [verdict for verdict in found if verdict.failed]
  excluded = len(found) - holding - len(failed)
  more = f"; and {len(failed) - LISTED} more" if len(failed) > LISTED else ""
  names = f" ({_names(failed[:LISTED])}{more})" if failed else ""
  return (
    f"{holding} {'law holds' if holding == 1 else 'laws hold'}, "
    f"{len(failed)} {'law is' if len(failed) == 1 else 'laws are'} broken{names}, "
    f"{excluded} not applicable."
  )


def _names(laws: Iterable[Verdict]) -> str:
  return "; ".join(verdict.law for verdict in laws)


def _grouped(
  pairs: Iterable[tuple[Key, Verdict]],
) -> list[tuple[Key, list[Verdict]]]:
  """Collect the verdicts of each key, in order of appearance."""
  groups: dict[Key, list[Verdict]] = {}
  for key, verdict in pairs:
    groups.setdefault(key, []).append(verdict)
  return list(groups.items())


def _wrapped(text: str, width: int, indent: str = "") -> list[str]:
  return textwrap.wrap(
    text,
    width,
    initial_indent=indent,
    subsequent_indent=indent + "  ",
    break_long_words=False,
    break_on_hyphens=False,
  )
