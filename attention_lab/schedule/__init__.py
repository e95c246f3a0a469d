"""Learning-rate schedules: one file each, as in --config.train.schedule=name."""
