"""Registry of optimizers, and code that several of them share."""
