"""The positional scheme of attentions for which none is named: that of their papers."""

from collections.abc import Iterable
from typing import cast

from attention_lab.attention.base.attention import HOOKS, Attention, attentions
from attention_lab.position.base.position import Position, positions

AUTO = "auto"  # What is named for it: --position=auto.


def default_position(names: Iterable[str]) -> str:
  """Return the first default of some attentions that all of them honour, else the first.

  Args:
    names: names of the attentions of one model, at least one.
  """
  classes = [cast(type[Attention], attentions[name]) for name in names]
  defaults = list(dict.fromkeys(each.default_position for each in classes))

  def suits(default: str) -> bool:
    scheme = cast(type[Position], positions.bind(default).func)
    hooks = scheme.acts() & set(HOOKS)
    return all(hooks <= set(each.honours) for each in classes)

  return next(filter(suits, defaults), defaults[0])
