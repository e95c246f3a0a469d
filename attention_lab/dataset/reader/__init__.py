"""Readers of files of documents: one file per format."""
