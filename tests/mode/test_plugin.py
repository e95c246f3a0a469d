"""One 15-line file is an attention: it trains, evaluates, samples and resumes."""

import pytest

from tests import commands

PLUGIN = '''
"""Uniform attention: every query averages what it may see."""
import jax.numpy as jnp

import attention_lab


@attention_lab.register_attention("uniform")
class Uniform(attention_lab.MultiHead):
  """The mean of the values."""

  def attend(self, q, k, v, mask):
    scores = jnp.zeros((q.shape[0], q.shape[2], q.shape[1], k.shape[1]))
    weights = attention_lab.softmax(scores, mask.dense())
    return jnp.einsum("BNTS,BSNK->BTNK", weights, v)
'''


@pytest.fixture
def plugin(tmp_path):
  path = tmp_path / "mine, of course.py"  # A path as people have them.
  path.write_text(PLUGIN)
  return path


def test_a_plugin_needs_no_other_edit(plugin, tmp_path):
  workdir = tmp_path / "run"
  assert len(PLUGIN.strip().splitlines()) <= 15
  words = [
    *commands.TINY,
    "--attention=uniform",
    "--position=none",
    f"--plugin={plugin}",
  ]
  words += ["--config.train.schedule=constant", f"--workdir={workdir}"]
  status, out, err = commands.run(*words, "--steps=2")
  assert (status, err) == (0, "")
  assert "uniform attention" in out
  # From here on the run's folder is enough.
  status, out, err = commands.run(f"--workdir={workdir}", "--steps=4")
  assert (status, err) == (0, "")
  assert "Going on at step 2" in out
  status, out, _ = commands.run("--mode=evaluate", f"--workdir={workdir}")
  assert status == 0
  assert "step 4  validation: loss" in out
  status, out, _ = commands.run("--mode=sample", f"--workdir={workdir}", "--prompt=ab")
  assert status == 0
  assert out.startswith("ab")


def test_what_a_plugin_does_not_honour_is_refused(plugin):
  words = [*commands.TINY, "--attention=uniform", f"--plugin={plugin}"]
  status, out, err = commands.run(*words, "--position=rope")
  assert (status, out) == (2, "")
  assert "--position=rope acts by rotate, in which the attention 'uniform'" in err
