"""Averaged parameters are the mean over the newest checkpoints only."""

import json

import jax
import numpy as np
import pytest

from attention_lab.errors import UserError
from attention_lab.experiment import assemble
from attention_lab.mode import evaluate as evaluate_mode
from attention_lab.mode import sample as sample_mode
from attention_lab.run.checkpoint import Checkpoints
from attention_lab.run.restore import restore_params
from attention_lab.training import restoring
from tests.parts import tiny_config
from tests.test_malformed import EMPTY

KEEP = 3


def config_with(**changes):
  return tiny_config(checkpoint__keep=KEEP, **changes)


@pytest.fixture(scope="module")
def experiment():
  return assemble(config_with())


def states(experiment, steps):
  """Yield states with different parameters."""
  like = jax.eval_shape(lambda: experiment.fresh(0))
  for step in steps:
    rng = np.random.default_rng(step)
    sample = lambda x, rng=rng: rng.normal(size=x.shape).astype(x.dtype)  # noqa: E731
    zeros = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), like)
    params = jax.tree.map(sample, like.params)
    yield zeros._replace(step=np.array(step, np.int32), params=params)


@pytest.fixture
def saved(experiment, tmp_path):
  """States of a run whose best checkpoint is older than the newest ones."""
  folder = tmp_path / "checkpoints"
  folder.mkdir()
  made = list(states(experiment, range(1, 6)))
  for state in made:
    loss = {"validation_loss": float(state.step)}
    checkpoints = Checkpoints(folder, KEEP)
    checkpoints.remove_old(checkpoints.save(int(state.step), state, EMPTY | loss))
  return made


@pytest.mark.parametrize("count", [1, 2, 3])
def test_mean_is_over_the_newest_checkpoints(experiment, saved, tmp_path, count):
  trained = restore_params(experiment, tmp_path, average=count, keep=KEEP)
  newest = [state.params for state in saved[-count:]]
  expected = jax.tree.map(lambda *xs: np.mean(xs, axis=0, dtype=np.float64), *newest)
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), trained.params, expected
  )
  assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(trained.params))
  assert trained.step == 5


def test_averaging_more_checkpoints_than_are_kept_is_refused(
  experiment, saved, tmp_path
):
  # The best is a fourth file, but not the fourth newest of the run.
  assert len(Checkpoints(tmp_path / "checkpoints", KEEP).paths()) == 4
  with pytest.raises(
    UserError, match=r"only 3 of the newest .*--config\.checkpoint\.keep=4"
  ):
    restore_params(experiment, tmp_path, average=4, keep=KEEP)


def test_a_damaged_checkpoint_is_not_averaged(experiment, saved, tmp_path, capsys):
  newest = Checkpoints(tmp_path / "checkpoints", KEEP).paths()[0]
  newest.write_bytes(newest.read_bytes()[:-1])
  with pytest.raises(UserError, match=r"only 2 of the newest"):
    restore_params(experiment, tmp_path, average=3, keep=KEEP)
  assert f"{newest} is damaged" in capsys.readouterr().err


def test_modes_use_the_mean_and_name_its_checkpoints(
  experiment, saved, tmp_path, monkeypatch, capsys
):
  config = config_with(evaluation__average=2)
  used = []

  def remember(run):
    def restore(*args):
      used.append(run(*args))
      return used[-1]

    return restore

  monkeypatch.setattr(restoring, "restore_params", remember(restore_params))
  for mode in (evaluate_mode, sample_mode):
    monkeypatch.setattr(mode.run_folder, "existing", lambda workdir: tmp_path)
  monkeypatch.setattr(evaluate_mode.run_folder, "refuse_other_data", lambda *_: None)
  monkeypatch.setattr(evaluate_mode.changes, "trained", lambda _: config)
  assert evaluate_mode.run(config, str(tmp_path)) == 0
  assert sample_mode.run(config, str(tmp_path)) == 0
  assert [len(trained.averaged) for trained in used] == [2, 2]
  written = json.loads((tmp_path / "evaluation.json").read_text())
  paths = Checkpoints(tmp_path / "checkpoints", KEEP).paths()
  assert written["averaged"] == [path.name for path in paths[:2]]
  assert written["checkpoint"] == paths[0].name
