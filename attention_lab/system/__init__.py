"""Files, locks, signals, standard output, memory, versions and caches."""
