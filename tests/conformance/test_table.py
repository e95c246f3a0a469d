"""Table of verdicts: a line per law, then reasons and notes, and the failures last."""

from attention_lab.conformance import table
from attention_lab.conformance.law import Verdict

LONG = "T=144, aligned, large random parameters, outputs before 72 by input 72"
HOLDS = Verdict("padding is ignored", "holds", 0.0256, "T=6: 0.1 (at most 4)", "")
BROKEN = Verdict("no gradient", "broken", 74_000.0, LONG, "the mask is off by one")
SAME_CAUSE = Verdict("no dependence", "broken", None, "T=6", "the mask is off by one")
RAISES = Verdict("rows", "raises", None, "mine.py, line 3: E", "x", ("raised at T=6",))
ALSO_RAISES = Verdict("decoding", "raises", None, "mine.py, line 3: E", "y")
REFUSED = Verdict("odd sizes", "refused", None, "T=1: too short", "nothing is proved")
EXCLUDED = Verdict("recall", "not applicable", None, "it is not cross", "")
ALSO_EXCLUDED = Verdict("context", "not applicable", None, "it is not cross", "")
NOTED = HOLDS._replace(law="options", notes=("option mode was not tried",))
EVERY = (
  *(BROKEN, HOLDS, RAISES, EXCLUDED, SAME_CAUSE, NOTED, REFUSED, ALSO_RAISES),
  ALSO_EXCLUDED,
)


def details(*verdicts, width=80):
  return list(table.details(verdicts, width))


def test_row_has_status_ratio_and_law():
  assert table.HEAD == "status          error/limit  law"
  assert [table.row(verdict) for verdict in (HOLDS, BROKEN, SAME_CAUSE, RAISES)] == [
    "holds                 0.026  padding is ignored",
    "BROKEN              7.4e+04  no gradient",
    "BROKEN                       no dependence",
    "RAISES                       rows",
  ]
  assert table.row(EXCLUDED) == "not applicable               recall"
  assert table.row(REFUSED) == "REFUSED                      odd sizes"


def test_laws_that_hold_need_no_details():
  assert details(HOLDS) == []


def test_details_group_reasons_and_causes_and_end_with_failures():
  assert details(*EVERY) == [
    "",
    "Not applicable (it is not cross): recall; context.",
    "Note (options): option mode was not tried.",
    "",
    "BROKEN: no gradient",
    f"  {LONG}",
    "BROKEN: no dependence",
    "  T=6",
    "  Usual cause: the mask is off by one.",
    "",
    "RAISES: mine.py, line 3: E",
    "  in: rows (raised at T=6)",
    "  in: decoding",
    "",
    "REFUSED: T=1: too short",
    "  in: odd sizes",
  ]


def test_note_of_a_failure_stays_with_it():
  lines = details(BROKEN._replace(notes=("remark",)))
  assert lines[-2:] == ["  Note: remark.", "  Usual cause: the mask is off by one."]


def test_long_lines_are_wrapped_between_words_with_a_hanging_indent():
  lines = details(BROKEN, width=30)
  assert max(map(len, lines)) <= 30
  assert lines[2:] == [
    "  T=144, aligned, large random",
    "    parameters, outputs before",
    "    72 by input 72",
    "  Usual cause: the mask is off",
    "    by one.",
  ]


def test_summary_counts_and_names_the_failures():
  assert table.summary([HOLDS]) == "1 law holds, 0 laws are broken, 0 not applicable."
  assert table.summary([HOLDS, NOTED, BROKEN, EXCLUDED]) == (
    "2 laws hold, 1 law is broken (no gradient), 1 not applicable."
  )
  assert table.summary(EVERY) == (
    "2 laws hold, 5 laws are broken (no gradient; rows; no dependence; and 2 more), "
    "2 not applicable."
  )
