"""The contract of a positional scheme, and what several of them share."""
