"""A command that trains with a component, for its page."""

from typing import cast

from attention_lab.architecture.base.architecture import Architecture, architectures
from attention_lab.attention.base.attention import attentions
from attention_lab.catalogue.attention import claims, usable_positions
from attention_lab.catalogue.option import options
from attention_lab.dataset.base.dataset import Dataset, datasets
from attention_lab.plugin.registry import Registry
from attention_lab.settings.table import SETTINGS

PROGRAM = "python -m attention_lab.main"
DEFAULT_POSITION, OTHER_POSITION = "rope", "sinusoidal"


def command(registry: Registry, name: str) -> str:
  """Return a command that trains with a component; "" if it needs options."""
  values = settings(registry, name)
  words = [PROGRAM, *(f"--{key}={value}" for key, value in values.items())]
  return " ".join(words) if values else ""


def settings(registry: Registry, name: str) -> dict[str, str]:
  """Return the flags of this command with their values; none if it needs options."""
  if not registry.setting or any(not x.default for x in options(registry, name)):
    return {}
  flag = SETTINGS[registry.setting].flag or f"config.{registry.setting}"
  found = {flag: name}
  if registry is attentions:
    found |= _of_attention(name)
  elif registry is datasets:
    found |= _of_dataset(name)
  elif registry is architectures:
    found |= _of_architecture(name)
  return found


def _of_attention(name: str) -> dict[str, str]:
  """Return what else to set, where the defaults do not go with an attention."""
  found = {}
  if "causal" not in claims(name).kinds:
    found = {"architecture": "encoder"} | _of_architecture("encoder")
  if DEFAULT_POSITION not in usable_positions(name):
    found["position"] = OTHER_POSITION
  return found


def _of_architecture(name: str) -> dict[str, str]:
  """Return a dataset that an architecture learns, unless it learns the default."""
  wanted = cast(type[Architecture], architectures[name]).tasks
  fitting = (each for each in datasets if _tasks(each) & set(wanted))
  return {} if "next_token" in wanted else {"dataset": next(fitting)}


def _of_dataset(name: str) -> dict[str, str]:
  """Return an architecture that learns a dataset, unless the default does."""
  fitting = [
    each
    for each in architectures
    if _tasks(name) & set(cast(type[Architecture], architectures[each]).tasks)
  ]
  return {} if "decoder_only" in fitting else {"architecture": fitting[0]}


def _tasks(dataset: str) -> set[str]:
  return set(cast(type[Dataset], datasets[dataset]).tasks)
