"""Several processes that train as one: how they meet, agree, watch each other and end.

Gradients cross processes inside the update, by JAX's own collectives. Beside them every
process keeps a connection to the first one: over it they agree on what to do next, and
each learns at once, and by name, when another has ended, failed or stands still.
"""
