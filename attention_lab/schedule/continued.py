"""A schedule that continues another one, so that a finished run trains further."""

from typing import Annotated

import optax

from attention_lab.plugin.ranges import NonNegative, Range
from attention_lab.schedule.base.schedule import (
  Schedule,
  make_schedule,
  register_schedule,
)


@register_schedule("continued")
def continued(
  peak: float,
  steps: int,
  of: str,  # The schedule that is continued.
  at: Annotated[int, Range(1)],  # The number of steps that it was planned for.
  then: str = "constant",  # The schedule from there on.
  rate: NonNegative | None = None,  # Its peak over the peak; None for the rate reached.
) -> Schedule:
  """Return `of`, planned for `at` steps, and the schedule `then` from there on.

  `then` is planned for the steps that are left, with the peak `rate` · peak; without a
  rate, with the one that `of` ends at.
  """
  before = make_schedule(of, peak, at)
  after = float(before(at)) if rate is None else rate * peak
  rest = make_schedule(then, after, max(1, steps - at))
  return optax.join_schedules([before, rest], [at])
