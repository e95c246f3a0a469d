"""Attentions as Flax modules, for NNX and for Linen (extra [flax])."""

from typing import TYPE_CHECKING, Any

from attention_lab.api import extras

if TYPE_CHECKING:
  from attention_lab.api.flax.linen import LinenAttention as LinenAttention
  from attention_lab.api.flax.nnx import Attention as Attention

_HOMES = {"Attention": "nnx", "LinenAttention": "linen"}

__all__ = sorted(_HOMES)  # noqa: PLE0605


def __getattr__(name: str) -> Any:
  return extras.load(__name__, _HOMES, "flax", name)


def __dir__() -> list[str]:
  return __all__
