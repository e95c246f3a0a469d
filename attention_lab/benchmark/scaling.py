"""Growth of a cost with the sequence length, and crossovers: fits on log-log scales."""

from collections.abc import Mapping

import numpy as np


def exponent(cost: Mapping[int, float]) -> float:
  """Return the p of cost ~ length^p that fits {length: cost} best; two lengths or more."""
  lengths, costs = np.array(list(cost.items()), float).T
  slope, _ = np.polyfit(np.log(lengths), np.log(np.maximum(costs, 1e-30)), 1)
  return float(slope)


def crossover(first: Mapping[int, float], other: Mapping[int, float]) -> float | None:
  """Return the length from which on `other` always costs less than `first`.

  It is interpolated between lengths; None if `first` costs less at the longest.
  """
  lengths = sorted(set(first) & set(other))
  lead = [float(np.log(other[n] / first[n])) for n in lengths]  # Below 0: cheaper.
  if not lengths or lead[-1] >= 0:
    return None
  behind = [i for i, value in enumerate(lead) if value >= 0]
  if not behind:
    return float(lengths[0])
  i = behind[-1]
  share = lead[i] / (lead[i] - lead[i + 1])
  low, high = np.log(lengths[i]), np.log(lengths[i + 1])
  return float(np.exp(low + share * (high - low)))
