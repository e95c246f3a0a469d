"""Layers, losses and metrics as pure functions and small modules."""
