"""The margin: the largest difference between two rows that does not matter."""

import math

from attention_lab.config import Config
from attention_lab.errors import UserError


def margin_of(config: Config) -> str:
  """Return the setting compare.margin; errors are those of `margin_from`."""
  return margin_from(config.compare.margin, "--config.compare.margin=")


def margin_from(written: str, place: str) -> str:
  """Return a margin without spaces: a number, or a share such as "50%".

  Args:
    written: the margin.
    place: the beginning of a message about it: where it is written.

  Raises:
    UserError: it is neither a number above 0 nor a share.
  """
  text = written.replace(" ", "")
  try:
    size = float(text.removesuffix("%"))
  except ValueError:
    size = -1.0
  if not 0 < size < math.inf:
    raise UserError(
      f"{place}{written}: give a difference in units of the metric that the dataset is "
      "judged by, such as 0.01, or a share of the standard deviation over seeds, such as "
      "50%."
    )
  return text
