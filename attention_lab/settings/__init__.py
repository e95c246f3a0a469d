"""The settings: one declaration each, and what derives from it."""
