"""Maps of a finished run are stored with the numbers of their layers."""

from types import SimpleNamespace

import numpy as np

from attention_lab.compare import maps, stored_maps
from attention_lab.compare.analysis.record import Maps, Reference
from attention_lab.experiment import assemble
from tests.parts import tiny_config


def of_run(attention, folder, monkeypatch):
  """Return the maps of a model that has just been initialised."""
  config = tiny_config(
    attention=attention, model__num_layers=3, dataset="sort(sequence_length=8)"
  )
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


def test_shares_on_what_answers_depend_on_are_stored(tmp_path):
  shares = np.array([[0.25, 0.5], [1, np.nan]], np.float32)
  one = Maps(
    ["a"], np.ones((1, 1, 1, 1), np.float32), [2], Reference([2, 5], shares, 0.1)
  )
  maps._store(tmp_path / "maps.npz", one)
  assert repr(stored_maps.read(tmp_path / "maps.npz")) == repr(one)
  maps._store(tmp_path / "maps.npz", one._replace(reference=None))
  assert stored_maps.read(tmp_path / "maps.npz").reference is None
