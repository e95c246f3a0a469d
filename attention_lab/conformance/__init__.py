"""The laws that --mode=check tests, and the leak check before training."""
