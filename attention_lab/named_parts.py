"""Attentions and positional scheme of a configuration, by their names."""

from typing import cast

from attention_lab.architecture.base.architecture import Architecture, architectures
from attention_lab.attention.base.default_position import AUTO, default_position
from attention_lab.config import Config
from attention_lab.plugin import spec as specs


def named_attentions(config: Config) -> dict[str, str]:
  """Return the attentions of places that differ from --attention, by place."""
  return {
    place: section.attention
    for place, section in config.architecture.items()
    if place != "name" and section.attention is not None
  }


def places_of(config: Config) -> dict[str, str]:
  """Return the places that have the attention of --attention, with their kinds."""
  bound = architectures.bind(config.architecture.name)
  places = cast(type[Architecture], bound.func).places
  named = named_attentions(config)
  return {place: kind for place, kind in places.items() if place not in named}


def position_of(config: Config) -> str:
  """Return the positional scheme of a configuration; "auto" is replaced."""
  if config.position != AUTO:
    return str(config.position)
  texts = [config.attention] * bool(places_of(config))
  texts += named_attentions(config).values()
  return default_position(
    spec.name for text in texts for spec in specs.parse_pattern(text)
  )


def with_position(config: Config) -> Config:
  """Return a configuration whose positional scheme is named."""
  own = config.copy_and_resolve_references()
  own.position = position_of(config)
  return own
