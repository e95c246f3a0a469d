"""The contract of a dataset, and what several of them share."""
