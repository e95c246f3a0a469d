"""Level of chance: the loss and accuracy of the best constant answer on a dataset."""

import numpy as np

from attention_lab.dataset.base.dataset import Dataset

EXAMPLES = 512  # Validation examples that are counted, at most.


def constant_guess(dataset: Dataset) -> dict[str, float]:
  """Return loss (nats) and accuracy of the best answer that depends on no token.

  The loss is the entropy of the validation targets' frequencies, the accuracy the
  frequency of the most frequent target.
  """
  rows = min(EXAMPLES, dataset.size("validation"))
  batch = dataset.examples("validation", 0, np.arange(rows))
  _, counts = np.unique(batch.targets[batch.weights > 0], return_counts=True)
  shares = counts / max(1, counts.sum())
  if not len(shares):
    return {}
  return {
    "loss": float(-(shares * np.log(shares)).sum()),
    "accuracy": float(shares.max()),
  }
