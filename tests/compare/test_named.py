"""Rows with settings of their own: their names, configurations, controls and refusals."""

import json

import pytest

from attention_lab import config as configs
from attention_lab.compare import grid, named, plan, plan_file, tuned_values
from attention_lab.compare.analysis.pairs import compared
from attention_lab.compare.collect import collect
from attention_lab.errors import UserError
from attention_lab.mode import compare
from tests.parts import tiny_config

STANDARD = {"attention": "standard"}
ROWS = (
  ("standard", STANDARD),
  ("standard, d_ff 320", {**STANDARD, "model.d_ff": 320}),
  ("linear", {"attention": "linear", "against": ["standard", "standard, d_ff 320"]}),
  ("linear, no positions", {"attention": "linear", "position": "none"}),
)


def config_of(rows, *assignments):
  """Return a configuration with named rows and flags."""
  config = configs.get_config()
  config.compare.rows = rows
  config.compare.grid = tuple(grid.read(config, assignments).items())
  return config


def test_each_row_has_its_name_and_its_own_settings():
  base = configs.get_config()
  found = grid.rows(config_of(ROWS, ("train.learning_rate", "0.5"), ("seeds", "3")))
  assert [row.name for row in found] == [name for name, _ in ROWS]
  changed = [configs.differences(base, row.config) for row in found]
  rate = {"train.learning_rate": (base.train.learning_rate, 0.5)}
  positions = {"position": (base.position, "none")}
  linear = {"attention": ("standard", "linear")}
  assert changed == [
    rate,
    {"model.d_ff": (None, 320)} | rate,
    linear | rate,
    linear | positions | rate,
  ]
  assert found[2].against == ("standard", "standard, d_ff 320")
  assert all(row.config.compare.rows == () for row in found)  # As in any other run.


def test_rows_are_combined_with_a_grid():
  """A named control is the combination of the same values."""
  rows = (("a", {}), ("b", {"attention": "linear", "against": "a"}))
  found = grid.rows(
    config_of(rows, ("model.d_model", "32,64"), ("position", "none,t5"))
  )
  assert [row.name for row in found] == [
    f"{name}, d_model {width}, {position}"
    for name in "ab"
    for width in (32, 64)
    for position in ("none", "t5")
  ]
  assert found[5].config.position == "t5"
  assert found[5].against == ("a, d_model 32, t5",)


@pytest.mark.parametrize(
  ("rows", "flags", "about"),
  [
    (ROWS, (), "attention"),
    (ROWS[:2], (), "model.d_ff"),
    (ROWS[:2], (("position", "none,rope"),), "position"),
    ((("a", {"position": "none"}), ("b", {"position": "rope"})), (), "position"),
  ],
)
def test_a_comparison_is_about_a_setting_in_which_rows_differ(rows, flags, about):
  assert grid.about(config_of(rows, *flags)) == about


def test_rows_survive_json_and_may_be_nested_or_typed():
  stored = json.loads(json.dumps(config_of(ROWS).to_dict()))
  again = configs.from_stored(stored)
  assert named.read(again) == named.read(config_of(ROWS))
  nested = (ROWS[0], (ROWS[1][0], {**STANDARD, "model": {"d_ff": 320}}))
  assert named.read(config_of(nested)) == named.read(config_of(ROWS[:2]))
  typed = config_of((), ("compare.rows", repr(ROWS)))
  assert named.read(typed) == named.read(config_of(ROWS))


def row(**settings):
  """Return two rows, of which the second has these settings."""
  renamed = {key.replace("__", "."): value for key, value in settings.items()}
  return (("a", {"model.d_ff": 8}), ("b", renamed))


@pytest.mark.parametrize(
  ("rows", "answer"),
  [
    (
      row(model__d_f=3),
      "Row 'b': there is no setting 'model.d_f'. Did you mean 'model",
    ),
    (row(model__d_ff="x"), "Row 'b': --config.model.d_ff='x': expected int."),
    (row(agains="a"), "Did you mean 'against'?"),
    (row(seed=1), "Row 'b' sets seed, which all rows share; give the first seed"),
    (row(seeds=1), "Row 'b' sets seeds, which all rows share; --seeds=3 trains three"),
    (row(steps=1), "sets steps, which all rows share; all rows are trained for"),
    (row(log__every=1), "share; set it once, with --config.log.every."),
    (row(compare__match="none"), "share; set it once, with --match."),
    (row(model__d_ff=8), "Rows 'a' and 'b' have equal settings; omit one."),
    (row()[:1], "has the row 'a' alone; name two or more, the baseline first."),
    ((*row(), ("a", {})), "has two rows 'a'; give each its own name."),
    (row(against="b"), "Row 'b' is compared with itself"),
    (row(against=("a", "A1")), "with 'A1', which is no row. Known: a, b."),
    (row(against="a", dataset="copy"), "'a', which has another dataset"),
    (
      row(against=5),
      "give pairs of a name and its settings, such as (('standard', {}),",
    ),
    (("ab", "cd"), "has the item 'ab': give pairs"),
    ((("a", {}), ("b", 3)), "has the item ('b', 3): give pairs"),
    ((("a", {}), ("b", {}, {})), "give pairs"),
    ((("a", {}), ("", {"model.d_ff": 3})), "give pairs"),
    ((("a", {}), 3), "has the item 3: give pairs"),
  ],
)
def test_invalid_rows_are_refused_in_one_line(rows, answer):
  with pytest.raises(UserError) as caught:
    config_of(rows)
  assert answer in str(caught.value)
  assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["128", "128,256"])
def test_a_flag_that_a_row_would_override_is_refused(text):
  answer = (
    f"--config.model.d_ff={text}: the row 'standard, d_ff 320' of compare.rows sets"
  )
  with pytest.raises(UserError, match=answer):
    config_of(ROWS, ("model.d_ff", text))


def test_a_stored_grid_that_a_row_would_override_is_refused():
  config = configs.get_config()
  config.compare.rows = ROWS
  config.compare.grid = (("position", ("none", "rope")),)
  with pytest.raises(
    UserError, match=r"compare\.grid lists position: the row 'linear, no"
  ):
    grid.read(config, ())


def test_rows_without_rows_leave_the_grid_alone():
  assert grid.rows(config_of((), ("attention", "standard,linear")))[1].name == "linear"
  assert len(grid.rows(config_of(ROWS, ("compare.rows", "()")))) == 1


def test_the_folder_depends_on_settings_and_not_on_controls():
  folders = [
    compare._folder(config_of(rows))
    for rows in (
      ROWS,
      (*ROWS[:2], ("linear", {"attention": "linear"}), ROWS[3]),
      ROWS[:3],
    )
  ]
  assert folders[0] == folders[1] != folders[2]
  assert compare._folder(config_of(())) != folders[0]


TINY_ROWS = (
  ("standard", STANDARD),
  ("wide", {**STANDARD, "model.d_ff": 40}),
  ("selective", {"attention": "selective", "against": "wide"}),
  ("alone", {"attention": "linear", "position": "none"}),
)


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
  folder = tmp_path_factory.mktemp("compared")
  config = tiny_config(model__num_layers=1)
  config.compare.rows = TINY_ROWS
  made = plan.make(config, folder)
  plan_file.write(folder, plan.to_store(made, ""), "the command")
  return made


def test_matching_adds_rows_to_named_rows(planned):
  matched = [(row.name, row.made_from) for row in planned.rows if row.matched]
  assert matched == [("selective, d_ff 28", "selective")]


def test_each_row_is_judged_by_its_control_or_by_the_rule(planned):
  others = compared(collect(planned, ""))
  assert others == {
    "standard": (),
    "wide": (),
    "selective": ("wide",),
    "alone": (),
    "selective, d_ff 28": ("standard",),
  }


def test_compare_json_has_the_rows_and_their_controls(planned):
  stored = plan_file.read(planned.workdir)
  assert {row.name: row.against for row in stored.rows if row.against} == {
    "selective": ("wide",)
  }
  assert [row.config for row in stored.rows] == [row.config for row in planned.rows]
  path = planned.workdir / plan_file.FILE
  content = json.loads(path.read_text())
  for entry in content["rows"]:
    del entry["against"]  # As written by an earlier version.
  old = planned.workdir.parent / "old"
  old.mkdir(exist_ok=True)
  (old / plan_file.FILE).write_text(json.dumps(content))
  assert {row.against for row in plan_file.read(old).rows} == {()}


def test_another_row_of_the_same_name_is_refused(planned):
  rows = {row.name: row.config for row in planned.rows}
  other = rows["wide"].copy_and_resolve_references()
  other.model.d_ff = 41
  stored = plan_file.read(planned.workdir)
  with pytest.raises(UserError, match=r"another row 'wide' \(model.d_ff: 40 there, 41"):
    plan_file.refuse_other(planned.workdir, stored, rows | {"wide": other}, ())


def test_matching_does_not_add_a_row_that_is_named(planned):
  """The control of the same configuration is there; another of its name is refused."""
  (matched,) = (row for row in planned.rows if row.matched)
  rows = [row for row in planned.rows if not row.matched]
  control = rows[2]._replace(name="control", config=matched.config)
  assert plan._matched([*rows, control], "parameters") == []
  with pytest.raises(UserError, match="another row has this name; rename it"):
    plan._matched([*rows, rows[1]._replace(name=matched.name)], "parameters")


def test_an_invalid_value_names_its_row(tmp_path):
  config = tiny_config()
  config.compare.rows = (("a", {}), ("b", {"model.d_ff": 0}))
  with pytest.raises(UserError, match=r"Row 'b': --config\.model\.d_ff=0: take"):
    plan.make(config, tmp_path)


def test_a_setting_that_a_row_sets_cannot_be_tuned():
  config = config_of(
    ROWS, ("compare.tune", "model.d_ff=64,128"), ("compare.match", "none")
  )
  with pytest.raises(UserError, match=r"rows differ in model\.d_ff; it is either"):
    tuned_values.read(config)
