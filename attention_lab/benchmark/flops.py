"""Counts the matrix products of a program, loops included, without compiling it.

XLA's own count takes the body of a loop once, however often it runs.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
from jax.extend import core


def matmul_flops(function: Callable[..., Any], *arguments: Any) -> int:
  """Return the FLOPs of the matrix products of one call: two per multiply-add.

  The body of a while loop counts once, since the number of iterations is unknown; of a
  conditional, the most expensive branch counts.
  """
  return traced_flops(jax.make_jaxpr(function)(*arguments))


def traced_flops(program: core.ClosedJaxpr) -> int:
  """Return `matmul_flops` of a traced function."""
  return _count(program.jaxpr, _product_flops)


def traced_elements(program: core.ClosedJaxpr) -> int:
  """Return how many elements the operations of a traced function compute.

  Loops and conditionals count as in `matmul_flops`.
  """
  return _count(program.jaxpr, _elements)


Cost = Callable[[core.JaxprEqn], int]


def _count(program: core.Jaxpr, cost: Cost) -> int:
  return sum(_of(equation, cost) for equation in program.eqns)


def _of(equation: core.JaxprEqn, cost: Cost) -> int:
  name = equation.primitive.name
  inner = [_count(program, cost) for program in _programs(equation.params)]
  if not inner:
    return cost(equation)
  if name == "cond":
    return max(inner)
  times: int = equation.params["length"] if name == "scan" else 1
  return times * sum(inner)


def _product_flops(equation: core.JaxprEqn) -> int:
  if equation.primitive.name != "dot_general":
    return 0
  (contracted, _), _ = equation.params["dimension_numbers"]
  shape = equation.invars[0].aval.shape  # type: ignore[attr-defined]
  return 2 * _elements(equation) * math.prod(shape[axis] for axis in contracted)


def _elements(equation: core.JaxprEqn) -> int:
  shapes = [x.aval.shape for x in equation.outvars]  # type: ignore[attr-defined]
  return sum(map(math.prod, shapes))


def _programs(params: Mapping[str, Any]) -> Iterator[core.Jaxpr]:
  for value in params.values():
    for one in value if isinstance(value, (tuple, list)) else (value,):
      if isinstance(one, core.ClosedJaxpr):
        yield one.jaxpr
      elif isinstance(one, core.Jaxpr):
        yield one
