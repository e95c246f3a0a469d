"""Normalisations: one file each, as in --config.model.norm_layer=name."""
