"""Prepares a text in a process of its own, with small files; may kill itself.

python -m tests.dataset.text_process SPEC [SAVES]: prints how many files it saved, after
being killed in front of the file with the number SAVES, if that is given.
"""

import os
import signal
import sys

from attention_lab.dataset import text
from attention_lab.dataset.base import encoder, groups, prepared
from attention_lab.dataset.base.dataset import datasets
from attention_lab.dataset.reader import document
from attention_lab.tokenizer import bytes as _bytes  # noqa: F401
from attention_lab.tokenizer import characters  # noqa: F401

SIZES = {"PIECE": 256, "UNIT": 512, "GROUP": 2, "SHARD": 2048, "SMALL": 0}


def make_small(set_value):
  """Set sizes at which a short text has many files: set_value(module, name, value)."""
  for module in (document, groups, prepared, text):
    for name in SIZES.keys() & vars(module).keys():
      set_value(module, name, SIZES[name])
  set_value(encoder, "TRIED", 1)


def main(spec, limit=None):
  saved = []
  save = groups.save_array

  def save_array(path, array):
    if limit is not None and len(saved) == limit:
      os.kill(os.getpid(), signal.SIGKILL)
    saved.append(path)
    save(path, array)

  make_small(setattr)
  for module in (groups, prepared):
    module.save_array = save_array
  dataset = datasets.bind(spec)(data_dir="")
  print(len(saved) if dataset.encoded.folder else None, len(saved))


if __name__ == "__main__":
  main(sys.argv[1], *map(int, sys.argv[2:]))
