"""Catalogue: what the registries hold, described from docstrings and signatures."""
