"""Architectures, one per file; `--architecture` names the file."""
