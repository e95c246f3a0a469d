"""Values of a recurrence that are wider than its keys (Sun et al., arXiv:2307.08621)."""

from attention_lab.errors import UserError


def expanded(key_size: int, expand_values: int, attention: str) -> int:
  """Return the width of values that is `expand_values` times that of keys.

  Raises:
    UserError: the factor is below 1.
  """
  if expand_values < 1:
    raise UserError(f"{attention}(expand_values={expand_values}): take 1 or more.")
  return expand_values * key_size
