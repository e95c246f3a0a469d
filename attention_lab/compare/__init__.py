"""Comparisons: cells to train, statistics over seeds, and the report."""
