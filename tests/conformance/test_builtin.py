"""All built-in attentions obey every law, in both depths."""

import pytest

from attention_lab.attention.base.attention import attentions
from attention_lab.conformance import decoding
from attention_lab.conformance.check import verdicts
from attention_lab.conformance.law import judge
from attention_lab.conformance.subject import Subject

WITH_OPTIONS = ("standard(num_kv_heads=1, bias=True)", "selective(num_kv_heads=2)")


def failures(subject):
  """Return a line for each law that is not obeyed."""
  failed = [verdict for verdict in verdicts(subject) if verdict.failed]
  return "\n".join(f"{v.law} {v.status}: {v.case}" for v in failed)


@pytest.mark.parametrize("spec", attentions)
def test_attention_obeys_every_law(spec):
  assert not failures(Subject(spec, depth="quick"))


@pytest.mark.conformance_full
@pytest.mark.parametrize("spec", attentions)
def test_attention_obeys_every_law_in_full_depth(spec):
  assert not failures(Subject(spec))


@pytest.mark.parametrize("spec", WITH_OPTIONS)
def test_grouped_heads_and_biases_decode_as_in_training(spec):
  subject = Subject(spec, depth="quick")
  assert judge(decoding.decoding_equals_full_pass, subject).status == "holds"
