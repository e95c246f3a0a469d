"""Tests of runs that are killed, interrupted and damaged."""

import os

from tests import cpu

# Variables that the test suite has set take precedence.
os.environ |= cpu.environment(devices=1) | os.environ
