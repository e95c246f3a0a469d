"""Programs to time, FLOPs, and how costs scale."""
