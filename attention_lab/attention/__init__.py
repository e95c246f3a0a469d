"""Attentions: one file each, named as the attention that it registers.

The package is callable, because `attention_lab.attention` is also a function of the API,
whose documentation help() shows.
"""

from attention_lab.system.callable_package import make_callable

make_callable(__name__, "attention_lab.api.attention.attention")
