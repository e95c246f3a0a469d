"""All laws, in the order in which broken ones are best fixed."""

from collections.abc import Callable, Iterator
from functools import partial

from attention_lab.conformance import (
  bidirectional,
  causality,
  claims,
  cost,
  cross_attention,
  decoding,
  distances,
  documents,
  gradients,
  numerics,
  padding,
  precision,
  prefix,
  rows,
)
from attention_lab.conformance.law import Law, Verdict, judge
from attention_lab.conformance.subject import Subject

LAWS = (
  causality.no_gradient_from_future,
  causality.no_dependence_on_future,
  causality.past_is_read,
  bidirectional.both_sides_are_read,
  padding.padding_content_is_not_read,
  padding.padding_is_ignored,
  padding.masked_rows_are_finite,
  rows.sequences_are_independent,
  rows.batch_sizes_agree,
  rows.aligned_equals_unaligned,
  rows.ragged_rows_equal_single_rows,
  documents.documents_are_separate,
  prefix.prefix_is_honoured,
  cross_attention.context_is_read,
  decoding.decoding_equals_full_pass,
  cross_attention.recall_equals_cross_attention,
  decoding.state_keeps_shape_and_dtype,
  decoding.state_has_claimed_size,
  claims.odd_sizes_work,
  claims.longer_sequences_work,
  claims.grouped_heads_work,
  numerics.compiled_equals_eager,
  numerics.recording_changes_nothing,
  numerics.mapped_equals_single,
  numerics.outputs_are_deterministic,
  gradients.gradient_is_correct,
  gradients.gradients_are_finite,
  precision.bfloat16_is_accurate,
  precision.large_inputs_are_finite,
  numerics.initial_scale_is_reasonable,
  claims.options_have_an_effect,
  claims.schemes_have_an_effect,
  distances.shifted_positions_change_nothing,
  cost.cost_grows_linearly,
)


def verdicts(
  subject: Subject, tell: Callable[[Law, str], None] = lambda law, case: None
) -> Iterator[Verdict]:
  """Yield the verdict on each law in turn.

  Args:
    subject: the attention.
    tell: called with a law and the label of the case that is tested next.
  """
  for law in LAWS:
    tell(law, "")
    yield judge(law, subject, partial(tell, law))
