"""Proves that a checkpoint comes back bit for bit, or not at all and never unnoticed."""

import errno
import os
from typing import NamedTuple

import numpy as np
import pytest

from attention_lab.errors import UserError
from attention_lab.run.checkpoint import Checkpoints, restore_together
from attention_lab.system import regular

FLIPS = 80  # Random single-bit flips, and as many truncations.


class State(NamedTuple):
  """A tree with every kind of node and leaf that a training state has."""

  step: np.ndarray
  params: dict[str, dict[str, np.ndarray]]
  moments: tuple[np.ndarray, ...]


def state(step=0):
  random = np.random.default_rng(step)
  return State(
    step=np.array(step, np.int32),
    params={"net/~/linear": {"w": random.normal(size=(3, 2)).astype(np.float32)}},
    moments=(np.arange(4, dtype=np.uint32), np.zeros((0, 2), np.float32)),
  )


def save(checkpoints, step, loss=None, **meta):
  path = checkpoints.save(step, state(step), {"validation_loss": loss, **meta})
  checkpoints.remove_old(path)
  return path


def restored_step(folder, which="newest"):
  return int(Checkpoints(folder, 3).restore(state(), which).tree.step)


def damage(path, bit):
  content = bytearray(path.read_bytes())
  content[bit // 8] ^= 1 << bit % 8
  path.write_bytes(content)


def meta_entry(content):
  """Return the offset of the meta data in the zip's directory."""
  return content.rindex(b"PK\x01\x02")


@pytest.fixture
def checkpoints(tmp_path):
  return Checkpoints(tmp_path, keep=3)


def test_a_state_comes_back_bit_for_bit(tmp_path, checkpoints):
  saved, meta = state(7), {"validation_loss": 0.1, "window": [[1.5], []]}
  path = checkpoints.save(7, saved, meta)
  restored = Checkpoints(tmp_path, 3).restore(state())
  assert (restored.path, restored.meta) == (path, meta)
  assert isinstance(restored.tree, State)
  assert restored.tree.params.keys() == saved.params.keys()
  for expected, found in zip(leaves(saved), leaves(restored.tree), strict=True):
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
    assert found.tobytes() == expected.tobytes()


def leaves(tree):
  return [tree.step, tree.params["net/~/linear"]["w"], *tree.moments]


def test_an_empty_folder_has_nothing_to_restore(checkpoints):
  assert checkpoints.restore(state()) is None
  assert checkpoints.restore(state(), "best") is None


def test_the_newest_is_restored(tmp_path, checkpoints):
  for step in (5, 100, 20_000):
    save(checkpoints, step)
  assert restored_step(tmp_path) == 20_000


def test_a_step_too_long_for_the_names_digits_is_still_the_newest(
  tmp_path, checkpoints
):
  for step in (999_999_999, 1_000_000_000):
    save(checkpoints, step)
  assert restored_step(tmp_path) == 1_000_000_000


def test_the_newest_are_kept_and_older_ones_go(checkpoints):
  saved = [save(checkpoints, step) for step in range(1, 6)]
  assert checkpoints.paths() == saved[:1:-1]


@pytest.mark.parametrize("restarts", [False, True])
def test_the_best_is_kept_besides_the_newest(tmp_path, restarts):
  checkpoints = Checkpoints(tmp_path, 2)
  for step, loss in enumerate([3.0, 1.0, 2.0, 2.0, None, 2.0], start=1):
    if restarts:
      checkpoints = Checkpoints(tmp_path, 2)
    save(checkpoints, step, loss)
  assert [int(path.stem[:9]) for path in checkpoints.paths()] == [6, 5, 2]
  assert restored_step(tmp_path, "best") == 2


def test_a_loss_that_is_not_a_number_is_never_the_best(tmp_path, checkpoints):
  for step, loss in enumerate([1.0, float("nan")], start=1):
    save(checkpoints, step, loss)
  assert restored_step(tmp_path, "best") == 1


def test_where_no_loss_is_known_the_newest_is_taken_and_this_is_said(
  tmp_path, checkpoints, capsys
):
  for step in (1, 2):
    save(checkpoints, step)
  assert restored_step(tmp_path, "best") == 2
  assert "was validated at its own step; the newest is used" in capsys.readouterr().err


def test_the_loss_of_an_earlier_step_makes_no_checkpoint_the_best(
  tmp_path, checkpoints
):
  for step, loss, validated in ((4, 2.0, 4), (6, 1.0, 5), (8, 1.0, 5), (10, 3.0, 10)):
    save(checkpoints, step, loss, validated=[validated, 1])
  for reopened in (checkpoints, Checkpoints(tmp_path, 3)):
    assert int(reopened.restore(state(), "best").tree.step) == 4


UNREADABLE = [errno.EIO, errno.EACCES, errno.ESTALE]


def fail_to(call, path, number, monkeypatch):
  """Let the opening of a file, its status or its reading fail, as on a bad disk."""
  real_open, real_read, ours = os.open, os.fdopen, set()

  def fail():
    raise OSError(number, os.strerror(number), str(path))

  def open_(name, *args, **kwargs):
    if call == "open" and str(name) == str(path):
      fail()
    descriptor = real_open(name, *args, **kwargs)
    (ours.add if str(name) == str(path) else ours.discard)(descriptor)
    return descriptor

  def opened(descriptor, *args, **kwargs):
    file = real_read(descriptor, *args, **kwargs)
    if call == "read" and descriptor in ours:
      file.close()
      fail()
    return file

  def status(descriptor, real=os.fstat):
    if call == "stat" and descriptor in ours:
      fail()
    return real(descriptor)

  monkeypatch.setattr(os, "open", open_)
  monkeypatch.setattr(os, "fstat", status)
  monkeypatch.setattr(regular, "open", opened, raising=False)


@pytest.mark.parametrize("call", ["open", "stat", "read"])
@pytest.mark.parametrize("number", UNREADABLE)
@pytest.mark.parametrize("which", ["newest", "best"])
def test_a_checkpoint_that_cannot_be_read_is_passed_over(
  tmp_path, checkpoints, monkeypatch, capsys, call, number, which
):
  save(checkpoints, 1, loss=2.0)
  fail_to(call, path := save(checkpoints, 2, loss=1.0), number, monkeypatch)
  assert int(checkpoints.restore(state(), which).tree.step) == 1
  assert capsys.readouterr().err == (
    f"warning: {path} is damaged; trying the one before it.\n"
  )
  assert checkpoints.at(state(), 2) is None
  assert [int(x.tree.step) for x in checkpoints.newest(state(), 2)] == [1]
  (step,) = {int(x.tree.step) for x in restore_together([checkpoints] * 2, state())}
  assert step == 1


@pytest.mark.parametrize("number", UNREADABLE)
@pytest.mark.parametrize("call", ["listdir", "lstat"])
def test_a_folder_that_cannot_be_listed_is_no_empty_folder(
  tmp_path, checkpoints, monkeypatch, call, number
):
  save(checkpoints, 1)
  real = getattr(os, call)

  def fail(path, *args):
    if str(path) == str(tmp_path):
      raise OSError(number, os.strerror(number))
    return real(path, *args)

  monkeypatch.setattr(os, call, fail)
  if call == "lstat":
    assert restored_step(tmp_path) == 1
  else:
    with pytest.raises(UserError, match=f"Cannot read {tmp_path}: "):
      restored_step(tmp_path)


@pytest.mark.parametrize("kind", ["folder", "dangling link"])
def test_what_has_the_name_of_a_checkpoint_does_no_harm(
  tmp_path, checkpoints, kind, capsys
):
  other = tmp_path / f"000000001-{'0' * 16}.npz"
  other.mkdir() if kind == "folder" else other.symlink_to("nowhere")
  for step in range(2, 8):
    save(checkpoints, step)
  assert restored_step(tmp_path) == 7
  assert other.is_dir() == (kind == "folder")
  assert capsys.readouterr().err.count("cannot remove") == (kind == "folder")


@pytest.mark.parametrize("how", ["flip", "truncate"])
def test_a_damaged_checkpoint_is_passed_over(tmp_path, checkpoints, capsys, how):
  save(checkpoints, 1)
  path = save(checkpoints, 2)
  whole = path.read_bytes()
  random = np.random.default_rng(0)
  for _ in range(FLIPS):
    if how == "flip":
      damage(path, int(random.integers(8 * len(whole))))
    else:
      path.write_bytes(whole[: random.integers(len(whole))])
    assert restored_step(tmp_path) == 1
    assert capsys.readouterr().err == (
      f"warning: {path} is damaged; trying the one before it.\n"
    )
    path.write_bytes(whole)
  assert restored_step(tmp_path) == 2


def test_the_best_is_passed_over_too_whatever_its_damage_pretends(
  tmp_path, checkpoints
):
  path = save(checkpoints, 1, loss=1.0)
  save(checkpoints, 2, loss=2.0)
  whole = path.read_bytes()
  entry = meta_entry(whole)
  for bit in range(8 * (entry + 6), 8 * (entry + 28)):  # From version to size.
    damage(path, bit)
    assert restored_step(tmp_path, "best") == 2
    path.write_bytes(whole)


def test_a_damaged_checkpoint_does_not_keep_a_run_from_saving(tmp_path, checkpoints):
  path = save(checkpoints, 1, loss=1.0)
  damage(path, 8 * (meta_entry(path.read_bytes()) + 8))  # It claims to be encrypted.
  later = save(Checkpoints(tmp_path, 3), 2, loss=2.0)
  assert later.exists()


def test_where_all_are_damaged_the_user_is_told_and_nothing_changes(
  tmp_path, checkpoints
):
  for step in (1, 2):
    damage(save(checkpoints, step), 1000)
  before = {path: path.read_bytes() for path in tmp_path.iterdir()}
  with pytest.raises(UserError, match=f"Every checkpoint in {tmp_path} is damaged"):
    restored_step(tmp_path)
  assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
  ("w", "answer"),
  [
    (np.zeros((2, 3), np.float32), r"float32\[3, 2\], expected float32\[2, 3\]"),
    (np.zeros((3, 2), np.float16), r"float32\[3, 2\], expected float16\[3, 2\]"),
  ],
)
def test_another_shape_or_dtype_is_refused_with_both(checkpoints, w, answer):
  save(checkpoints, 1)
  like = state()._replace(params={"net/~/linear": {"w": w}})
  with pytest.raises(UserError, match=rf"of another model: .*'w'.* is {answer}"):
    checkpoints.restore(like)


def test_a_leaf_that_the_checkpoint_lacks_is_named(checkpoints):
  save(checkpoints, 1)
  like = state()
  like.params["net/~/linear"]["b"] = np.zeros(2, np.float32)
  with pytest.raises(UserError, match=r"of another model: it has no .*'b'"):
    checkpoints.restore(like)


def test_a_leaf_that_the_model_lacks_is_named(checkpoints):
  save(checkpoints, 1)
  like = state()._replace(params={})
  with pytest.raises(UserError, match=r"of another model: it also has .*'w'"):
    checkpoints.restore(like)


def test_a_part_of_the_state_is_read_and_what_it_lacks_is_named(checkpoints):
  save(checkpoints, 1)
  like = state()._replace(moments=())
  found = checkpoints.restore(like, only=".params").tree
  np.testing.assert_array_equal(
    found.params["net/~/linear"]["w"], state(1).params["net/~/linear"]["w"]
  )
  with pytest.raises(UserError, match=r"of another model: it also has .*'w'"):
    checkpoints.restore(like._replace(params={}), only=".params")


def test_looking_at_a_run_does_not_disturb_what_it_is_saving(
  tmp_path, checkpoints, monkeypatch
):
  save(checkpoints, 1)
  savez = np.savez

  def look_meanwhile(*args, **kwargs):
    savez(*args, **kwargs)
    assert restored_step(tmp_path) == 1  # As --mode=evaluate does in another process.

  monkeypatch.setattr(np, "savez", look_meanwhile)
  save(checkpoints, 2)
  assert restored_step(tmp_path) == 2


def test_after_a_fall_back_the_steps_that_were_lost_go(tmp_path, checkpoints):
  save(checkpoints, 10)
  damage(save(checkpoints, 20), 1000)
  assert restored_step(tmp_path) == 10
  save(Checkpoints(tmp_path, 3), 15)
  assert [int(path.stem[:9]) for path in checkpoints.paths()] == [15, 10]


@pytest.mark.parametrize("keep", [1, 3])
def test_a_step_that_is_saved_again_replaces_what_was_there(tmp_path, keep):
  checkpoints = Checkpoints(tmp_path, keep)
  for seconds in range(8):  # As a run does that was interrupted twice at one step.
    path = save(checkpoints, 5, seconds=seconds)
    assert checkpoints.paths() == [path]


def test_a_damaged_step_that_is_saved_again_is_gone(tmp_path, capsys):
  checkpoints = Checkpoints(tmp_path, 1)
  for seconds in range(8):
    damage(save(checkpoints, 5, seconds=seconds), 1000)
    saved = save(checkpoints, 5, seconds=-seconds - 1)
    assert Checkpoints(tmp_path, 1).restore(state()).path == saved
  assert capsys.readouterr().err == ""


def test_a_save_that_fails_costs_no_earlier_checkpoint(
  tmp_path, checkpoints, monkeypatch
):
  save(checkpoints, 1)

  def fill_the_disk(file, **arrays):
    file.write(b"half")
    raise OSError(28, "No space left on device")

  monkeypatch.setattr(np, "savez", fill_the_disk)
  with pytest.raises(UserError, match=r"step 2 could not .*: No space left on device"):
    save(checkpoints, 2)
  assert len(list(tmp_path.iterdir())) == 1
  assert restored_step(tmp_path) == 1


def test_other_files_in_the_folder_are_left_alone(tmp_path, checkpoints):
  other = [tmp_path / name for name in ("notes.txt", "my-arrays.npz", "7-short.npz")]
  for path in other:
    path.write_bytes(b"mine")
  for step in range(1, 6):
    save(checkpoints, step)
  assert all(path.read_bytes() == b"mine" for path in other)
  assert restored_step(tmp_path) == 5
