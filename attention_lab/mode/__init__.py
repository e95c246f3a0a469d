"""Modes: what `--mode=name` runs, one file each with a function `run`."""
