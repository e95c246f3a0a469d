"""The state of the process that a call of the API must leave as it was."""

import os
import signal
import sys

import jax
import matplotlib
from absl import flags, logging

from attention_lab.plugin.registry import REGISTRIES


def found_state():
  """Return what a call must leave as it was."""
  return {
    "signals": [signal.getsignal(each) for each in signal.Signals],
    "jax": dict(jax.config.values),
    "environment": dict(os.environ),
    "streams": (sys.stdout, sys.stderr, sys.argv, list(sys.argv)),
    "flags": (flags.FLAGS.is_parsed(), logging.get_verbosity()),
    "matplotlib": dict(matplotlib.rcParams),
    "components": [list(registry) for registry in REGISTRIES],
    "folder": os.getcwd(),
  }
