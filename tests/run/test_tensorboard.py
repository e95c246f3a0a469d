"""Proves that TensorBoard gets its events, and can never stop the training."""

import struct
import threading

import numpy as np
import pytest
import tensorboardX
from tensorboardX.proto.event_pb2 import Event

from attention_lab.run import tensorboard as boards
from attention_lab.run.tensorboard import tensorboard


def events(folder):
  """All events in a folder: each lies between its length and a checksum."""
  found = []
  for path in sorted(folder.glob("events.*")):
    content, at = path.read_bytes(), 0
    while at < len(content):
      (length,) = struct.unpack_from("<Q", content, at)
      found.append(Event.FromString(content[at + 12 : at + 12 + length]))
      at += length + 16
  return found


def values(folder):
  return {
    (value.tag, event.step): value
    for event in events(folder)
    for value in event.summary.value
  }


class Blocked:
  """A writer that never returns, as tensorboardX's on a full disk."""

  def __init__(self, *args, **kwargs):
    threading.Event().wait()


class Raising:
  """A writer that cannot do anything."""

  def __init__(self, *args, **kwargs):
    pass

  def _fail(self, *args, **kwargs):
    raise OSError("disk full")

  add_scalar = add_text = add_image = flush = close = _fail


class Unmade:
  """A writer that cannot even be made."""

  def __init__(self, *args, **kwargs):
    raise OSError("disk full")


@pytest.fixture
def writer(monkeypatch):
  monkeypatch.setattr(boards, "PATIENCE", 0.2)
  return lambda cls: monkeypatch.setattr(tensorboardX, "SummaryWriter", cls)


def test_scalars_texts_and_images_can_be_read(tmp_path):
  board = tensorboard(tmp_path, 0)
  board.scalars(3, {"train/loss": 2.5, "train/accuracy": 0.25})
  board.text(3, "sample", "a *b*\nc")
  board.image(3, "attention", np.array([[0.0, 1.0, 0.5]], np.float32))
  board.flush()
  board.close()
  found = values(tmp_path)
  assert found["train/loss", 3].simple_value == 2.5
  assert found["train/accuracy", 3].simple_value == 0.25
  text = found["sample/text_summary", 3].tensor.string_val[0].decode()
  assert text == "    a *b*\n    c"  # Indented, so that it is no Markdown.
  image = found["attention", 3].image
  assert (image.height, image.width) == (1, 3)
  assert board.dropped == 0


@pytest.mark.parametrize(("step", "hidden_from"), [(0, None), (7, 8)])
def test_events_after_the_step_that_a_run_goes_on_from_are_hidden(
  tmp_path, step, hidden_from
):
  board = tensorboard(tmp_path, step)
  board.scalars(step + 1, {"loss": 1.0})
  board.close()
  starts = [event.step for event in events(tmp_path) if event.session_log.status == 1]
  assert starts == ([] if hidden_from is None else [hidden_from])


def test_a_writer_that_blocks_for_ever_never_blocks_the_caller(
  tmp_path, capsys, writer
):
  writer(Blocked)
  board = tensorboard(tmp_path, 0)

  def train():
    for step in range(boards.CAPACITY + 100):
      board.scalars(step, {"loss": 1.0})
    board.flush()
    board.close()

  thread = threading.Thread(target=train, daemon=True)
  thread.start()
  thread.join(10)
  assert not thread.is_alive()
  # One event is with the writer, CAPACITY wait; the rest, the flush and the end do not.
  assert board.dropped in (100, 101, 102)
  assert capsys.readouterr().err == (
    f"warning: TensorBoard missed {board.dropped} events; metrics.jsonl has them all.\n"
  )


def test_a_blocked_writer_that_dropped_nothing_yet_is_reported(
  tmp_path, capsys, writer
):
  writer(Blocked)
  board = tensorboard(tmp_path, 0)
  board.scalars(1, {"loss": 1.0})
  board.close()
  assert "TensorBoard missed some events" in capsys.readouterr().err


@pytest.mark.parametrize("cls", [Raising, Unmade])
def test_a_writer_that_raises_is_counted_and_forgiven(tmp_path, capsys, writer, cls):
  writer(cls)
  board = tensorboard(tmp_path, 0)
  board.scalars(1, {"a": 1.0, "b": 2.0})
  board.text(1, "sample", "x")
  board.image(1, "attention", np.zeros((1, 1), np.float32))
  board.close()
  assert board.dropped >= 4
  assert capsys.readouterr().err == (
    f"warning: TensorBoard missed {board.dropped} events; metrics.jsonl has them all.\n"
  )


def test_what_the_writer_gets_through_raises_no_warning(tmp_path, capsys):
  board = tensorboard(tmp_path, 0)
  board.scalars(1, {"loss": 1.0})
  board.close()
  assert capsys.readouterr().err == ""
