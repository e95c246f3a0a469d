"""Defaults of attentions' options that have changed: what stored runs stand for."""

from collections.abc import Mapping
from typing import Any

from attention_lab.plugin import spec as specs

# Setting that a configuration has since the defaults below are the former ones.
MARK = "option_defaults"

# Values of options in stored runs that name none, by attention.
FORMER_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
  "differential": {"lambda_init": 0.8},
  "nystrom": {"convolution": 0},
  "performer": {"by_layer": False},
  "retention": {"relative_epsilon": False},
}


def with_former_defaults(pattern: str) -> str:
  """Return a pattern of attentions that names each former default it stands for."""
  found = specs.parse_pattern(pattern)
  if not any(spec.name in FORMER_DEFAULTS for spec in found):
    return pattern
  named = (
    specs.Spec(spec.name, {**FORMER_DEFAULTS.get(spec.name, {}), **spec.options})
    for spec in found
  )
  return ",".join(map(str, named))
