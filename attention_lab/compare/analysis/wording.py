"""Names and phrases that every report of a comparison uses.

This module imports nothing slow: `grid`, which reads flags, uses it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

# Settings whose value is clear without the setting's name.
SELF_EXPLANATORY = ("attention", "position", "dataset", "architecture.name")


def value_text(value: Any) -> str:
  """Return a value as text; a float is shortened if that loses no digit."""
  short = f"{value:g}" if isinstance(value, float) else str(value)
  return short if not isinstance(value, float) or float(short) == value else repr(value)


def setting_text(key: str, value: Any) -> str:
  """Return a setting with its value: "learning rate 0.03", or "rope" for a position."""
  if key in SELF_EXPLANATORY:
    return value_text(value)
  return f"{setting_name(key)} {value_text(value)}"


def setting_name(key: str) -> str:
  """Return the words for a setting: "learning rate"; sizes keep their names: "d_ff"."""
  name = key.rpartition(".")[2]
  return name if name.startswith("d_") else name.replace("_", " ")


def row_name(values: Mapping[str, Any], attention: str) -> str:
  """Return the name of a row: its attention, then the other settings that vary.

  Args:
    values: setting → the row's value, for every setting that varies.
    attention: the row's attention.
  """
  others = [
    setting_text(key, value) for key, value in values.items() if key != "attention"
  ]
  return ", ".join([attention, *others])


def counted(number: int, noun: str) -> str:
  """Return a number with its noun in singular or plural: "1 seed", "2,000 steps"."""
  return f"{number:,} {noun}{'s' * (number != 1)}"


def listed(names: Sequence[str]) -> str:
  """Return names as an enumeration: "a, b and c"."""
  return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def p_value(p: float) -> str:
  """Return a p-value with two significant digits, or "< 0.0001"."""
  return f"{p:.2g}" if p >= 1e-4 else "< 0.0001"
