"""Table of verdicts as text: a line per law, then the details of those that failed."""

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from attention_lab.conformance.law import Verdict

LABELS = {"broken": "BROKEN", "raises": "RAISES", "refused": "REFUSED"}
HEAD = f"{'status':14}  {'error/limit':>11}  law"
LISTED = 3  # Names in a summary.


def row(verdict: Verdict) -> str:
  """Return the line of a law: its status, the largest ratio of error to limit, its name."""
  worst = "" if verdict.worst is None else f"{verdict.worst:.2g}"
  if verdict.status == "not applicable":
    worst = ""
  return f"{label(verdict):14}  {worst:>11}  {verdict.law}"


def label(verdict: Verdict) -> str:
  """Return the status of a verdict as it is printed."""
  return LABELS.get(verdict.status, verdict.status)


def details(found: Sequence[Verdict], width: int) -> Iterator[str]:
  """Yield the lines below the table: reasons, notes, and at last the failures.

  Laws with the same reason, exception or usual cause are listed together.
  """
  excluded = [(v.case, v) for v in found if v.status == "not applicable"]
  for reason, laws in _grouped(excluded):
    yield from _wrapped(f"Not applicable, as {reason}: {_names(laws)}", width)
  for note, laws in _grouped([(note, v) for v in found for note in v.notes]):
    yield from _wrapped(f"Note on {_names(laws)}: {note}", width)
  failed = [((v.status, _cause(v)), v) for v in found if v.failed]
  for (status, cause), laws in _grouped(failed):
    yield ""
    yield from _failure(status, cause, laws, width)


def _cause(verdict: Verdict) -> str:
  """Return what laws that fail for one reason have in common."""
  return verdict.meaning if verdict.status == "broken" else verdict.case


def _failure(
  status: str, cause: str, laws: Sequence[Verdict], width: int
) -> Iterator[str]:
  """Yield the lines about laws that failed for the same reason."""
  if status != "broken":
    yield from _wrapped(f"{LABELS[status]}: {_names(laws)}", width)
    yield from _wrapped(cause, width, "  ")
    return
  for verdict in laws:
    yield from _wrapped(f"{LABELS[status]}: {verdict.law}", width)
    yield from _wrapped(verdict.case, width, "  ")
  yield from _wrapped(f"Usual cause: {cause}.", width, "  ")


def summary(found: Sequence[Verdict]) -> str:
  """Return one line such as "27 laws hold, 1 law is broken (…), 2 are not applicable."."""
  holding = sum(verdict.status == "holds" for verdict in found)
  failed = [verdict for verdict in found if verdict.failed]
  excluded = len(found) - holding - len(failed)
  names = f" ({_names(failed[:LISTED])}"
  names += f"; and {len(failed) - LISTED} more)" if len(failed) > LISTED else ")"
  return (
    f"{holding} {'law holds' if holding == 1 else 'laws hold'}, "
    f"{len(failed)} {'law is' if len(failed) == 1 else 'laws are'} broken"
    f"{names if failed else ''}, {excluded} not applicable."
  )


def _names(laws: Iterable[Verdict]) -> str:
  return "; ".join(verdict.law for verdict in laws)


def _grouped[Key](pairs: Iterable[tuple[Key, Verdict]]) -> list[tuple[Key, list[Verdict]]]:
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
