"""All laws, in the order in which broken ones are best fixed."""

from collections.abc import Iterator

from attention_lab.conformance import (
  causality,
  claims,
  cross_attention,
  decoding,
  numerics,
  padding,
)
from attention_lab.conformance.law import Verdict, judge
from attention_lab.conformance.subject import Subject

LAWS = (
  causality.no_gradient_from_future,
  causality.no_dependence_on_future,
  causality.past_is_read,
  padding.padding_content_is_not_read,
  padding.padding_is_ignored,
  padding.masked_rows_are_finite,
  causality.sequences_are_independent,
  cross_attention.context_is_read,
  decoding.decoding_equals_full_pass,
  cross_attention.recall_equals_cross_attention,
  decoding.state_keeps_shape_and_dtype,
  decoding.state_has_claimed_size,
  claims.odd_sizes_work,
  claims.longer_sequences_work,
  numerics.compiled_equals_eager,
  numerics.mapped_equals_single,
  numerics.outputs_are_deterministic,
  numerics.gradient_is_correct,
  numerics.bfloat16_is_accurate,
  numerics.large_inputs_are_finite,
  numerics.initial_scale_is_reasonable,
  claims.options_have_an_effect,
  claims.schemes_have_an_effect,
  claims.cost_grows_linearly,
)


def verdicts(subject: Subject) -> Iterator[Verdict]:
  """Yield the verdict on each law in turn."""
  for law in LAWS:
    yield judge(law, subject)
