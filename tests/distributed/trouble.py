"""A plugin: the dataset copy, with trouble on the process whose environment names it."""

import dataclasses
import os
import time

import numpy as np

import attention_lab
from attention_lab.dataset.copy import Copy

AT = 50  # The step from which on there is trouble.


def exhausted():
  """Run out of data."""
  raise IndexError("no more examples")


def raises():
  """Fail as a plugin does."""
  raise ValueError("no more of this")


TROUBLES = {
  "exhausted": exhausted,
  "raises": raises,
  "sleeps": lambda: time.sleep(600),
  "straggles": lambda: time.sleep(0.3),
}


@attention_lab.register_dataset("troubled")
@dataclasses.dataclass(kw_only=True)
class Troubled(Copy):
  """Copy, until something happens."""

  def batches(self, split, step, count, *others):
    batch = super().batches(split, step, count, *others)
    named = os.environ.get("TROUBLE") if split == "train" else None
    if named == "overflows":  # The loss of one step is no number.
      batch.weights[step + np.arange(count) == AT] = 3e38
    elif named and step >= AT:
      TROUBLES[named]()
    return batch
