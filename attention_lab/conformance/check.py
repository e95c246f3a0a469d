"""Tries every law on an attention, in the order in which a beginner should mend them."""

from collections.abc import Iterator

from attention_lab.conformance import claims, decoding, numerics, seeing
from attention_lab.conformance.law import Verdict, judge
from attention_lab.conformance.subject import Subject

LAWS = (
  seeing.future_by_gradient,
  seeing.future_by_suffix,
  seeing.past_is_read,
  seeing.padding_is_not_read,
  seeing.padding_counts_for_nothing,
  seeing.nobody_is_finite,
  seeing.rows_are_independent,
  seeing.reads_across,
  decoding.decoding_is_the_full_pass,
  decoding.recall_is_the_full_pass,
  decoding.state_keeps_its_form,
  decoding.state_has_its_size,
  claims.odd_sizes_work,
  claims.longer_works,
  numerics.jit_is_eager,
  numerics.maps_change_nothing,
  numerics.is_deterministic,
  numerics.gradient_is_right,
  numerics.bfloat16_errs_little,
  numerics.large_is_finite,
  numerics.starts_in_range,
  claims.options_do_something,
  claims.schemes_do_something,
  claims.grows_linearly,
)


def verdicts(subject: Subject) -> Iterator[Verdict]:
  """What becomes of every law, one after the other."""
  for law in LAWS:
    yield judge(law, subject)
