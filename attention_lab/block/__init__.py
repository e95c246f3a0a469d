"""Blocks, the layers of a Transformer: one file each, as in --config.model.block=name."""
