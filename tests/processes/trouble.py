"""A plugin: the dataset copy, with trouble on the process whose environment names it."""

import dataclasses
import os
import time

import numpy as np

import attention_lab
from attention_lab.dataset.copy import Copy

AT = 50  # The step from which on there is trouble.


def exhausted(batch, steps):
  """Runs out of data."""
  raise IndexError("no more examples")


def raises(batch, steps):
  """Fails as a plugin does."""
  raise ValueError("no more of this")


def overflows(batch, steps):
  """Weighs the tokens of one step so much that their loss is no number."""
  batch.weights[steps == AT] = 3e38


TROUBLES = {
  "exhausted": exhausted,
  "raises": raises,
  "overflows": overflows,
  "sleeps": lambda batch, steps: time.sleep(600),
  "straggles": lambda batch, steps: time.sleep(0.3),
}


@attention_lab.register_dataset("troubled")
@dataclasses.dataclass(kw_only=True)
class Troubled(Copy):
  """Copy, until something happens."""

  def batches(self, split, step, count, *others):
    batch = super().batches(split, step, count, *others)
    named, steps = os.environ.get("TROUBLE"), step + np.arange(count)
    if named and split == "train" and steps[-1] >= AT:
      TROUBLES[named](batch, steps)
    return batch
