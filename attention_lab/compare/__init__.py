"""Comparison of several configurations: planning, running and collecting their runs.

The package is callable, because `attention_lab.compare` is also a function of the API,
whose documentation help() shows.
"""

from attention_lab.system.callable_package import make_callable

make_callable(__name__, "attention_lab.api.compare.compare")
