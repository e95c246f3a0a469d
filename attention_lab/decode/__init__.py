"""Sampling, beam search, translation and attention maps."""
