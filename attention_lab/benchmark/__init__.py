"""Programs to time, FLOPs, and how costs scale.

The package is callable, because `attention_lab.benchmark` is also a function of the API,
whose documentation help() shows.
"""

from attention_lab.system.callable_package import make_callable

make_callable(__name__, "attention_lab.api.benchmark.benchmark")
