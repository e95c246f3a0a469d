"""Contract of a positional scheme, and code that several schemes share."""

from attention_lab.position.base.position import (
  Position,
  positions,
  register_position,
)

__all__ = ["Position", "positions", "register_position"]
