"""What a comparison measured: its records, statistics and tables."""
