"""Attentions: one file each. `--attention=name` is the file is the registered name."""
