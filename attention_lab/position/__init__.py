"""Positional schemes: one file each. `--position=name` is the file is the name."""
