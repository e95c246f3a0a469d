"""Tuning: settings of every mechanism are chosen by runs of their own."""
