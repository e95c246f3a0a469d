"""The plugins of README and the guide train, resume, evaluate and sample."""

import re

import jax
import jax.numpy as jnp
import pytest

from attention_lab.attention.base.attention import attentions
from attention_lab.conformance import claims, decoding, numerics, padding
from attention_lab.conformance.check import verdicts
from attention_lab.conformance.law import judge
from attention_lab.conformance.subject import Subject
from attention_lab.experiment import assemble
from attention_lab.kernel.mask import default_positions
from attention_lab.plugin import discovery
from tests import commands
from tests.parts import fill, tiny_config

README = (commands.ROOT / "README.md").read_text()
GUIDE = (commands.ROOT / "docs" / "guides" / "writing_an_attention.md").read_text()
CODE = re.compile(r"```python\n(.*?)```", flags=re.DOTALL)
PLUGIN = CODE.findall(README)[0]
WITH_OPTION = CODE.findall(GUIDE)[1]  # The attention `windowed`.


@pytest.fixture
def plugin(tmp_path):
  path = tmp_path / "mine, of course.py"  # A space and a comma are allowed in a path.
  path.write_text(PLUGIN)
  return path


def test_plugin_needs_no_other_edit(plugin, tmp_path):
  workdir = tmp_path / "run"
  assert len([line for line in PLUGIN.splitlines() if line]) <= 15
  words = [*commands.TINY, "--attention=relu", f"--plugin={plugin}"]
  words += [f"--workdir={workdir}"]
  status, out, err = commands.run(*words, "--steps=2")
  assert (status, err) == (0, "")
  assert "relu attention" in out
  # A stored run needs only its folder and consent to the plugin.
  named = f"--plugin={plugin}"
  status, out, err = commands.run(f"--workdir={workdir}", named, "--steps=4")
  assert (status, err) == (0, "")
  assert "Resuming at step 2" in out
  trusting = f"--workdir={workdir}", "--trust_plugins"
  status, out, _ = commands.run("--mode=evaluate", *trusting)
  assert status == 0
  assert "step 4  validation: loss" in out
  status, out, _ = commands.run("--mode=sample", *trusting, "--prompt=ab")
  assert status == 0
  assert out.startswith("[ab]")


@pytest.fixture
def windowed(tmp_path, monkeypatch):
  """Register the guide's attention with an option for one test."""
  monkeypatch.setattr(attentions, "_parts", dict(attentions._parts))
  path = tmp_path / "windowed.py"
  path.write_text(WITH_OPTION)
  discovery.load([str(path)])


@pytest.mark.parametrize("window", [2, 3])
@pytest.mark.usefixtures("windowed")
def test_option_of_a_plugin_is_set_in_its_spec(window):
  experiment = assemble(tiny_config(attention=f"windowed(window={window})"))
  params = fill(jax.eval_shape(lambda: experiment.init(0)))
  tokens = jnp.zeros((1, 8), jnp.int32)
  positions = default_positions(tokens)
  layers = experiment.model.attention_weights(params, None, tokens, positions)
  assert int((layers[0][0][0, 0, -1] > 0).sum()) == window


@pytest.fixture
def registered(request, tmp_path, monkeypatch):
  """Register a plugin, given as text, for one test."""
  monkeypatch.setattr(attentions, "_parts", dict(attentions._parts))
  path = tmp_path / "plugin.py"
  path.write_text(request.param)
  discovery.load([str(path)])


WRONG = PLUGIN.replace("count = allowed.sum(axis=-1, keepdims=True).clip(1)", "")
WRONG = WRONG.replace("/ count", "/ scores.shape[-1]")
BROKEN = (
  padding.padding_is_ignored,
  decoding.decoding_equals_full_pass,
  claims.grouped_heads_work,
  numerics.initial_scale_is_reasonable,
)


@pytest.mark.parametrize("registered", [PLUGIN], indirect=True)
@pytest.mark.usefixtures("registered")
def test_plugin_of_readme_obeys_every_law():
  assert not [v for v in verdicts(Subject("relu", depth="quick")) if v.failed]


@pytest.mark.parametrize("registered", [WRONG], indirect=True)
@pytest.mark.usefixtures("registered")
def test_wrong_plugin_breaks_the_laws_that_readme_names():
  subject = Subject("relu")
  named = [line for line in README.splitlines() if "BROKEN  " in line]
  broken = [law.name for law in BROKEN if judge(law, subject).status == "broken"]
  assert len(broken) == len(named)
  assert all(any(name in line for line in named) for name in broken)


@pytest.mark.parametrize("registered", [WITH_OPTION], indirect=True)
@pytest.mark.usefixtures("registered")
def test_plugin_of_the_guide_decodes_as_in_a_full_pass():
  verdict = judge(decoding.decoding_equals_full_pass, Subject("windowed(window=3)"))
  assert verdict.status == "holds"
