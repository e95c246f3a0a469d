"""Level of chance: the loss and accuracy of the best constant answer on a dataset."""

import numpy as np

from attention_lab.dataset.base.dataset import Dataset
from attention_lab.dataset.base.mixed import Mixed

EXAMPLES = 512  # Validation examples that are counted, at most, of each source.


def constant_guess(dataset: Dataset) -> dict[str, float]:
  """Return loss (nats) and accuracy of the best answer that depends on no token.

  The loss is the entropy of the validation targets' frequencies, the accuracy the
  frequency of the most frequent target.
  """
  shares = _frequencies(dataset)
  shares = shares[shares > 0]
  if not len(shares):
    return {}
  return {
    "loss": float(-(shares * np.log(shares)).sum()),
    "accuracy": float(shares.max()),
  }


def _frequencies(dataset: Dataset) -> np.ndarray:
  """Return the share of each token in the validation targets: float64 [V].

  Of a mixture they are the mean over its sources, weighted by their shares.
  """
  if isinstance(dataset, Mixed):
    shares = dataset.shares.values()
    sources = zip(shares, dataset.sources, strict=True)
    return np.sum([share * _frequencies(source) for share, source in sources], axis=0)
  rows = min(EXAMPLES, dataset.size("validation"))
  batch = dataset.examples("validation", 0, np.arange(rows))
  targets = batch.targets[batch.weights > 0]
  counts = np.bincount(targets, minlength=dataset.vocabulary.size)
  return counts / max(1, counts.sum())
