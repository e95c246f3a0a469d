"""Comparison of several configurations: planning, running and collecting their runs."""
