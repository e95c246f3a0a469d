"""The contract of an architecture, and what several of them share."""
