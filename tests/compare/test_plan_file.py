"""A folder's comparison is extended, or one that does not extend it is refused."""

import pytest

from attention_lab.compare import plan, plan_file
from attention_lab.errors import UserError
from attention_lab.system.files import read_json, write_json
from tests.parts import tiny_config


def made(folder, attentions, write=False, **changes):
  config = tiny_config(**changes)
  config.compare.match = "none"
  config.compare.grid = (("attention", attentions),)
  planned = plan.make(config, folder)
  if write:
    folder.mkdir(exist_ok=True)
    plan_file.write(folder, plan.to_store(planned, ""), "the command")
  return planned


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  folder = tmp_path_factory.mktemp("compared")
  made(folder, ("standard", "linear"), write=True, seeds=3)
  return folder


def test_rows_and_seeds_of_earlier_commands_stay(folder):
  extended = made(folder, ("standard", "cosine"))
  assert [row.name for row in extended.rows] == ["standard", "cosine"]
  assert [row.name for row in extended.reported] == ["standard", "cosine", "linear"]
  assert list(extended.seeds) == [0]
  assert extended.reported_seeds == [0, 1, 2]
  assert (
    plan.to_store(extended, "").rows[-1].config
    == plan_file.read(folder).rows[-1].config
  )


def test_margin_and_what_rows_are_judged_by_are_stored(folder):
  planned = made(folder, ("standard", "linear"))
  stored = plan.to_store(planned._replace(margin="0.01", about="position"), "")
  place = folder / "stored"
  place.mkdir()
  plan_file.write(place, stored, "the command")
  found = plan_file.read(place)
  assert (found.margin, found.about, found.command) == (
    *("0.01", "position"),
    "the command",
  )
  content = read_json(place / plan_file.FILE)
  for key in plan_file.OPTIONAL:  # As older versions wrote it.
    del content[key]
  write_json(place / plan_file.FILE, content)
  assert plan_file.read(place).margin == "50%"


def test_matched_rows_go_with_their_row(folder):
  stored = plan_file.read(folder)
  matched = stored.rows[1]._replace(
    name="linear, d_ff 3", matched="d_ff 3 instead of 4", made_from="linear"
  )
  rows = made(folder, ("standard", "linear")).rows
  stored = stored._replace(rows=[*stored.rows, matched])
  assert plan._others(rows, stored, 4, folder, "", ()) == []


@pytest.mark.parametrize(
  ("attentions", "changes", "answer"),
  [
    (("cosine", "standard"), {}, "the baseline 'standard', and .* is 'cosine'"),
    (("standard", "cosine"), {"steps": 5}, "of 4 steps.*Type --steps=4"),
    (
      ("standard", "cosine"),
      {"dataset": "copy(sequence_length=6, validation_examples=8)"},
      r"another row 'standard' \(dataset: 'copy\(sequence_length=8,.*name another",
    ),
    (("standard", "linear"), {"model.d_ff": 7}, r"model.d_ff: None there, 7 here"),
  ],
)
def test_another_comparison_is_refused_by_its_difference(
  folder, attentions, changes, answer
):
  with pytest.raises(UserError, match=answer):
    made(folder, attentions, **changes)


def test_a_file_of_something_else_is_refused(tmp_path):
  (tmp_path / plan_file.FILE).write_text("[]")
  with pytest.raises(UserError, match="its content is a list, expected an object"):
    plan_file.read(tmp_path)


def test_looks_are_counted_when_seeds_are_added(folder):
  first = made(folder, ("standard", "linear"))
  count = len(first.reported_seeds)
  assert first.looked().looks == (count,)
  plan_file.write(folder, plan.to_store(first.looked(), ""), "")
  again = made(folder, ("standard", "linear"))
  assert again.looked().looks == (count,)  # The same seeds: no new look.
  more = again._replace(seeds=[*again.reported_seeds, 97, 98])
  assert more.looked().looks == (count, count + 2)
