"""A budget of training tokens as the number of steps that all rows share."""

from attention_lab.compare import grid
from attention_lab.config import Config
from attention_lab.errors import UserError
from attention_lab.training import preflight


def settle_length(config: Config) -> None:
  """Replace a budget of tokens by a number of steps, in place.

  Raises:
    UserError: it is another number for some rows, or cannot be trained.
  """
  if (tokens := config.train.tokens) is None:
    return
  steps: dict[int, str] = {}  # Number of steps → the first row that has it.
  for name, row, _ in grid.rows(config):
    preflight.settle_length(row)
    steps.setdefault(row.steps, name)
  if len(steps) > 1:
    (one, first), (other, second), *_ = steps.items()
    raise UserError(
      f"--config.train.tokens={tokens} is {one:,} steps of the row {first!r} and {other:,} "
      f"of {second!r}; all rows are trained for the same number of steps."
    )
  config.steps, config.train.tokens = *steps, None
