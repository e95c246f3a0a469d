"""Weights & Biases gets what TensorBoard gets, through a stand-in for its library."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from attention_lab.config import get_config
from attention_lab.errors import UserError
from attention_lab.mode import train
from attention_lab.run.wandb import wandb_board
from tests.parts import TINY, tiny_config


class Library:
  """As much of the library as is called."""

  def __init__(self):
    self.started, self.logged, self.finished = [], [], 0
    self.error = None

  def init(self, **arguments):
    if self.error:
      raise self.error
    self.started.append(arguments)
    return self

  def log(self, values, step):
    self.logged.append((step, values))

  def finish(self):
    self.finished += 1

  def Settings(self, silent):
    return SimpleNamespace(silent=silent)

  def Table(self, columns, data):
    return {"columns": columns, "data": data}

  def Image(self, pixels, mode):
    return {"pixels": pixels, "mode": mode}


@pytest.fixture
def library(monkeypatch):
  library = Library()
  monkeypatch.setitem(sys.modules, "wandb", library)
  return library


def test_scalars_texts_and_images_arrive(tmp_path, library):
  board = wandb_board(tmp_path, "offline", {"steps": 3})
  board.scalars(2, {"train/loss": 2.5})
  board.text(2, "sample", "abc")
  board.image(2, "attention", np.array([[0.0, 1.0]], np.float32))
  board.flush()
  board.close()
  (started,) = library.started
  assert (started["mode"], started["config"]) == ("offline", {"steps": 3})
  assert started["dir"] == str(tmp_path)
  (scalar, text, image) = library.logged
  assert scalar == (2, {"train/loss": 2.5})
  assert text == (2, {"sample": {"columns": ["text"], "data": [["    abc"]]}})
  assert image[0] == 2
  assert image[1]["attention"]["pixels"].tolist() == [[0.0, 255.0]]
  assert (board.dropped, library.finished) == (0, 1)


def test_a_resumed_run_goes_on_with_its_own_curves(tmp_path, library):
  folders = [tmp_path / "a", tmp_path / "b"]
  for folder in (*folders, folders[0]):
    folder.mkdir(exist_ok=True)
    wandb_board(folder, "offline", {}).close()
  first, other, again = (started["id"] for started in library.started)
  assert first == again != other


def test_a_missing_library_is_told_in_one_line(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, "wandb", None)
  with pytest.raises(
    UserError, match="--wandb=online needs wandb: pip install wandb, or"
  ):
    wandb_board(tmp_path, "online", {})


def test_a_name_that_cannot_be_kept_is_told_in_one_line(tmp_path, library):
  with pytest.raises(UserError, match="Cannot write to .*wandb_id: No such file"):
    wandb_board(tmp_path / "gone", "offline", {})
  assert not library.started


def test_a_refused_start_is_told_in_one_line(tmp_path, library):
  library.error = RuntimeError("No API key configured.\nUse wandb login.")
  with pytest.raises(UserError, match="No API key configured.*take --wandb=offline"):
    wandb_board(tmp_path, "online", {})


@pytest.mark.parametrize("tensorboard", [True, False])
def test_a_run_logs_to_it_only_where_it_is_asked_to(tmp_path, library, tensorboard):
  changes = {"log__tensorboard": tensorboard, "log__every": 2, "evaluation__every": 2}
  config = tiny_config(log__wandb="offline", **changes)
  assert train.run(config, str(tmp_path / "with")) == 0
  names = {(step, name) for step, values in library.logged for name in values}
  assert {(2, "train/loss"), (4, "validation/loss"), (4, "attention")} <= names
  assert (tmp_path / "with" / "tensorboard").exists() == tensorboard
  library.started.clear()
  assert train.run(tiny_config(steps=1, **changes), str(tmp_path / "without")) == 0
  assert not library.started


def test_it_is_off_by_default():
  assert get_config().log.wandb == "off"
  assert "log.wandb" not in TINY
