"""The components of docs/guides/writing_a_layer.md train together, and act."""

import json
import re
from pathlib import Path

import haiku as hk
import jax
import jax.numpy as jnp
import pytest

from attention_lab.norm.base.norm import norms
from attention_lab.plugin import discovery
from attention_lab.plugin.registry import REGISTRIES
from tests.parts import TINY

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "writing_a_layer.md"
COMPONENTS = {
  "model.block": "sandwich",
  "model.norm_layer": "scale_norm",
  "train.optimizer": "sign_sgd",
  "train.schedule": "falling",
}


@pytest.fixture
def plugins(tmp_path, monkeypatch):
  """Return the flags that load the guide's components, for one test only."""
  for registry in REGISTRIES:
    monkeypatch.setattr(registry, "_parts", dict(registry._parts))
  codes = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), flags=re.DOTALL)
  paths = [tmp_path / f"plugin_{i}.py" for i in range(len(codes))]
  for path, code in zip(paths, codes, strict=True):
    path.write_text(code)
  return [f"--plugin={path}" for path in paths]


def test_the_components_of_the_guide_train_together(plugins, command, tmp_path):
  settings = {**TINY, **COMPONENTS, "log.every": 1, "train.learning_rate": 0.01}
  words = [f"--config.{key}={value}" for key, value in settings.items()]
  folder = tmp_path / "run"
  status, out, err = command(*plugins, *words, f"--workdir={folder}")
  assert (status, err) == (0, "")
  assert "model.block=sandwich, " in out
  assert "train.schedule=falling" in out
  code = json.loads((folder / "config.json").read_text())["code"][-1]
  assert {f"plugin_{i}.py" for i in range(4)} <= {Path(name).name for name in code}


def test_the_norm_of_the_guide_has_a_gradient_at_zero(plugins):
  """An attention gives zeros to a token that no weight reaches."""
  discovery.load([flag.removeprefix("--plugin=") for flag in plugins])
  norm = hk.transform(lambda x: norms["scale_norm"](name="norm")(x).sum())
  zeros = jnp.zeros((1, 4))
  params = norm.init(None, zeros)
  gradient = jax.grad(lambda x: norm.apply(params, None, x))(zeros)
  assert jnp.isfinite(gradient).all()
