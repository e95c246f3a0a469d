"""The contract of an attention, and what several of them share."""
