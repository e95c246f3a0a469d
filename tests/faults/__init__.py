"""Faults that a run outlives."""

import os

# A process that numpy has started threads in is not safely forked.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
