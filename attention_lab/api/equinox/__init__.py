"""Attentions as Equinox modules (extra [equinox])."""

from typing import TYPE_CHECKING, Any

from attention_lab.api import extras

if TYPE_CHECKING:
  from attention_lab.api.equinox.module import Attention as Attention

_HOMES = {"Attention": "module"}

__all__ = sorted(_HOMES)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
  return extras.load(__name__, _HOMES, "equinox", name)


def __dir__() -> list[str]:
  return __all__
