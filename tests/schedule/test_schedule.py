"""Schedules have the shapes that their names promise."""

import numpy as np
import pytest

from attention_lab.errors import UserError
from attention_lab.schedule.base.schedule import (
  depends_on_steps,
  make_schedule,
  register_schedule,
  schedules,
)


def test_the_schedules_have_their_shapes():
  assert make_schedule("constant", 2.0, 100)(77) == 2.0
  warm = make_schedule("warmup(warmup_steps=10)", 2.0, 100)
  assert 0 < warm(0) < warm(5) < warm(10) == warm(99) == 2.0
  cosine = make_schedule("cosine(warmup=0.1, final=0.25)", 2.0, 100)
  assert 0 < cosine(0) < cosine(9) < cosine(10) == 2.0
  assert cosine(100) == pytest.approx(0.5)
  assert cosine(55) == pytest.approx((2.0 + 0.5) / 2)


def test_noam_is_the_papers_formula():
  d_model, warmup = 512, 4000
  peak = (d_model * warmup) ** -0.5
  rate = make_schedule("noam", peak, 100_000)
  for step in (1, 100, 4000, 90_000):
    expected = d_model**-0.5 * min(step**-0.5, step * warmup**-1.5)
    assert float(rate(step - 1)) == pytest.approx(expected, rel=1e-5)


def test_which_schedules_depend_on_the_length_of_the_run():
  assert {name for name in schedules if depends_on_steps(name)} == {
    "cosine",
    "warmup_stable_decay",
  }


def test_a_warmup_of_more_than_the_run_is_refused():
  with pytest.raises(UserError, match="share of the steps"):
    make_schedule("cosine(warmup=100)", 1.0, 1000)


COSINE = "cosine(warmup=0.25)"


def test_a_continued_schedule_equals_the_first_one_and_keeps_its_last_rate():
  first = make_schedule(COSINE, 0.1, 20)
  longer = make_schedule(f"continued(of={COSINE!r}, at=20)", 0.1, 40)
  rates = [float(longer(i)) for i in range(40)]
  np.testing.assert_allclose(rates[:20], [float(first(i)) for i in range(20)])
  np.testing.assert_allclose(rates[20:], 0.1 * 0.1, rtol=1e-6)


def test_a_continued_schedule_may_decay_again():
  spec = f"continued(of={COSINE!r}, at=20, then='cosine(final=0)', rate=0.5)"
  longer = make_schedule(spec, 0.1, 40)
  decay = make_schedule("cosine(final=0)", 0.05, 20)
  rates = [float(longer(i)) for i in range(20, 40)]
  np.testing.assert_allclose(rates, [float(decay(i)) for i in range(20)])


def test_only_what_follows_makes_a_continued_schedule_depend_on_the_steps():
  assert not depends_on_steps(f"continued(of={COSINE!r}, at=20)")
  assert depends_on_steps(f"continued(of={COSINE!r}, at=20, then='cosine')")


def test_a_rate_is_stable_until_it_decays():
  rate = make_schedule("warmup_stable_decay(warmup=0.1, decay=0.25)", 2.0, 100)
  assert 0 < rate(0) < rate(9) < rate(10) == rate(74) == rate(75) == 2.0
  t = np.arange(26) / 25
  falling = [float(rate(75 + i)) for i in range(26)]
  np.testing.assert_allclose(falling, 2 * (1 - np.sqrt(t)), atol=1e-6)
  rate = make_schedule("warmup_stable_decay(shape='linear', final=0.1)", 2.0, 100)
  np.testing.assert_allclose(rate(90), 2 * (1 - 0.9 * 0.5), rtol=1e-6)
  assert float(rate(100)) == float(rate(300)) == pytest.approx(0.2)


def test_phases_that_take_more_than_the_run_are_refused():
  with pytest.raises(UserError, match="more than all steps"):
    make_schedule("warmup_stable_decay(warmup=0.6, decay=0.5)", 1.0, 100)


def test_a_plugin_that_returns_no_schedule_is_refused(monkeypatch):
  monkeypatch.setattr(schedules, "_parts", dict(schedules._parts))
  register_schedule("broken")(lambda peak: peak)
  with pytest.raises(UserError, match="'broken' returns a float, not a function"):
    make_schedule("broken", 1.0, 10)


def test_a_schedule_without_a_peak_is_refused():
  with pytest.raises(UserError, match=r"must take peak\. Did you mean 'peek'"):
    register_schedule("broken")(lambda peek: peek)
