"""Attentions: one file each. `--attention=name` is the file is the registered name.

The package is callable, because `attention_lab.attention` is also a function of the API:
see help(attention_lab.api.attention).
"""

from attention_lab.system.callable_package import make_callable

make_callable(__name__, "attention_lab.api.attention.attention")
