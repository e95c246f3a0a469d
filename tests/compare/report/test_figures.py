"""Figures: dots, differences, Pareto plots, heatmaps, and their alternative texts."""

import re

import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("scipy")

from attention_lab.compare.analysis.measures import METRICS
from attention_lab.compare.analysis.record import Row
from attention_lab.compare.analysis.sweeps import grids
from attention_lab.compare.analysis.table import lines
from attention_lab.compare.report.figures import alternative
from attention_lab.compare.report.figures.curves import curves
from attention_lab.compare.report.figures.differences import _series, gaps
from attention_lab.compare.report.figures.heatmaps import heatmaps
from attention_lab.compare.report.figures.pareto import front, pareto
from attention_lab.compare.report.figures.seeds import dots
from attention_lab.compare.report.figures.svg import Series
from tests.compare.report import drawn, made_up


def alt(figure):
  """Return the alternative text of a figure."""
  return re.search(r'aria-label="([^"]*)"', figure.svg)[1]


def of(draw, comparison):
  return draw(comparison, lines(comparison))


def curved(name, losses, accuracies=None, **settings):
  """Return a row with a run per list of losses, one every 10 steps."""
  runs = []
  for seed, of_seed in enumerate(losses):
    found = made_up.run(seed, of_seed[-1])
    curve = [
      {"step": 10 * (i + 1), "split": "validation", "loss": loss}
      for i, loss in enumerate(of_seed)
    ]
    for entry, accuracy in zip(curve, (accuracies or {}).get(seed, ()), strict=False):
      entry["accuracy"] = accuracy
    runs.append(found._replace(curve=curve))
  return Row(name, settings, "", runs)


def test_dots_have_a_mark_for_each_seed():
  (figure,) = of(dots, made_up.comparison(made_up.row("standard", [1.5, 1.6, 1.8])))
  assert figure.svg.count("<use") == 3
  assert alt(figure) == (
    "Validation loss of each seed, mean and interval. "
    "standard: 1.6333 [1.2947, 2.0605]."
  )


def test_datasets_have_figures_of_their_own():
  rows = made_up.row("a", [1.5, 1.6]), made_up.row("b", [1.0, 1.1], dataset="parity")
  found = of(dots, made_up.comparison(*rows, dataset="copy"))
  assert [figure.title for figure in found] == [
    "Validation loss of each seed on copy",
    "Validation loss of each seed on parity",
  ]


def test_rows_are_drawn_by_the_metric_of_their_dataset():
  runs = [made_up.run(seed, 1.5, primary="accuracy") for seed in range(2)]
  (figure,) = of(dots, made_up.comparison(Row("standard", {}, "", runs)))
  assert figure.title.startswith("Top-1 accuracy of each seed")


def test_difference_is_paired_by_seed():
  base = curved("standard", [[2.0, 1.5], [3.0, 2.5]])
  mine = curved("mine", [[1.9, 1.2], [2.9, 2.4], [9.0, 9.0]])
  found = _series(1, mine, base, METRICS["loss"])
  assert list(found.x) == [10, 20]
  assert found.y == pytest.approx([-0.1, -0.2])
  assert found.low[0] == pytest.approx(-0.1)
  assert found.low[1] < -0.2 < found.high[1]


def test_difference_of_one_seed_has_no_band():
  base, mine = curved("standard", [[2.0, 1.5]]), curved("mine", [[1.9, 1.2]])
  (figure,) = of(gaps, made_up.comparison(base, mine))
  assert alt(figure) == (
    "Difference in validation loss by steps. mine minus standard: from -0.1 at 10 to "
    "-0.3 at 20."
  )


def test_difference_is_of_the_primary_metric_if_curves_have_it():
  def judged(row):
    runs = [r._replace(summary={**r.summary, "primary": "accuracy"}) for r in row.runs]
    return row._replace(runs=runs)

  base = judged(curved("standard", [[2.0, 1.5]], {0: (0.1, 0.2)}))
  mine = judged(curved("mine", [[2.0, 1.5]], {0: (0.1, 0.5)}))
  (figure,) = of(gaps, made_up.comparison(base, mine))
  assert figure.key == "gap-accuracy"
  assert "to +30 at 20" in alt(figure)


def test_unchecked_runs_have_no_difference():
  mine = curved("mine", [[1.9, 1.2]])
  leaky = [r._replace(summary=r.summary | {"leak_check": "failed"}) for r in mine.runs]
  base = curved("standard", [[2.0, 1.5]])
  assert of(gaps, made_up.comparison(base, mine._replace(runs=leaky))) == []


@pytest.mark.parametrize(
  ("points", "best"),
  [
    ([(1, 1)], [0]),
    ([(1, 2), (2, 1)], [0, 1]),
    ([(2, 1), (1, 2), (3, 3)], [1, 0]),
    ([(1, 2), (1, 1)], [1]),
    ([(2, 1), (1, 1)], [1]),
    ([(1, 1), (1, 1)], [0, 1]),
  ],
)
def test_front_is_what_no_point_dominates(points, best):
  assert front(points) == best


def test_pareto_plots_name_the_rows_that_are_not_dominated():
  found = of(pareto, drawn.comparison(3))
  assert [figure.key for figure in found] == [
    "pareto-step_seconds-0",
    "pareto-parameters-0",
    "pareto-state_bytes_16384-0",
  ]
  assert "Not dominated: standard and selective." in alt(found[0])
  assert "standard: 1.6" in alt(found[0])
  assert " at 40;" in alt(found[0])


def test_cost_that_all_rows_share_is_not_drawn():
  rows = made_up.row("a", [1.5, 1.6]), made_up.row("b", [1.4, 1.5])
  assert of(pareto, made_up.comparison(*rows)) == []


def test_shorter_state_is_drawn_if_the_longer_is_unknown():
  made = drawn.comparison(2)
  costs = {
    name: cost | {"state_bytes": {"1024": cost["state_bytes"]["1024"]}}
    for name, cost in made.row_costs.items()
  }
  found = of(pareto, made._replace(row_costs=costs))
  assert found[-1].key == "pareto-state_bytes_1024-0"


def test_grid_of_two_settings_is_a_heatmap_for_each_attention():
  made = drawn.grid()
  assert [(g.name, len(g.rows)) for g in grids(made)] == [
    ("standard", 6),
    ("linear", 6),
  ]
  found = of(heatmaps, made)
  assert [figure.key for figure in found] == ["heatmap-0", "heatmap-1"]
  assert "at d_ff 256 and learning rate 0.003." in alt(found[0])
  assert all(f">{value}</text>" in found[0].svg for value in ("0.001", "128", "256"))


def test_heatmap_shows_a_cell_without_result():
  made = drawn.grid()
  rows = [made.rows[0]._replace(runs=[made_up.failed(0)]), *made.rows[1:]]
  found = of(heatmaps, made._replace(rows=rows))
  assert ">–</text>" in found[0].svg


@pytest.mark.parametrize("count", [(3, 1), (1, 2)])
def test_one_varied_setting_is_no_heatmap(count):
  made = drawn.grid((0.1, 0.2, 0.3)[: count[0]], (8, 16)[: count[1]])
  assert grids(made) == []


def test_description_says_first_last_and_best():
  series = [Series(0, [1, 1000], [2.0, 1.5]), Series(1, [1], [1.25])]
  text = alternative.course("Loss", ["a", "b"], series, ".2f", "lower")
  assert text == (
    "Loss. a: from 2.00 at 1 to 1.50 at 1,000; b: 1.25 at 1. Lowest at the end: b."
  )


def test_description_of_many_series_is_short():
  series = [Series(i, [1], [float(i)]) for i in range(30)]
  names = [f"row {i}" for i in range(30)]
  text = alternative.course("Loss", names, series, ".0f", "higher")
  assert text.endswith("row 7: 7 at 1; and 22 others. Highest at the end: row 29.")


def test_caption_says_whose_flops_are_counted():
  captions = {figure.key: figure.caption for figure in curves(drawn.comparison(2))}
  assert "in the formulas" in captions["loss-flops"]
  assert not any("compiled" in caption for caption in captions.values())
