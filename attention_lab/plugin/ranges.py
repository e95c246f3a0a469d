"""Ranges of options, as annotations: `momentum: Annotated[float, Range(0, 1)]`."""

import typing
from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

from attention_lab.errors import UserError


class Range(NamedTuple):
  """Numbers from `least`, less than `below`; None is always inside."""

  least: float
  below: float = float("inf")

  def refuse(self, what: str, value: Any) -> None:
    """Raise `UserError` if a value is outside; `what` is the value in its spec."""
    if value is not None and not self.least <= value < self.below:
      also = f" and less than {self.below}" if self.below < float("inf") else ""
      raise UserError(f"{what}: take {self.least} or more{also}.")


Share = Annotated[float, Range(0, 1)]
NonNegative = Annotated[float, Range(0)]


def refuse_outside(name: str, component: Any, options: Mapping[str, Any]) -> None:
  """Raise `UserError` if an option of a component is outside its annotated range."""
  hints = typing.get_type_hints(component, include_extras=True)
  for option, value in options.items():
    for annotation in getattr(hints.get(option), "__metadata__", ()):
      if isinstance(annotation, Range):
        annotation.refuse(f"{name}({option}={value})", value)
