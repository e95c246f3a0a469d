"""Attention maps of finished runs on one text, the same for all rows."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from attention_lab.compare import reference, stored_maps
from attention_lab.compare.analysis.record import Maps
from attention_lab.config import Config
from attention_lab.decode.attention_maps import attention_weights, labels, per_layer
from attention_lab.experiment import assemble
from attention_lab.run import folder as run_folder
from attention_lab.system.files import write_file
from attention_lab.training.preflight import code_of
from attention_lab.training.restoring import restore

LONGEST = 64  # Tokens of the text that are used.


def of_run(config: Config, cell: Path, code: Mapping[str, str]) -> Maps | None:
  """Return the maps of a finished run on the start of the first validation example.

  They are stored next to the run's folder, under the name of its checkpoint and a digest
  of the code.

  Args:
    config: the run's configuration.
    cell: its folder.
    code: hashes of the code that computes the maps.

  Returns:
    None if an attention computes no weights, or not one for each pair of tokens.
  """
  path = stored_maps.path_of(cell, code)
  if path is None:
    return None
  if not path.exists():
    _store(path, _compute(config, cell))
  return stored_maps.read(path)


def _compute(config: Config, cell: Path) -> Maps:
  """Return the maps; their weights are empty if there is nothing to show."""
  experiment = assemble(config, run_folder.kept(cell))
  example = experiment.dataset.examples("validation", 0, np.zeros(1, np.int64))
  tokens = example.inputs[:, :LONGEST]
  source = None if example.source is None else example.source[:, :LONGEST]
  params = restore(experiment, cell, config, config, code_of(config)).params
  computed: Any = attention_weights(experiment, params, tokens, source)
  layers = computed["decoder"] if isinstance(computed, dict) else computed
  names = labels(experiment.dataset, tokens[0])
  maps = per_layer(layers, names, names)
  if not maps:
    return Maps(names, np.zeros((0,), np.float32), ())
  most = max(map(len, maps.values()))
  padded = [
    np.pad(heads, ((0, most - len(heads)), (0, 0), (0, 0))) for heads in maps.values()
  ]
  measured = reference.measure(experiment, params)
  return Maps(names, np.stack(padded), tuple(maps), measured)


def _store(path: Path, maps: Maps) -> None:
  arrays: dict[str, Any] = {
    "tokens": np.array(maps.tokens),
    "weights": maps.weights,
    "layers": np.array(maps.layers, np.int64),
  }
  if maps.reference is not None:
    fields = maps.reference._asdict().items()
    arrays |= {f"reference_{name}": np.array(value) for name, value in fields}
  content = io.BytesIO()
  np.savez_compressed(content, **arrays)
  write_file(path, content.getvalue())
