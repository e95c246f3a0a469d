"""Results over tasks: normalised scores, by hand, and what is left out."""

import pytest

from attention_lab.compare.analysis.aggregate import aggregate
from attention_lab.compare.analysis.record import Row
from attention_lab.compare.analysis.statistics import Interval
from attention_lab.compare.analysis.table import lines
from attention_lab.compare.report.markdown import report
from attention_lab.compare.report.results import jsonl, table
from attention_lab.compare.report.tasks import explanation, records
from tests.compare.report.made_up import comparison, failed, run

pytest.importorskip("scipy")

GUESS = {"accuracy": 0.2, "loss": 3.0}


def row(name, values, primary="accuracy", more=None, **settings):
  """Return a row with a run for each value of the metric that it is judged by."""
  runs = [
    run(
      *(seed, value if primary == "loss" else 1.0),
      accuracy=value if primary == "accuracy" else 0.5,
      primary=primary,
      guess=GUESS,
      **{key: each(value) for key, each in (more or {}).items()},
    )
    for seed, value in enumerate(values)
  ]
  return Row(name, settings, "", runs)


def on(task, **settings):
  return {"dataset": task} | settings


def example(*more):
  """Return a comparison on two tasks, judged by accuracy and by loss."""
  loss = {"primary": "loss"}
  linear = {"attention": "linear"}
  return comparison(
    row("standard, copy", [0.6, 0.8, 1.0]),
    row("linear, copy", [0.4, 0.6, 0.4], **linear),
    row("standard, text", [1.0, 1.2, 1.4], **loss, **on("text")),
    row("linear, text", [2.0, 2.1, 2.2], **loss, **on("text"), **linear),
    *more,
    seeds=3,
    dataset="copy",
    baseline={"attention": "standard", "dataset": "copy"},
  )


def found(made):
  return aggregate(made, lines(made))


def test_scores_by_hand():
  made = found(example())
  copy, text = made.tasks
  assert (copy.name, copy.chance, copy.best, copy.is_bound) == ("copy", 0.2, 1.0, True)
  assert (text.chance, text.is_bound) == (3.0, False)
  assert text.best == pytest.approx(1.2)  # The lowest mean of a row.
  standard, linear = made.mechanisms
  assert (standard.name, linear.name) == ("standard", "linear")
  # Scores of standard: 0.5 0.75 1 and 2.0 1.8 1.6 over 1.8; of six, one is cut off.
  assert standard.score.mean == pytest.approx((0.75 + 1 + 1 + 1.6 / 1.8) / 4)
  assert standard.by_task == pytest.approx([0.75, 1.0])
  assert linear.by_task == pytest.approx([1 / 3, 0.5])
  assert linear.score.mean == pytest.approx((0.25 + 0.8 / 1.8 + 0.5 + 0.5) / 4)
  assert standard.score.low < standard.score.mean < standard.score.high


def test_improvement_by_hand():
  standard, linear = found(example()).mechanisms
  assert (standard.baseline, standard.improvement) == ("", None)
  assert linear.baseline == "standard"
  # On copy, 0.6 ties with 0.6 once among nine pairs; on text there is none.
  assert linear.improvement.mean == pytest.approx((0.5 / 9 + 0) / 2)


def test_known_lowest_loss_is_the_best():
  above = {"above_best": lambda loss: loss - 0.5}
  rows = [
    row(f"{name}, {task}", [1.0, 1.5], "loss", above, **on(task), attention=name)
    for task in ("one", "two")
    for name in ("standard", "linear")
  ]
  made = found(comparison(*rows, seeds=2))
  assert [(t.best, t.is_bound) for t in made.tasks] == [(0.5, True)] * 2
  assert "taken as exact" not in explanation(made)
  assert "taken as exact" in explanation(found(example()))
  assert made.mechanisms[0].score.mean == pytest.approx((2.0 + 1.5) / 2 / 2.5)


def test_interval_does_not_exceed_the_best_possible():
  rows = [
    row(f"{name}, {task}", [0.7, 1.0], **on(task), attention=name)
    for task in ("one", "two")
    for name in ("standard", "linear")
  ]
  assert found(comparison(*rows, seeds=2)).mechanisms[0].score.high == 1.0


def diverged(seed):
  event = {"step": 7, "split": "event", "event": "not_finite"}
  return failed(seed, "The loss is nan")._replace(curve=[event])


def test_diverged_run_has_the_score_of_chance_and_a_failed_one_none():
  base = example()
  rows = list(base.rows)
  rows[1] = rows[1]._replace(runs=[*rows[1].runs[:2], diverged(2)])
  rows[0] = rows[0]._replace(runs=[*rows[0].runs[:2], failed(2)])
  made = found(base._replace(rows=rows))
  standard, linear = made.mechanisms
  assert linear.by_task[0] == pytest.approx((0.25 + 0.5 + 0) / 3)
  assert (linear.diverged, linear.seeds) == (1, [3, 3])
  assert (standard.diverged, standard.seeds) == (0, [2, 3])
  assert "Diverged runs have the score 0: 1." in explanation(made)
  assert "2 to 3 seeds per mechanism and task" in explanation(made)


def test_order_of_rows_and_runs_does_not_matter():
  base = example()
  rows = [each._replace(runs=each.runs[::-1]) for each in base.rows]
  changed = base._replace(rows=[rows[2], rows[0], rows[3], rows[1]])
  assert found(changed) == found(base)


def test_mechanism_that_misses_a_task_is_left_out_and_said():
  more = row("sparse, copy", [0.9, 0.9, 0.9], attention="sparse")
  made = found(example(more))
  assert [each.name for each in made.mechanisms] == ["standard", "linear"]
  assert made.left_out == ["sparse: no score on text"]
  assert "Not included: sparse: no score on text." in explanation(made)


@pytest.mark.parametrize("others", [0, 2])
def test_row_with_a_run_without_passed_leak_check_has_no_score(others):
  base = example()
  leaky = [run(0, 0.1, accuracy=1.0, leak_check="skipped", guess=GUESS)]
  leaky += base.rows[1].runs[1 : 1 + others]
  rows = [*base.rows[:1], base.rows[1]._replace(runs=leaky), *base.rows[2:]]
  made = found(base._replace(rows=rows))
  assert [each.name for each in made.mechanisms] == ["standard"]
  assert made.left_out == ["linear: no score on copy"]


def test_task_without_a_scale_is_left_out():
  unknown = [
    row(f"{name}, odd", [5.0, 6.0], "loss", **on("odd"), attention=name)
    for name in ("standard", "linear")
  ]
  made = found(example(*unknown))
  assert [task.name for task in made.tasks] == ["copy", "text"]
  assert made.left_out == ["odd: no row is better than the best constant answer"]
  without = [each._replace(runs=[run(0, 1.0)]) for each in unknown]
  assert found(example(*without)).left_out == ["odd: the level of chance is not known"]


def test_one_task_has_no_section():
  made = comparison(row("standard", [0.5]), row("linear", [0.5], attention="linear"))
  assert found(made) is None
  assert "Results over tasks" not in report(made)


def test_settings_of_whole_tasks_do_not_separate_mechanisms():
  rate = {"train.learning_rate": 0.03}
  rows = [*example().rows[:2]]
  rows += [
    each._replace(settings={**each.settings, **rate}) for each in example().rows[2:]
  ]
  base = example()._replace(rows=rows)
  base = base._replace(baseline={**base.baseline, "train.learning_rate": 0.001})
  assert [each.name for each in found(base).mechanisms] == ["standard", "linear"]


def test_matched_rows_of_other_sizes_are_one_mechanism():
  base = example()
  matched = [
    each._replace(
      name=f"{each.name}, d_ff {size}",
      settings={**each.settings, "model.d_ff": size},
      matched="smaller",
      made_from=each.name,
    )
    for each, size in zip(base.rows[1::2], (9, 11), strict=True)
  ]
  made = found(base._replace(rows=[*base.rows, *matched]))
  assert [m.name for m in made.mechanisms] == ["standard", "linear", "linear, matched"]
  assert made.mechanisms[2].baseline == "standard"
  assert made.mechanisms[2].rows["text"] == "linear, text, d_ff 11"


def test_matched_rows_belong_to_the_size_that_they_were_made_from():
  """Matching has changed a size that the rows of the grid differ in, too."""
  made = []
  for task in ("one", "two"):
    for size in (8, 16):
      for name in ("standard", "linear"):
        settings = on(task, attention=name) | {"model.d_ff": size}
        made.append(row(f"{name}, {task}, d_ff {size}", [0.5, 0.6], **settings))
      other = made[-1]
      settings = {**other.settings, "model.d_ff": size + 1 + (task == "two")}
      name = f"linear, {task}, d_ff {settings['model.d_ff']}"
      matched = {"name": name, "matched": "larger", "made_from": other.name}
      made.append(other._replace(settings=settings, **matched))
  pooled = found(comparison(*made, seeds=2))
  assert [each.name for each in pooled.mechanisms] == [
    *("standard, d_ff 8", "linear, d_ff 8", "linear, d_ff 8, matched"),
    *("standard, d_ff 16", "linear, d_ff 16", "linear, d_ff 16, matched"),
  ]
  assert pooled.left_out == []


def test_reports_show_the_results_over_tasks():
  made = example()
  text = report(made)
  assert "## Results over tasks" in text
  assert "| linear | 6 | 0.424 [" in text
  assert "| 0.028 [0." in text
  assert "accuracy from 20.00 % to 100.00 %, the best possible" in text
  assert "loss from 3.0000 nats to 1.2000 nats, the best mean of a row" in text
  _, last = records(made)
  assert last["improvement"]["mean"] == pytest.approx(0.5 / 18)
  assert (last["mechanism"], last["seeds"]) == ("linear", [3, 3])
  assert '{"mechanism": "linear", "tasks": ["copy", "text"]' in jsonl(made)
  assert len(jsonl(made).splitlines()) == 12 + 2
  assert len(table(made).splitlines()) == 1 + 12


def test_one_seed_has_no_interval():
  rows = [each._replace(runs=each.runs[:1]) for each in example().rows]
  (first, _) = found(example()._replace(rows=rows)).mechanisms
  assert first.score == Interval(first.score.mean, None, None)
