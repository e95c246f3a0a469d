"""Contract of an architecture, and code that several architectures share."""

from attention_lab.architecture.base.architecture import (
  Architecture,
  architectures,
  register_architecture,
)

__all__ = ["Architecture", "architectures", "register_architecture"]
