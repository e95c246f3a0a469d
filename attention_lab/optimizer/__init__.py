"""Optimizers: one file each, as in --config.train.optimizer=name."""
