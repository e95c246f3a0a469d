"""Contract of an architecture, and code that several architectures share."""
