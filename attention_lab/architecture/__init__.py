"""Architectures: one file each. `--architecture=name` is the file is the name."""
