"""Plugin for tests: the dataset copy, with a fault that the environment names."""

import dataclasses
import os
import time

import numpy as np

import attention_lab
from attention_lab.dataset.copy import Copy

FAULT_STEP = 50  # First step with the fault.


def exhausted():
  """Raise the error of a dataset without more examples."""
  raise IndexError("no more examples")


def raises():
  """Raise an error of the plugin."""
  raise ValueError("invalid example")


FAULTS = {
  "exhausted": exhausted,
  "raises": raises,
  "hangs": lambda: time.sleep(600),
  "is_slow": lambda: time.sleep(0.3),
}


@attention_lab.register_dataset("faulty")
@dataclasses.dataclass(kw_only=True)
class Faulty(Copy):
  """Copy dataset, with the fault of the environment variable FAULT."""

  def batches(self, split, step, count, *others):
    batch = super().batches(split, step, count, *others)
    fault = os.environ.get("FAULT") if split == "train" else None
    if fault == "overflows":  # The loss of one step is not finite.
      batch.weights[step + np.arange(count) == FAULT_STEP] = 3e38
    elif fault and step >= FAULT_STEP:
      FAULTS[fault]()
    return batch
