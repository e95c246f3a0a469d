"""Statistics, tables and figures of a comparison, and its report."""
