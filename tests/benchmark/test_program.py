"""What is timed is right, and what is wrong is not timed."""

import dataclasses
from functools import partial

import jax.numpy as jnp
import pytest

from attention_lab.attention.base.attention import attentions
from attention_lab.attention.standard import Standard
from attention_lab.benchmark import program
from attention_lab.benchmark.program import Bench, fits
from attention_lab.benchmark.timing import interleaved
from attention_lab.errors import UserError
from tests.parts import make_attention


class WrongAlone(Standard):
  """Right wherever the formula is plain, wrong in the whole sequence."""

  def attend(self, q, k, v, mask):
    y = super().attend(q, k, v, mask)
    return y * 1.1 if mask.aligned else y


class WrongDecoding(Standard):
  """Right except one token at a time."""

  def attend(self, q, k, v, mask):
    y = super().attend(q, k, v, mask)
    return y * 1.1 if q.shape[1] == 1 else y


def measured(spec, position="rope", length=20):
  def build(kernel):
    attention = make_attention(spec, position)
    attention.kernel = kernel
    return attention

  return Bench(build, "auto", 2, length, jnp.float32)


@pytest.mark.parametrize(
  ("spec", "position"),
  [("standard", "alibi"), ("selective", "rope"), ("linear", "rope"), ("based", "none")],
)
def test_what_is_right_is_measured(spec, position):
  case = measured(spec, position)
  case.refuse_wrong(spec)
  programs = case.programs
  assert set(programs) == {"forward", "gradient", "decode"}
  forward, gradient, decode = programs.values()
  assert forward.call().shape == (2, 20, 8)
  assert decode.call().shape == (2, program.DECODED, 8)
  assert (forward.tokens, decode.tokens) == (40, 2 * program.DECODED)
  assert gradient.flops > 2 * forward.flops
  assert gradient.memory > 0


@pytest.mark.parametrize(
  ("broken", "what"), [(WrongAlone, "the plain formula"), (WrongDecoding, "decoding")]
)
def test_what_is_wrong_is_refused(monkeypatch, broken, what):
  part = dataclasses.dataclass(kw_only=True)(broken)
  monkeypatch.setitem(attentions._parts, "broken", part)
  with pytest.raises(
    UserError, match=f"'broken' at length 20 is off by .* from {what}"
  ):
    measured("broken").refuse_wrong("broken")


def test_what_is_larger_than_memory_does_not_fit():
  assert fits(1000)
  assert not fits(10**15)


def test_calls_take_turns():
  order = []
  calls = {name: partial(order.append, name) for name in "ab"}
  timings = interleaved(calls, rounds=3)
  assert set(timings) == {"a", "b"}
  turns = [
    name for name, after in zip(order, [*order[1:], None], strict=True) if name != after
  ]
  assert turns == ["a", "b"] * (1 + 3)  # Warming up, then three rounds.
  assert all(t.low <= t.median <= t.high for t in timings.values())
