"""Reference attention of a trained model: its weight on what the answers depend on."""

from typing import Any

import numpy as np

from attention_lab.compare.analysis.record import Reference
from attention_lab.dataset.base.generated import Numbered
from attention_lab.decode.attention_maps import attention_weights, weights_by_layer
from attention_lab.experiment import Experiment

MOST_EXAMPLES = 64
# Pairs of tokens of all examples, at most, of which weights are computed.
PAIRS = 2**21


def measure(experiment: Experiment, params: Any) -> Reference | None:
  """Return the shares of weight on the tokens that the answers of validation depend on.

  Args:
    experiment: the model.
    params: its parameters, on the host.

  Returns:
    None if the dataset gives no such tokens, its examples are too long, or no attention
    forms weights for each pair of tokens.
  """
  dataset = experiment.dataset
  length, size = dataset.sequence_length, dataset.size("validation")
  rows = min(size, MOST_EXAMPLES, PAIRS // length**2)
  if not rows or not isinstance(dataset, Numbered):
    return None
  batch = dataset.examples("validation", 0, np.arange(rows))
  wanted = dataset.reference_attention(batch)
  if wanted is None:
    return None
  formed = attention_weights(experiment, params, batch.inputs)
  layers = weights_by_layer(formed, (length, length))
  if not layers:
    return None
  answers = np.nonzero(batch.weights > 0)
  wanted = wanted[answers]  # [answers, S]
  visible = np.tri(length) if experiment.causal else np.ones((length, length))
  (uniform,) = _shares(visible[answers[1]][:, None], wanted)
  shares = [_shares(each.swapaxes(1, 2)[answers], wanted) for each in layers.values()]
  most = max(map(len, shares))
  padded = [
    np.pad(each, (0, most - len(each)), constant_values=np.nan) for each in shares
  ]
  return Reference(tuple(layers), np.stack(padded).astype(np.float32), float(uniform))


def _shares(weights: np.ndarray, wanted: np.ndarray) -> np.ndarray:
  """Return the mean share of weight on the wanted tokens, by head: [N].

  Absolute weights are normalised to sum to 1. Answers whose weights are all 0 are left out
  of the mean.

  Args:
    weights: [answers, N, S].
    wanted: bool [answers, S].
  """
  sizes = np.abs(weights.astype(np.float64))
  total = sizes.sum(axis=2)
  share = (sizes * wanted[:, None]).sum(axis=2) / np.where(total > 0, total, 1)
  return np.asarray(share.sum(axis=0) / np.maximum((total > 0).sum(axis=0), 1))
