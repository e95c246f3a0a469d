"""Datasets: one file each. `--dataset=name` is the file is the registered name."""
