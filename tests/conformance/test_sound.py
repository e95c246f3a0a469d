"""Sound attentions of an unusual form obey every law."""

import pytest

from attention_lab.conformance.subject import Subject
from tests.conformance.sound import SOUND
from tests.conformance.test_builtin import failures

# A law refuses these wrongly.
REFUSED = ("RectifiesScores",)
EVERY = [
  pytest.param(cls, marks=[pytest.mark.xfail(strict=True)] * (cls.__name__ in REFUSED))
  for cls in SOUND
]


@pytest.mark.conformance_full
@pytest.mark.parametrize("attention", EVERY, ids=lambda cls: cls.__name__)
def test_sound_attention_obeys_every_law(attention):
  assert not failures(Subject("sound", attention=attention))
