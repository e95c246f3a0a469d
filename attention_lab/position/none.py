"""No positional scheme: order shows only through the causal mask (arXiv:2203.16634)."""

import dataclasses

from attention_lab.position.base.position import Position, register_position


@register_position("none")
@dataclasses.dataclass(kw_only=True)
class NoPosition(Position):
  """Leaves embeddings, queries, keys and scores as they are.

  Equation:
    x'_p = x_p
  """
