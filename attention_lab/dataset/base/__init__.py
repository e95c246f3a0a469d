"""Contract of a dataset, and code that several datasets share."""

from attention_lab.dataset.base.dataset import (
  Batch,
  Dataset,
  datasets,
  register_dataset,
)

__all__ = ["Batch", "Dataset", "datasets", "register_dataset"]
