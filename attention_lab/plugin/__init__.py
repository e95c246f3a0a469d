"""How parts are registered, named, found and trusted."""
