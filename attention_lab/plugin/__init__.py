"""Registration, names, discovery and trust of components."""
