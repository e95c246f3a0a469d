"""--mode=report joins runs and comparisons as one comparison would, or refuses them."""

import json

import numpy as np
import pytest

from attention_lab.compare import cells, sources, stored_maps
from attention_lab.compare.analysis.table import lines
from attention_lab.compare.join import join
from attention_lab.compare.report.facts import header
from attention_lab.compare.report.latex import latex
from attention_lab.compare.report.results import results, table
from attention_lab.compare.report.texts import extent, notes
from attention_lab.errors import UserError
from tests.compare import folders
from tests.compare.folders import CODE

pytest.importorskip("scipy")

RATES = {
  f"{attention}, learning rate {rate:g}": {
    "attention": attention,
    "learning_rate": rate,
  }
  for attention in ("standard", "linear")
  for rate in (0.001, 0.003)
}


def joined(*places, **options):
  return join([sources.read(place) for place in places], "command", **options)


def refusal(*places, **options):
  """Return the one line with which folders are refused."""
  with pytest.raises(UserError) as error:
    joined(*places, **options)
  assert "\n" not in str(error.value)
  return str(error.value)


def names(comparison):
  return [row.name for row in comparison.rows]


@pytest.fixture
def whole(tmp_path):
  return folders.comparison(tmp_path / "whole", RATES, range(4))


def assert_equal(comparison, place):
  """Assert that a comparison has the tables of the one in a folder."""
  other = joined(place)
  assert table(comparison) == table(other)
  assert latex(comparison) == latex(other)
  assert len(table(other).splitlines()) > 1


def test_halves_by_seed_equal_the_whole(tmp_path, whole):
  one = folders.comparison(tmp_path / "a", RATES, range(2))
  two = folders.comparison(tmp_path / "b", RATES, range(2, 4))
  assert_equal(joined(one, two), whole)


def test_halves_by_row_equal_the_whole(tmp_path, whole):
  parts = [dict(list(RATES.items())[i : i + 2]) for i in (0, 2)]
  one, two = (
    folders.comparison(tmp_path / f"{i}", part, range(4))
    for i, part in enumerate(parts)
  )
  assert_equal(joined(one, two), whole)


def test_single_runs_equal_the_comparison_of_the_same_cells(tmp_path, whole):
  places = [
    folders.run(tmp_path / f"{name}-{seed}", folders.loss(name, seed), seed, **settings)
    for name, settings in RATES.items()
    for seed in range(4)
  ]
  assert_equal(joined(*places), whole)
  cell = cells.folder(whole, "linear, learning rate 0.003", 3)
  assert_equal(joined(*places[:-1], cell), whole)


def test_seeds_of_one_command_are_read_from_their_folder(tmp_path):
  for seed in range(3):
    folders.run(tmp_path / "train" / f"seed{seed}", 1.5, seed)
  (row,) = joined(tmp_path / "train").rows
  assert [run.seed for run in row.runs] == [0, 1, 2]


def test_rows_are_named_by_what_differs_and_named_rows_keep_their_names(tmp_path):
  rows = {"ours": {"attention": "linear"}, "standard": {"attention": "standard"}}
  one = folders.comparison(tmp_path / "a", rows, [0])
  two = folders.run(tmp_path / "b", 1.4, attention="linear", learning_rate=0.03)
  found = joined(one, two)
  assert names(found) == ["ours", "standard", "linear, learning rate 0.03"]
  assert found.rows[2].settings == {"train.learning_rate": 0.03}
  assert (found.about, found.baseline["attention"]) == ("attention", "linear")


def test_settings_without_a_value_are_left_out_of_names(tmp_path):
  one = folders.run(tmp_path / "a", 1.4)
  two = folders.run(tmp_path / "b", 1.4, d_ff=128)
  assert names(joined(one, two)) == ["standard", "standard, d_ff 128"]


def test_names_that_stand_for_two_rows_are_made_longer(tmp_path):
  rows = {"standard": {}, "linear": {"attention": "linear"}}
  fast = {name: row | {"learning_rate": 0.03} for name, row in rows.items()}
  one = folders.comparison(tmp_path / "a", rows, [0])
  two = folders.comparison(tmp_path / "b", fast, [0])
  assert names(joined(one, two)) == [
    "standard, learning rate 0.006",
    "linear, learning rate 0.006",
    "standard, learning rate 0.03",
    "linear, learning rate 0.03",
  ]


def test_equal_names_are_extended_by_what_differs_between_them_alone(tmp_path):
  rows = {"standard": {}, "linear": {"attention": "linear"}}
  other = {name: row | {"dataset": "parity"} for name, row in rows.items()}
  one = folders.comparison(tmp_path / "a", rows, [0])
  two = folders.comparison(tmp_path / "b", other, [0])
  fast = folders.run(tmp_path / "c", 1.4, attention="selective", learning_rate=0.03)
  assert names(joined(one, two, fast))[:4] == [
    "standard, copy(sequence_length=8)",
    "linear, copy(sequence_length=8)",
    "standard, parity",
    "linear, parity",
  ]
  taken = {"standard, parity": {"attention": "cosine"}}
  three = folders.comparison(tmp_path / "d", taken, [0])
  assert "Several rows would have the name 'standard, parity'" in refusal(
    one, two, three
  )


def test_matched_rows_come_last_and_know_their_row(tmp_path):
  rows = {
    "standard": {},
    "linear": {"attention": "linear"},
    "linear, d_ff 9": {
      "attention": "linear",
      "d_ff": 9,
      "matched": "d_ff 9",
      "made_from": "linear",
    },
  }
  one = folders.comparison(tmp_path / "a", rows, [0])
  two = folders.run(tmp_path / "b", 1.4, attention="selective")
  found = joined(one, two)
  assert names(found) == ["standard", "linear", "selective", "linear, d_ff 9"]
  assert (found.rows[3].matched, found.rows[3].made_from) == ("d_ff 9", "linear")
  assert [line.baseline for line in lines(found)] == ["", *["standard"] * 3]


def test_what_rows_are_judged_by_is_found_or_stored(tmp_path):
  plain = folders.comparison(tmp_path / "a", RATES, [0])
  assert joined(plain).about == "attention"
  rate = "train.learning_rate"
  stored = folders.comparison(tmp_path / "b", RATES, [0], about=rate)
  assert joined(stored).about == rate
  single = folders.run(tmp_path / "c", 1.4, attention="linear", learning_rate=0.03)
  assert joined(stored, single).about == "attention"


def test_settings_that_a_resumed_run_may_change_make_no_row(tmp_path):
  one = folders.run(tmp_path / "a", 1.4, seed=0)
  two = folders.run(tmp_path / "b", 1.5, seed=1, plugins=("/elsewhere/mine.py",))
  (row,) = joined(one, two).rows
  assert [run.seed for run in row.runs] == [0, 1]


def test_an_equal_run_counts_once_and_another_is_refused_by_name(tmp_path):
  one = folders.run(tmp_path / "a", 1.4)
  same = folders.run(tmp_path / "b", 1.4)
  assert len(joined(one, same).rows[0].runs) == 1
  other = folders.run(tmp_path / "c", 1.6)
  text = refusal(one, other)
  assert f"{one} and {other} are runs of the same configuration and seed 0" in text
  assert "validation loss 1.4 and 1.6" in text


def test_other_data_of_the_same_name_are_refused(tmp_path):
  one = folders.run(tmp_path / "a", 1.4)
  two = folders.run(
    tmp_path / "b", 1.4, attention="linear", provenance={"dataset_sha256": "e" * 64}
  )
  text = refusal(one, two)
  assert f"{one} and {two} were trained on different data" in text
  assert "'copy(sequence_length=8)' (sha256 dddddddd and eeeeeeee)" in text
  assert len(joined(one, two, keep=True).rows) == 2
  other = folders.run(
    *(tmp_path / "c", 1.4), dataset="parity", provenance={"dataset_sha256": "e" * 64}
  )
  assert len(joined(one, other).rows) == 2


def test_other_steps_are_refused(tmp_path):
  one = folders.run(tmp_path / "a", 1.4)
  two = folders.run(tmp_path / "b", 1.4, attention="linear", steps=200)
  text = refusal(one, two)
  assert f"{one} has runs of 100 steps and {two} of 200 steps" in text


@pytest.mark.parametrize("attention", ["standard", "linear"])
def test_other_code_that_both_use_is_refused(tmp_path, attention):
  one = folders.run(tmp_path / "a", 1.4, seed=0)
  other = CODE | {"attention_lab/update.py": "6"}
  two = folders.run(tmp_path / "b", 1.4, seed=1, code=other, attention=attention)
  text = refusal(one, two)
  assert f"{one} and {two} were trained with different code" in text
  assert "(attention_lab/update.py)" in text
  kept = joined(one, two, keep=True)
  noted = "some of its runs had other code (attention_lab/update.py)"
  assert kept.rows[0].note == (noted if attention == "standard" else "")


def test_files_of_one_row_alone_and_other_versions_are_accepted(tmp_path):
  one = folders.run(tmp_path / "a", 1.4)
  code = CODE | {"mine.py": "1", "version of jax": "0.10"}
  two = folders.run(
    *(tmp_path / "b", 1.4),
    attention="mine",
    code=code,
    provenance={"versions": {"jax": "0.10"}, "processor": "Abacus 1"},
  )
  found = header(joined(one, two))
  assert found["versions"] == "jax 0.9 and 0.10"
  assert found["hardware"] == "1 × Abacus 9000 (cpu); 1 × Abacus 1 (cpu)"
  assert found["joined"] == "2 folders"
  seed = folders.run(tmp_path / "c", 1.4, seed=1, attention="mine", code=CODE)
  assert "(mine.py)" in refusal(two, seed)


def test_unfinished_runs_are_refused_with_what_finishes_them(tmp_path):
  one = folders.run(tmp_path / "a")
  assert refusal(one) == (
    f"The run in {one} has not finished. Finish it with: python -m attention_lab.main "
    f"--workdir={one}"
  )
  rows = {
    "standard": {},
    "linear": {"attention": "linear", "losses": {0: 1.4, 1: None}},
  }
  two = folders.comparison(tmp_path / "b", rows, [0, 1])
  assert refusal(two) == (
    f"The comparison in {two} has 1 run that did not finish (linear, seed 1). Finish it "
    f"with: python -m attention_lab.main --workdir={two}"
  )


def test_interrupted_comparison_is_refused_and_an_extended_one_is_not(tmp_path):
  rows = {"standard": {"losses": {0: 1.4, 1: 1.5}}, "linear": {"losses": {0: 1.4}}}
  rows["linear"]["attention"] = "linear"
  interrupted = folders.comparison(tmp_path / "a", rows, [0, 1], looks=[])
  assert "1 run that did not finish (linear, seed 1)" in refusal(interrupted)
  extended = folders.comparison(tmp_path / "b", rows, [0, 1], looks=[1, 2])
  found = joined(extended)
  assert [len(row.runs) for row in found.rows] == [2, 1]
  assert list(found.looks) == [1, 2]


def test_comparison_without_any_run_is_refused(tmp_path):
  empty = folders.comparison(tmp_path / "a", {"standard": {"losses": {}}}, [0])
  assert f"The comparison in {empty} has no finished run." in refusal(empty)
  rowless = folders.comparison(tmp_path / "b", {}, [0])
  assert f"The comparison in {rowless} has no finished run." in refusal(rowless)


def test_folder_that_is_neither_is_refused(tmp_path):
  assert f"There is no folder {tmp_path / 'x'}." in refusal(tmp_path / "x")
  folders.run(tmp_path / "a", 1.4)
  text = refusal(tmp_path)
  assert f"{tmp_path} is neither a run nor a comparison" in text
  assert text.endswith(f"Name what is in it: {tmp_path}/*")


def test_failed_and_diverged_runs_are_counted(tmp_path):
  rows = {"standard": {}, "linear": {"attention": "linear"}}
  one = folders.comparison(tmp_path / "a", rows, [0, 1])
  cell = cells.folder(one, "linear", 1)
  (cell / "summary.json").unlink()
  cells.set_failure(cell, "Out of memory")
  two = folders.run(tmp_path / "b", seed=2, attention="linear")
  event = {"step": 7, "split": "event", "event": "not_finite"}
  (two / "metrics.jsonl").write_text(json.dumps(event) + "\n")
  line = lines(joined(one, two))[1]
  assert [(f.seed, f.diverged) for f in line.failed] == [(1, False), (2, True)]
  assert line.failed[1].error == "At step 7 the loss was not finite."


def test_different_seeds_are_said(tmp_path):
  one = [folders.run(tmp_path / f"a{i}", 1.4 + i / 9, i) for i in range(3)]
  two = [
    folders.run(tmp_path / f"b{i}", 1.3, i, attention="linear") for i in range(1, 3)
  ]
  found = joined(*one, *two)
  assert header(found)["seeds"] == "2 to 3 per row"
  assert extent(found) == "2 rows, 2 to 3 seeds per row, 100 steps per run."
  assert "Rows have different seeds" in notes(found)
  assert "Rows have different seeds" not in notes(joined(*one[1:], *two))
  assert lines(found)[1].differences["loss"].seeds == 2


def test_margin_is_that_of_the_comparisons_or_of_the_command(tmp_path):
  rows = {"standard": {}, "linear": {"attention": "linear"}}
  one = folders.comparison(tmp_path / "a", rows, [0], margin="0.01")
  two = folders.comparison(tmp_path / "b", rows, [1], margin="50%")
  assert joined(one).margin == "0.01"
  assert "Type --config.compare.margin=0.01, for example." in refusal(one, two)
  assert joined(one, two, margin="0.02").margin == "0.02"


def test_tuned_rows_are_judged_apart_from_what_tuning_chose(tmp_path):
  rates = {"standard": 0.01, "linear": 0.03}
  rows = {name: {"attention": name, "learning_rate": rates[name]} for name in rates}
  one, two = (
    folders.comparison(tmp_path / name, rows, seeds, tuned=rates, tune="learning_rate")
    for name, seeds in (("a", [0, 1]), ("b", [2]))
  )
  found = joined(one, two)
  assert [row.settings for row in found.rows] == [{}, {"attention": "linear"}]
  assert found.rows[1].chosen == {"train.learning_rate": 0.03}
  assert found.rows[1].tuned.chosen == 1
  assert [line.baseline for line in lines(found)] == ["", "standard"]
  single = folders.run(tmp_path / "c", 1.4, attention="cosine")
  text = refusal(one, single)
  assert f"{one} has train.learning_rate and {single} has no settings" in text


def test_costs_are_joined_under_the_names_of_the_report(tmp_path):
  rows = {"standard": {}, "linear": {"attention": "linear"}}
  fast = {name: row | {"learning_rate": 0.03} for name, row in rows.items()}
  one = folders.comparison(tmp_path / "a", rows, [0], {"standard": 1.0, "linear": 2.0})
  two = folders.comparison(tmp_path / "b", fast, [0], {"standard": 3.0})
  found = joined(one, two)
  assert {name: cost["step_seconds"] for name, cost in found.row_costs.items()} == {
    "standard, learning rate 0.006": 1.0,
    "linear, learning rate 0.006": 2.0,
    "standard, learning rate 0.03": 3.0,
  }
  assert found.provenance["costs"] == (
    f"measured at different times, by the comparisons in {one} and {two}"
  )
  assert "costs" not in joined(one).provenance


def test_stored_maps_are_shown(tmp_path):
  one = folders.run(tmp_path / "a", 1.4)
  assert joined(one).rows[0].maps is None
  (one / "checkpoints").mkdir()
  (one / "checkpoints" / "000000100-abc.npz").touch()
  path = stored_maps.path_of(one, CODE)
  stored = {"tokens": np.array(["a"]), "weights": np.ones((1, 1, 1, 1), np.float32)}
  np.savez_compressed(path, **stored)
  assert joined(one).rows[0].maps.tokens == ["a"]
  assert joined(one).rows[0].maps.layers == [1]  # As of earlier versions.
  np.savez_compressed(path, **stored, layers=np.array([3]))
  assert joined(one).rows[0].maps.layers == [3]


def test_lines_carry_the_hashes_of_code_and_data(tmp_path):
  one = folders.run(tmp_path / "a", 1.4)
  two = folders.run(tmp_path / "b", 1.4, seed=1, code=CODE | {"mine.py": "1"})
  found = list(results(joined(one, two, keep=True)))
  assert [each["data_hash"] for each in found] == ["d" * 64] * 2
  first, second = (each["code_hash"] for each in found)
  assert len(first) == 16
  assert first != second


def test_rows_keep_the_rows_that_they_name_to_be_compared_with(tmp_path):
  rows = {
    "small": {"d_ff": 4},
    "large": {"d_ff": 8},
    "linear": {"attention": "linear", "d_ff": 4},
  }
  folder = folders.comparison(tmp_path / "a", rows, [0, 1])
  path = folder / "compare.json"
  content = json.loads(path.read_text())
  content["rows"][2]["against"] = ["large"]
  path.write_text(json.dumps(content))
  assert [line.baseline for line in lines(joined(folder))][2] == "large"
