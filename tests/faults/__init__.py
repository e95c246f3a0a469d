"""Faults that a run outlives."""

import os

from tests import cpu

os.environ |= cpu.environment(devices=1) | os.environ  # The suite has its own.
