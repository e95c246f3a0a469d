"""Maps of a finished run are stored with the numbers of their layers."""

from types import SimpleNamespace

import numpy as np

from attention_lab.compare import maps
from attention_lab.experiment import assemble
from tests.parts import tiny_config


def of_run(attention, folder, monkeypatch):
  """Return the maps of a model that has just been initialised."""
  config = tiny_config(attention=attention, model__num_layers=3)
  params = assemble(config).init(0)
  monkeypatch.setattr(maps, "restore", lambda *_: SimpleNamespace(params=params))
  cell = folder / "seed0"
  (cell / "checkpoints").mkdir(parents=True)
  (cell / "checkpoints" / "000000004-abc.npz").touch()
  found = maps.of_run(config, cell, {})
  monkeypatch.setattr(maps, "_compute", None)  # The stored ones are read.
  assert repr(maps.of_run(config, cell, {})) == repr(found)
  return found


def test_layers_have_their_numbers_and_as_many_heads(tmp_path, monkeypatch):
  found = of_run("linear,differential,standard", tmp_path, monkeypatch)
  assert list(found.layers) == [2, 3]
  size = len(found.tokens)
  assert found.weights.shape == (2, 4, size, size)
  np.testing.assert_allclose(found.weights[1, :2].sum(axis=-1), 1, rtol=1e-5)
  assert not found.weights[1, 2:].any()  # Heads that standard attention does not have.
  assert found.weights[0, 2:].any()


def test_a_run_that_forms_no_weights_has_no_maps(tmp_path, monkeypatch):
  assert of_run("linear", tmp_path, monkeypatch) is None
