"""All built-in attentions obey every law, in both depths.

Without the marker conformance_full, an attention is tested in quick depth, by the laws that
guard against wrong results; those in `COSTLY`, which take as long as all others together,
test attentions of different kinds only: softmax, recurrent, and bidirectional.
"""

import pytest

from attention_lab.attention.base.attention import attentions
from attention_lab.conformance import claims, cost, decoding, numerics, precision
from attention_lab.conformance.causality import no_gradient_from_future
from attention_lab.conformance.check import LAWS
from attention_lab.conformance.gradients import gradient_is_correct
from attention_lab.conformance.law import judge
from attention_lab.conformance.subject import Subject

WITH_OPTIONS = ("standard(num_kv_heads=1, bias=True)", "selective(num_kv_heads=2)")

# Laws about speed, claims and rounding, one about leaks that another one finds as well, and
# one about gradients, which tests against formulas compare, too.
COSTLY = (
  no_gradient_from_future,
  gradient_is_correct,
  claims.options_have_an_effect,
  claims.odd_sizes_work,
  claims.grouped_heads_work,
  claims.schemes_have_an_effect,
  precision.bfloat16_is_accurate,
  numerics.initial_scale_is_reasonable,
  numerics.mapped_equals_single,
  decoding.state_keeps_shape_and_dtype,
  cost.cost_grows_linearly,
)
THOROUGH = ("standard", "gated_linear", "linformer")


def failures(subject, laws=LAWS):
  """Return a line for each law that is not obeyed."""
  found = [judge(law, subject) for law in laws]
  failed = [verdict for verdict in found if verdict.failed]
  return "\n".join(f"{v.law} {v.status}: {v.case}" for v in failed)


@pytest.mark.parametrize("spec", attentions)
def test_attention_obeys_the_laws(spec):
  laws = [law for law in LAWS if law not in COSTLY or spec in THOROUGH]
  assert len(laws) >= len(LAWS) - len(COSTLY)
  assert not failures(Subject(spec, depth="quick"), laws)


@pytest.mark.conformance_full
@pytest.mark.parametrize("spec", attentions)
def test_attention_obeys_every_law_in_full_depth(spec):
  assert not failures(Subject(spec))


@pytest.mark.parametrize("spec", WITH_OPTIONS)
def test_grouped_heads_and_biases_decode_as_in_training(spec):
  subject = Subject(spec, depth="quick")
  assert judge(decoding.decoding_equals_full_pass, subject).status == "holds"
