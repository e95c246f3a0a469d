"""Estimates, differences, verdicts, sentences and sweeps of a comparison."""

import math

import pytest

from attention_lab.compare.analysis import planning, statistics
from attention_lab.compare.analysis.differences import Difference
from attention_lab.compare.analysis.measures import METRICS
from attention_lab.compare.analysis.planning import Needed
from attention_lab.compare.analysis.record import Row, Run
from attention_lab.compare.analysis.sentences import comparison_text, sentence
from attention_lab.compare.analysis.sweeps import sweeps
from attention_lab.compare.analysis.table import lines
from tests.compare.report.made_up import comparison, failed, row, run

pytest.importorskip("scipy")

BASE = [1.55, 1.50, 1.70, 1.49, 1.58]
GOOD = [1.45, 1.41, 1.62, 1.39, 1.48]
NEAR = [1.54, 1.52, 1.69, 1.50, 1.56]


def test_estimates_and_differences_agree_with_statistics():
  found = lines(comparison(row("standard", BASE), row("mine", GOOD)))
  mine, base = dict(enumerate(GOOD)), dict(enumerate(BASE))
  estimate = found[1].estimates["loss"]
  interval = statistics.interval(GOOD, scale="log")
  assert (estimate[:3], estimate.by_seed) == (interval, mine)
  pair = statistics.paired(mine, base)
  difference = found[1].differences["loss"]
  assert difference[:4] == (pair.mean, pair.low, pair.high, pair.p)
  assert found[0].differences == {}
  assert found[1].estimates["training_flops"].mean == 100 * 2_000_000


def test_verdicts_use_corrected_p_values():
  """A row that is better on its own is not significant among several rows."""
  edge = [b - d for b, d in zip(BASE, [0.01, 0.05, 0.09, 0.02, 0.04], strict=True)]
  alone = lines(comparison(row("standard", BASE), row("edge", edge)))
  assert 0.01 < alone[1].differences["loss"].p < 0.05
  assert alone[1].differences["loss"].verdict == "better"
  others = [row(f"near {i}", NEAR) for i in range(4)]
  among = lines(comparison(row("standard", BASE), row("edge", edge), *others))
  difference = among[1].differences["loss"]
  assert difference.p_holm == pytest.approx(5 * difference.p)
  assert (difference.verdict, difference.tests) == ("no significant difference", 5)


def test_lower_loss_and_higher_accuracy_are_better():
  def scored(name, accuracies):
    runs = [run(s, BASE[s], accuracy=a) for s, a in enumerate(accuracies)]
    return Row(name, {}, "", runs)

  base = scored("standard", [0.5, 0.51, 0.49])
  found = lines(
    comparison(
      base,
      scored("more", [0.6, 0.62, 0.59]),
      scored("less", [0.4, 0.42, 0.39]),
      row("low", GOOD),
      row("high", [b + 0.1 for b in BASE[:3]]),
    )
  )
  verdicts = {line.name: line.differences for line in found[1:]}
  assert verdicts["more"]["accuracy"].verdict == "better"
  assert verdicts["less"]["accuracy"].verdict == "worse"
  assert verdicts["low"]["loss"].verdict == "better"
  assert verdicts["high"]["loss"].verdict == "worse"


def test_seeds_needed_use_strictest_level_of_holm():
  rows = [row("standard", BASE), row("near", NEAR), row("mine", GOOD)]
  difference = lines(comparison(*rows))[1].differences["loss"]
  pair = statistics.paired(dict(enumerate(NEAR)), dict(enumerate(BASE)))
  assert difference.needed == planning.needed(pair, 0.8, 0.05 / 2)
  assert difference.needed.seeds > 5


def test_failed_run_is_counted_and_not_compared():
  mine = row("mine", GOOD[:3])
  mine = mine._replace(runs=[failed(4, "No memory"), *mine.runs, failed(3)])
  found = lines(comparison(row("standard", BASE), mine))[1]
  assert found.seeds == (0, 1, 2)
  assert found.failed == [(4, "No memory", False), (3, "Out of memory", False)]
  assert found.differences["loss"].seeds == 3
  assert "over 3 of 5 seeds" in sentence(found, 5)


def test_row_without_finished_run_has_no_estimates():
  waiting = Row("waiting", {}, "", [Run(0, None, "not run"), Run(1, None, "not run")])
  broken = Row("broken", {}, "", [failed(0), failed(1)])
  found = lines(comparison(row("standard", BASE), waiting, broken))
  assert [line.estimates for line in found[1:]] == [{}, {}]
  assert sentence(found[1], 5) == "no run has finished"
  assert sentence(found[2], 5) == "no run has finished; 2 failed"
  assert found[1].not_run == [0, 1]


@pytest.mark.parametrize("check", ["skipped", "failed", None])
def test_run_without_passed_leak_check_gets_no_loss(check):
  runs = [run(seed, 0.01, leak_check=check, above_best=-1.0) for seed in range(5)]
  found = lines(comparison(row("standard", BASE), Row("leaky", {}, "", runs)))[1]
  assert not {"loss", "accuracy", "above_best"} & found.estimates.keys()
  assert "parameters" in found.estimates
  assert (found.differences, found.unchecked) == ({}, [0, 1, 2, 3, 4])
  assert sentence(found, 5) == (
    "no loss is reported, because the leak check was not passed"
  )


@pytest.mark.parametrize("check", ["not asked", "not applicable"])
def test_model_that_attends_to_all_tokens_needs_no_leak_check(check):
  runs = [run(seed, loss, leak_check=check) for seed, loss in enumerate(GOOD)]
  found = lines(comparison(row("standard", BASE), Row("encoder", {}, "", runs)))[1]
  assert found.differences["loss"].verdict == "better"


def test_rows_are_compared_with_the_first_row_on_their_dataset():
  found = lines(
    comparison(
      row("standard, one", BASE),
      row("standard, two", [loss - 1 for loss in BASE], dataset="two"),
      row("mine, one", GOOD, attention="mine"),
      row("mine, two", [loss - 1 for loss in GOOD], attention="mine", dataset="two"),
    )
  )
  assert [line.baseline for line in found] == ["", "", "standard, one", "standard, two"]
  assert found[3].differences["loss"].mean == pytest.approx(-0.094)


THREE, MANY = Needed(3, 3, 3), Needed(1234, 40, None)
NEVER = Needed(None, 900, None)
RATE = "train.learning_rate"


def test_rows_of_a_grid_are_compared_at_the_same_other_settings():
  """At 0.03 both are better than at 0.001; linear is worse than standard at each."""
  high, low = [loss - 0.5 for loss in BASE], [loss - 0.4 for loss in BASE]
  found = lines(
    comparison(
      row("standard, learning rate 0.001", BASE),
      row("standard, learning rate 0.03", high, **{RATE: 0.03}),
      row("linear, learning rate 0.001", [b + 0.1 for b in BASE], attention="linear"),
      row("linear, learning rate 0.03", low, attention="linear", **{RATE: 0.03}),
      baseline={"attention": "standard", RATE: 0.001},
    )
  )
  assert [line.baseline for line in found] == [
    "",
    "",
    "standard, learning rate 0.001",
    "standard, learning rate 0.03",
  ]
  assert [line.differences["loss"].verdict for line in found[2:]] == ["worse"] * 2
  assert sentence(found[1], 5) == "the baseline"


def test_the_comparison_may_be_about_another_setting():
  found = lines(
    comparison(
      row("standard, none", BASE),
      row("standard, rope", GOOD, position="rope"),
      row("linear, none", BASE, attention="linear"),
      row("linear, rope", GOOD, attention="linear", position="rope"),
      baseline={"attention": "standard", "position": "none"},
      about="position",
    )
  )
  names = [line.baseline for line in found]
  assert names == ["", "standard, none", "", "linear, none"]


def tokenized(name, losses, bytes_per_token, dataset, against=()):
  """Return a row on a text with bits per byte."""
  runs = [
    run(seed, loss, bits_per_byte=loss / math.log(2) / bytes_per_token)
    for seed, loss in enumerate(losses)
  ]
  return Row(name, {"dataset": dataset}, "", runs, against=against)


def test_tokenizers_are_compared_by_bits_per_byte_and_not_by_loss():
  """The loss per subword is higher, that per byte lower."""
  characters = tokenized("characters", BASE, 1.0, "text(path='a')")
  losses = [3 * loss for loss in BASE]
  given = ("bpe", losses, 4.0, "text(path='a', tokenizer='bpe')")
  found = lines(comparison(characters, tokenized(*given, against=("characters",))))
  assert [line.primary for line in found] == ["bits_per_byte"] * 2
  assert set(found[1].differences) == {"bits_per_byte"}
  assert found[1].differences["bits_per_byte"].verdict == "better"
  assert "bits per byte lower by 0.5641" in sentence(found[1], 5)
  alone = lines(comparison(characters, tokenized(*given)))
  assert [line.primary for line in alone] == ["loss"] * 2
  assert alone[1].differences == {}


def test_rows_on_one_text_are_compared_by_loss():
  pair = [
    tokenized(name, losses, 4.0, "text(path='a')", against)
    for name, losses, against in (("one", BASE, ()), ("two", GOOD, ("one",)))
  ]
  found = lines(comparison(*pair))
  assert [line.primary for line in found] == ["loss"] * 2
  assert set(found[1].differences) == {"loss", "accuracy"}


WIDE = {"model.d_ff": 320}
OF_WIDE = {"attention": "standard", "position": "rope", "model.d_ff": 256}


def named(against=()):
  """Return a comparison with an equal-size control and a row that nothing controls."""
  mine = row("mine", GOOD, attention="mine")._replace(against=against)
  return comparison(
    row("standard", BASE),
    row("control", NEAR, **WIDE),
    mine,
    row("other, none", NEAR, attention="other", position="none"),
    baseline=OF_WIDE,
  )


def test_a_row_without_a_baseline_is_not_compared_and_says_so():
  found = lines(named())
  assert [line.baseline for line in found] == ["", "", "standard", ""]
  assert [line.unpaired for line in found] == ["", "attention", "", "attention"]
  answer = "not compared: no earlier row differs from it in attention alone"
  assert [sentence(line, 5) for line in (found[0], found[3])] == [
    "the baseline",
    answer,
  ]


def test_a_row_is_compared_with_each_row_that_it_names():
  """Their tests are corrected together; the first is the row's baseline."""
  found = lines(named(against=("control", "standard")))
  mine = found[2]
  assert (mine.baseline, [*mine.comparisons]) == ("control", ["control", "standard"])
  differences = mine.differences_in("loss")
  for other, losses in (("control", NEAR), ("standard", BASE)):
    pair = statistics.paired(dict(enumerate(GOOD)), dict(enumerate(losses)))
    assert differences[other].mean == pair.mean
    assert differences[other].tests == 2
  first, second = sentence(mine, 5).split("; ")
  assert first.startswith("better than control: validation loss lower by 0.0")
  assert second.startswith("better than standard: validation loss lower by 0.0")
  assert found[1].unpaired == ""  # It is a baseline.


def test_rows_on_other_data_are_not_compared():
  found = lines(
    comparison(
      row("copy", BASE),
      row("sort", GOOD, dataset="sort"),
      baseline={"dataset": "copy"},
      about="dataset",
    )
  )
  answer = "not compared: no earlier row has the same data"
  assert [sentence(line, 5) for line in found] == ["the baseline", answer]


def test_the_first_row_is_the_baseline_even_if_all_name_others():
  rows = named(against=("control",)).rows[:3]
  found = lines(comparison(*rows, baseline=OF_WIDE))
  assert [sentence(line, 5) for line in found[:2]] == ["the baseline"] * 2


def matched(origin, losses, **settings):
  name = f"{origin.name}, d_ff 213"
  made = row(name, losses, **origin.settings, **settings)
  return made._replace(matched="d_ff 213 instead of 256", made_from=origin.name)


def test_matched_row_is_compared_with_the_baseline_of_its_origin():
  """Its sizes do not count, and it forms a family of its own."""
  high = {RATE: 0.03}
  mine, fast = (
    row(n, NEAR, attention="mine", **s) for n, s in (("a", {}), ("b", high))
  )
  rows = [
    row("standard", BASE),
    row("standard, fast", GOOD, **high),
    mine,
    fast,
    *(matched(origin, NEAR, **{"model.d_ff": 213}) for origin in (mine, fast)),
  ]
  base = {"attention": "standard", RATE: 0.001, "model.d_ff": 256}
  found = lines(comparison(*rows, baseline=base))
  assert [line.baseline for line in found] == [
    "",
    "",
    *["standard", "standard, fast"] * 2,
  ]
  assert [line.differences["loss"].tests for line in found[2:]] == [2] * 4


def test_intervals_stay_within_the_bounds_of_the_quantity():
  """A t interval of these accuracies would reach from -17 % to 123 %."""
  runs = [
    run(s, loss, accuracy=a) for s, (loss, a) in enumerate([(0.01, 0.1), (2.0, 0.95)])
  ]
  found = lines(comparison(Row("standard", {}, "", runs), seeds=2))[0].estimates
  accuracy, loss = found["accuracy"], found["loss"]
  assert 0 <= accuracy.low < accuracy.mean < accuracy.high <= 1
  assert 0 <= loss.low < loss.mean < loss.high
  assert found["seconds"].low is None  # Wall time is no measurement.


def test_difference_of_fractions_is_at_most_one():
  def scored(name, accuracies):
    runs = [run(s, 1.0, accuracy=a) for s, a in enumerate(accuracies)]
    return Row(name, {}, "", runs)

  pair = comparison(scored("standard", [0.1, 0.9]), scored("mine", [0.9, 0.2]), seeds=2)
  difference = lines(pair)[1].differences["accuracy"]
  assert (difference.low, difference.high) == (-1, 1)


def test_equal_rows_are_called_equal_within_the_margin():
  near = [loss + d for loss, d in zip(BASE, (1e-3, -1e-3, 5e-4, -5e-4, 0), strict=True)]
  rows = row("standard", BASE), row("near", near)
  difference = lines(comparison(*rows))[1].differences["loss"]
  sd = statistics.spread(BASE, near)
  assert difference.verdict == "equal within the margin"
  assert difference.margin == pytest.approx(sd / 2)
  assert difference.p_equal == statistics.equal_within(
    statistics.paired(dict(enumerate(near)), dict(enumerate(BASE))), sd / 2
  )
  tight = lines(comparison(*rows, margin="1e-9"))[1].differences["loss"]
  assert tight.verdict == "no significant difference"


def test_significant_difference_below_the_margin_is_not_called_better():
  mine = [
    loss - 0.01 + d for loss, d in zip(BASE, (1e-4, -1e-4, 0, 2e-4, 0), strict=True)
  ]
  rows = row("standard", BASE), row("mine", mine)
  found = lines(comparison(*rows))[1].differences["loss"]
  assert (found.p_holm < 1e-4, found.verdict) == (True, "smaller than the margin")
  exact = lines(comparison(*rows, margin="0.005"))[1].differences["loss"]
  assert exact.verdict == "better"


def test_later_looks_are_corrected():
  rows = row("standard", BASE), row("mine", GOOD)
  once, twice = (
    lines(comparison(*rows, looks=looks))[1].differences["loss"]
    for looks in ((5,), (3, 5))
  )
  assert once.p_holm == once.p
  assert twice.p_holm == pytest.approx(6 * twice.p)


def answering(name, accuracies, **settings):
  """Return a row on a task whose answers count; always one answer is right in 25 %."""
  guess = {"accuracy": 0.25, "loss": 1.386}
  runs = [
    run(s, 1.0 - a, accuracy=a, primary="accuracy", guess=guess)
    for s, a in enumerate(accuracies)
  ]
  return Row(name, settings, "", runs)


def test_sentence_is_about_the_metric_of_the_dataset():
  found = lines(
    comparison(
      answering("standard", [0.5, 0.51, 0.49, 0.52, 0.5]),
      answering("mine", [0.9, 0.93, 0.91, 0.9, 0.92], attention="mine"),
      answering("bad", [0.24, 0.26, 0.25, 0.25, 0.24], attention="bad"),
    )
  )
  assert sentence(found[1], 5).startswith(
    "better than standard: top-1 accuracy higher by 40.80 percentage points"
  )
  assert sentence(found[2], 5).endswith(
    "it has not learnt the task: top-1 accuracy 24.80 %, where the best constant answer "
    "has 25.00 %"
  )
  assert "learnt" not in sentence(found[0], 5)


def test_diverged_seeds_are_counted():
  curve = [{"step": 7, "split": "event", "event": "not_finite"}]
  mine = row("mine", GOOD[:4])
  mine = mine._replace(
    runs=[*mine.runs, failed(4, "At step 7 …")._replace(curve=curve)]
  )
  found = lines(comparison(row("standard", BASE), mine))[1]
  assert found.diverged == 1
  assert sentence(found, 5).endswith("; 1 of 5 seeds diverged")


SENTENCES = [
  (
    Difference(
      *(0.001, -0.02, 0.03, 0.8, 0.8, "equal within the margin", 5, NEVER, 1),
      margin=0.05,
      p_equal=0.002,
    ),
    "equal to standard within 0.0500 nats of validation loss over 5 seeds (p = 0.002 for "
    "a larger difference)",
  ),
  (
    Difference(
      *(-0.01, -0.02, -0.002, 0.01, 0.01, "smaller than the margin", 5, THREE, 1),
      margin=0.05,
    ),
    "no difference from standard that matters: validation loss lower by 0.0100 nats "
    "[0.0020, 0.0200] over 5 seeds (p = 0.01), less than the margin of 0.0500 nats",
  ),
  (
    Difference(-0.031, -0.042, -0.020, 0.0007, 0.0021, "better", 5, THREE, 3),
    "better than standard: validation loss lower by 0.0310 nats [0.0200, 0.0420] over 5 "
    "seeds (p = 0.0021 after Holm's correction for 3 tests)",
  ),
  (
    Difference(0.031, 0.020, 0.042, 1e-6, 1e-6, "worse", 4, THREE, 1),
    "worse than standard: validation loss higher by 0.0310 nats [0.0200, 0.0420] over 4 "
    "of 5 seeds (p < 0.0001)",
  ),
  (
    Difference(-0.01, -0.04, 0.02, 0.4, 0.8, "no significant difference", 5, MANY, 2),
    "no significant difference from standard over 5 seeds (p = 0.8 after Holm's "
    "correction for 2 tests); about 1,200 seeds (between 40 and more than 10,000) are "
    "needed to detect a difference of this size",
  ),
  (
    Difference(1e-9, -0.04, 0.04, 1.0, 1.0, "no significant difference", 5, NEVER, 1),
    "no significant difference from standard over 5 seeds (p = 1); 10,000 seeds would be "
    "too few to detect a difference of this size",
  ),
  (
    Difference(0.0, 0.0, 0.0, 1.0, 1.0, "no significant difference", 5, NEVER, 1),
    "validation loss equal to that of standard for every seed (5 seeds)",
  ),
  (
    Difference(-0.5, -0.5, -0.5, 0.0, 0.0, "better", 5, THREE, 3),
    "better than standard: validation loss lower by 0.5000 nats [0.5000, 0.5000] over 5 "
    "seeds (p = 0: the difference is equal for every seed)",
  ),
  (
    Difference(-0.03, None, None, None, None, "one seed", 1, None, 0),
    "validation loss lower than standard by 0.0300 nats with 1 of 5 seeds; a "
    "significance test needs at least 2",
  ),
]


@pytest.mark.parametrize(("difference", "expected"), SENTENCES)
def test_difference_is_described_in_words(difference, expected):
  loss = METRICS["loss"]
  assert comparison_text(difference, loss, "standard", requested=5) == expected


def test_one_requested_seed_is_answered_with_advice():
  found = lines(comparison(row("standard", [1.5]), row("mine", [1.4]), seeds=1))[1]
  assert found.differences["loss"].verdict == "one seed"
  assert sentence(found, 1) == (
    "validation loss lower than standard by 0.1000 nats with 1 seed; a significance test "
    "needs at least 2 (use --seeds=5)"
  )


def test_sweep_has_a_curve_for_each_attention():
  broken = Row("mine, 0.01", {"attention": "mine", RATE: 0.01}, "", [failed(0)])
  found = sweeps(
    comparison(
      row("standard", BASE),
      row("standard, 3e-4", NEAR, **{RATE: 3e-4}),
      row("mine", GOOD, attention="mine"),
      broken,
      row("other", GOOD, attention="other"),
      baseline={"attention": "standard", RATE: 1e-3},
    )
  )
  (sweep,) = found
  assert sweep.setting == RATE
  points = {curve.name: list(curve.points) for curve in sweep.curves}
  assert points == {"standard": [3e-4, 1e-3], "mine": [1e-3, 0.01]}
  assert sweep.curves[0].points[3e-4].mean == pytest.approx(sum(NEAR) / 5)
  assert sweep.curves[1].points[0.01] is None


def test_setting_changed_only_by_matching_is_no_sweep():
  """Two matched rows with different values do not form a sweep either."""
  runs = row("", GOOD).runs
  matched = [
    Row(f"m {d_ff}", {"attention": "mine", "d_ff": d_ff}, f"d_ff {d_ff}", runs)
    for d_ff in (213, 230)
  ]
  rows = row("standard", BASE), row("mine", GOOD, attention="mine"), *matched
  assert (
    sweeps(comparison(*rows, baseline={"attention": "standard", "d_ff": 256})) == []
  )


def test_matched_rows_have_separate_curves():
  def cells(rate):
    settings = {"attention": "mine", RATE: rate}
    runs = row("", GOOD).runs
    return [
      Row(f"mine {rate}", settings, "", runs),
      Row(f"matched {rate}", settings | {"d_ff": 213}, "d_ff 213", runs),
    ]

  rows = [row("standard", BASE), *cells(1e-3), *cells(1e-4)]
  base = {"attention": "standard", "d_ff": 256, RATE: 1e-3}
  (sweep,) = sweeps(comparison(*rows, baseline=base))
  assert [curve.name for curve in sweep.curves] == ["mine", "mine, d_ff 213, matched"]


def test_measured_costs_are_values_of_the_row():
  cost = {
    "step_seconds": 0.02,
    "tokens_per_second": 25_600.0,
    "state_bytes": {"1024": 4096, "16384": 65_536},
  }
  rows = row("standard", BASE), row("mine", GOOD)
  found = lines(comparison(*rows, row_costs={"mine": cost}))
  assert "step_seconds" not in found[0].estimates
  estimates = found[1].estimates
  assert estimates["step_seconds"][:3] == (0.02, None, None)
  assert estimates["state_bytes_16384"].mean == 65_536
  assert "decode_seconds" not in estimates
  assert "tokens_per_second" not in found[0].estimates  # Of a run, by the wall clock.
