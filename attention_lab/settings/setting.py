"""One setting: its default, its help text, and the values that it accepts."""

import ast
import dataclasses
import math
from functools import partial
from typing import Any

from attention_lab.errors import UserError, nearest

# Exclusive upper bounds of numbers without a bound of their own.
LARGEST = {int: 2**31, float: 2.0**127}
MOST_LENGTHS = 100  # Of a setting that is a tuple of lengths.
BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


@dataclasses.dataclass(frozen=True)
class Setting:
  """Declares a setting.

  Attributes:
    default: its default value.
    help: what it means, with its unit; ends with a full stop.
    kind: its type, if the default is None; the setting then also accepts None.
    above: exclusive lower bound.
    at_least: inclusive lower bound.
    below: exclusive upper bound.
    at_most: inclusive upper bound.
    choices: the values that it accepts; all if empty.
    lengths: whether it is a tuple of whole numbers of 1 or more.
    texts: whether it is a tuple of texts.
    path: whether it is a path, in which "~" stands for the user's home.
    flag: name of the flag that sets it; "" if it has none.
    resumable: whether a resumed run may change it. Results do not depend on it then.
    evaluable: whether --mode=evaluate may change it. It changes no parameter's shape, or
      is refused where it does.
    former: its name in configurations that were stored by earlier versions.
    before: its value in stored configurations that lack it; None for the default.
    renamed: components that had another name in earlier versions: (former name, name).
  """

  default: Any
  help: str
  kind: type | None = None
  above: float | None = None
  at_least: float | None = None
  below: float | None = None
  at_most: float | None = None
  choices: tuple[str, ...] = ()
  lengths: bool = False
  texts: bool = False
  path: bool = False
  flag: str = ""
  resumable: bool = False
  evaluable: bool = False
  former: str = ""
  before: Any = None
  renamed: tuple[tuple[str, str], ...] = ()

  @property
  def type(self) -> type:
    """The type of its values."""
    return self.kind or type(self.default)

  @property
  def expected(self) -> str:
    """Its type in words, for messages."""
    return f"{self.type.__name__}{' of texts' * self.texts}"

  @property
  def optional(self) -> bool:
    """Whether it accepts None."""
    return self.kind is not None

  def parse(self, text: str) -> Any:
    """Return the value that a flag's text stands for.

    Raises:
      ValueError: the text is of another type.
    """
    try:
      if self.type is bool:
        return BOOLEANS[text.lower()]
      if self.type is tuple:
        value = ast.literal_eval(text)
        if self.lengths and not isinstance(value, (tuple, list)):
          return (value,)
        return tuple(value)
      return self.type(text)
    except (KeyError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
      raise ValueError(text) from error

  def of_today(self, value: Any) -> Any:
    """Return a stored value, in which a component has its name of today."""
    if not (self.renamed and isinstance(value, str)):
      return value
    name, bracket, options = value.partition("(")
    return dict(self.renamed).get(name.strip(), name) + bracket + options

  def refuse(self, flag: str, value: Any) -> None:
    """Raise `UserError` if the setting does not accept a value of its type.

    Args:
      flag: what the user types to set it.
      value: the value.
    """
    if value is None:
      return
    if isinstance(value, float) and not math.isfinite(value):
      raise UserError(f"{flag}={value}: take a finite number.")
    if self.lengths and len(value) > MOST_LENGTHS:
      raise UserError(f"{flag} has {len(value)} numbers; take at most {MOST_LENGTHS}.")
    if self.lengths and not all(_is_length(length) for length in value):
      raise UserError(f"{flag}={value}: take whole numbers of 1 or more: 128,256.")
    if self.above is not None and value <= self.above:
      raise UserError(f"{flag}={value}: take a number above {self.above}.")
    if self.at_least is not None and value < self.at_least:
      raise UserError(f"{flag}={value}: take {self.at_least} or more.")
    if self.at_most is not None and value > self.at_most:
      raise UserError(f"{flag}={value}: take {self.at_most} or less.")
    below = LARGEST.get(type(value)) if self.below is None else self.below
    if below is not None and value >= below:
      raise UserError(f"{flag}={value}: take less than {below}.")
    if self.choices and value not in self.choices:
      raise UserError(f"{flag}={value}: {nearest(value, self.choices)}")

  def accepts(self) -> str:
    """Return the accepted values as text; "" if there is nothing to say."""
    if self.choices:
      return ", ".join(self.choices)
    if self.lengths:
      return "whole numbers, 1 or more"
    bounds = {
      "above {}": self.above,
      "{} or more": self.at_least,
      "less than {}": self.below,
      "{} or less": self.at_most,
    }
    return ", ".join(
      text.format(bound) for text, bound in bounds.items() if bound is not None
    )


def _is_length(value: Any) -> bool:
  return type(value) is int and 0 < value < LARGEST[int]


# Declares a setting that results do not depend on: a resumed run may change it.
Changeable = partial(Setting, resumable=True)
