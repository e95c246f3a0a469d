"""Records, metrics and statistics of a comparison."""
