"""Classes as a notebook's cells define them, and tiny settings to compare them with."""

import linecache

MINE = """
import attention_lab as al

class MyAttention(al.Weighted):
  def weights(self, scores, allowed):
    return al.softmax(SCALE * scores, allowed)
"""
LEAKY = """
import attention_lab as al

class Leaky(al.Weighted):
  def weights(self, scores, allowed):
    return al.softmax(scores, allowed | True)
"""
# What tests add to a call that trains one run.
RUN = {
  "dataset": "copy(sequence_length=8, validation_examples=8)",
  "batch_size": 8,
  "steps": 4,
  "skip_checks": True,  # They have tests of their own, and take seconds.
  "model__d_model": 8,
  "model__num_heads": 2,
  "model__num_layers": 1,
  "sample__length": 4,
  "train__schedule": "constant",
  "log__tensorboard": False,
  "log__every": 2,
}
# What tests add to a call that compares; the same settings as flags are in `flags`.
TINY = RUN | {"match": "none", "compare__cost_lengths": ()}


def define(source, name="MyAttention", file="<cell>", stored=True, **names):
  """Return the class that a cell defines, in a namespace with other names.

  Args:
    source: the cell.
    name: the class.
    file: the name of the cell's code.
    stored: whether `linecache` knows the source, as of cells of IPython.
    **names: what other cells have defined.
  """
  names = {"__name__": "__main__of_tests", "SCALE": 2.0} | names
  if stored:
    linecache.cache[file] = len(source), None, source.splitlines(True), file
  exec(compile(source, file, "exec"), names)
  return names[name]
