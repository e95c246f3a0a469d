"""Lists in flags become the rows of a grid, each with its own name, folder and flags."""

import pytest

from attention_lab import config as configs
from attention_lab.compare import cells, grid
from attention_lab.errors import UserError
from attention_lab.settings.flags import NAMED


def rows(*assignments):
  config = configs.get_config()
  config.compare.grid = tuple(grid.read(config, assignments).items())
  return grid.rows(config)


@pytest.mark.parametrize(
  ("text", "items"),
  [
    ("standard", ["standard"]),
    ("standard,linear", ["standard", "linear"]),
    ("standard, linear(a=1, b=(2, 3))", ["standard", "linear(a=1, b=(2, 3))"]),
    ("standard,(linear*3,standard)", ["standard", "linear*3,standard"]),
    ("text(path='a,b)'),copy", ["text(path='a,b)')", "copy"]),
    ("1e-4,3e-4", ["1e-4", "3e-4"]),
    ("a,", ["a", ""]),
  ],
)
def test_list_is_split_at_commas_outside_brackets_and_quotes(text, items):
  assert grid.alternatives(text) == items


def test_first_row_has_first_values_and_last_setting_varies_fastest():
  found = rows(("attention", "standard,linear"), ("train.learning_rate", "1e-3,3e-4"))
  assert [row.name for row in found] == [
    "standard, learning rate 0.001",
    "standard, learning rate 0.0003",
    "linear, learning rate 0.001",
    "linear, learning rate 0.0003",
  ]
  assert [row.config.train.learning_rate for row in found] == [1e-3, 3e-4] * 2
  assert [row.config.attention for row in found] == ["standard"] * 2 + ["linear"] * 2


@pytest.mark.parametrize(
  ("lists", "about"),
  [
    (
      (("train.learning_rate", "1e-3,1e-2"), ("attention", "standard,linear")),
      "attention",
    ),
    ((("train.learning_rate", "1e-3,1e-2"), ("position", "none,rope")), "position"),
    ((("dataset", "copy,sort"), ("model.d_ff", "8,16")), "model.d_ff"),
    ((("dataset", "copy,sort"),), "dataset"),
  ],
)
def test_a_comparison_is_about_the_attention_if_that_varies(lists, about):
  config = configs.get_config()
  config.compare.grid = tuple(grid.read(config, lists).items())
  assert grid.about(config) == about


def test_later_flag_overrides_list():
  assert len(rows(("attention", "standard,linear"), ("attention", "linear"))) == 1


def test_tuples_and_settings_without_effect_on_results_are_not_split():
  found = rows(("sample.prompt", "a,b"), ("evaluation.extra_lengths", "64,128"))
  assert len(found) == 1
  assert found[0].config.sample.prompt == "a,b"
  assert found[0].config.evaluation.extra_lengths == (64, 128)


@pytest.mark.parametrize(
  ("key", "text", "answer"),
  [
    ("seed", "0,1", "the number of seeds with --seeds=5"),
    ("seeds", "1,2,3", "--seeds=3 trains three, from the one on that --seed=1 names"),
    ("steps", "10,20", "all rows are trained for the same"),
    ("attention", "linear,linear", "lists linear twice"),
    ("model.d_ff", "64,x", "expected int"),
    ("model.d_f", "64,32", "Did you mean 'model.d_ff'?"),
    ("compare.grid", "()", "Write lists in flags"),
  ],
)
def test_invalid_list_is_rejected(key, text, answer):
  with pytest.raises(UserError, match=answer.replace("?", r"\?")):
    rows((key, text))


def test_flags_of_row_reproduce_its_configuration():
  (row, _) = rows(
    ("attention", "linear,standard"),
    ("model.norm_offset", "true"),
    ("evaluation.extra_lengths", "64"),
    ("model.d_ff", "32"),
    ("log.wandb", "offline"),
  )
  again = configs.get_config()
  flags = {flag: key for key in dict(configs.flatten(again)) for flag in [key]}
  for word in grid.words(row.config):
    flag, _, text = word.partition("=")
    name = flag.removeprefix("--").removeprefix("config.")
    configs.set_text(again, NAMED.get(name, flags.get(name)), text)
  assert again == row.config


@pytest.mark.parametrize(
  "name", ["standard", "selective, d_ff 213", "linear(a='/x y')", "a" * 200]
)
def test_each_row_has_its_own_folder(name):
  folder = cells.folder_name(name)
  assert folder != cells.folder_name(name + "x")
  assert "/" not in folder
  assert len(folder) < 80
