"""A run whose code has changed does not continue unless the user accepts it."""

import json

import pytest

from attention_lab.mode import train
from attention_lab.plugin import discovery
from attention_lab.run import folder as run_folder
from tests.commands import assert_refused
from tests.parts import tiny_config

ACCEPT = "--config.checkpoint.changed_code=accept"


@pytest.fixture
def edited(tmp_path, mine):
  """The words that name a run whose plugin was edited after it finished."""
  discovery.load([str(mine)])
  quiet = {"log__tensorboard": False, "model__num_layers": 1}
  config = tiny_config(attention="mine", plugins=(str(mine),), **quiet)
  workdir = tmp_path / "run"
  assert train.run(config, str(workdir)) == 0
  mine.write_text(mine.read_text() + "# edited\n")
  return [f"--workdir={workdir}", f"--plugin={mine}"]


def test_an_edited_run_is_refused_by_name_until_the_edit_is_accepted(
  edited, tmp_path, command
):
  config, evaluation = (
    tmp_path / "run" / f"{x}.json" for x in ("config", "evaluation")
  )
  before = config.read_bytes()
  for words in (["--mode=train", "--steps=6"], ["--mode=evaluate"]):
    assert_refused(command(*edited, *words), "changed since (mine.py). Restore it,")
    assert_refused(command(*edited, *words), ACCEPT)
  status, _, err = command(*edited, "--mode=sample", "--prompt=a")
  assert status == 0
  assert "warning: The code of the run in" in err
  assert config.read_bytes() == before

  assert command(*edited, "--mode=evaluate", ACCEPT)[0] == 0
  assert json.loads(evaluation.read_text())["changed_code"] == ["mine.py"]
  assert command(*edited, "--mode=train", "--steps=6", ACCEPT)[0] == 0
  first, second = run_folder.recorded_codes(tmp_path / "run")
  assert [name for name in first if first[name] != second[name]] == ["mine.py"]

  # The consent was for one command, and the code is that of the last start.
  assert command(*edited, "--mode=train", "--steps=6")[0] == 0
  assert len(run_folder.recorded_codes(tmp_path / "run")) == 2
  assert command(*edited, "--mode=evaluate")[0] == 0
  assert "changed_code" not in json.loads(evaluation.read_text())
  stored = json.loads(config.read_text())["config"]["checkpoint"]
  (tmp_path / "mine.py").write_text((tmp_path / "mine.py").read_text() + "# again\n")
  assert_refused(command(*edited, "--mode=train", "--steps=6"), "(mine.py)")
  assert stored["changed_code"] == "refuse"


@pytest.mark.parametrize(
  ("after", "answer"),
  [
    (
      "that is to be, or not to be the question. ",
      "The data has changed since the run",
    ),
    (
      "whether 'tis nobler to suffer. ",
      'The data has characters that this run was not trained on: "\'flw". Restore',
    ),
  ],
)
def test_replaced_data_are_refused_by_evaluation(tmp_path, command, after, answer):
  text, workdir = tmp_path / "text.txt", tmp_path / "run"
  text.write_text("to be or not to be, that is the question. " * 60)
  words = [f"--dataset=text(path='{text}', sequence_length=8)", "--skip_checks"]
  words += ["--steps=1", "--batch_size=8", "--config.model.num_layers=1"]
  words += ["--config.log.tensorboard=false", f"--workdir={workdir}"]
  words += ["--config.sample.length=4"]
  assert command(*words)[0] == 0
  text.write_text(after * 60)
  assert_refused(command(f"--workdir={workdir}", "--mode=evaluate"), answer)
