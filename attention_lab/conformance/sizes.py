"""Sizes of the attention under test: those that it accepts."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp

from attention_lab.attention.base.attention import Attention
from attention_lab.conformance.inputs import SHORT
from attention_lab.conformance.schemes import MAX_LENGTH
from attention_lab.errors import UserError
from attention_lab.kernel.mask import Mask
from attention_lab.position.base.position import Position


class Sizes(NamedTuple):
  """Number of heads, size of each head, and width of the model."""

  num_heads: int = 4
  key_size: int = 4
  d_model: int = 16

  def __str__(self) -> str:
    heads = "1 head" if self.num_heads == 1 else f"{self.num_heads} heads"
    return f"{heads} of size {self.key_size}, d_model {self.d_model}"


WIDE = Sizes(2, 64, 128)  # For laws that need averages over a wide head.
# Sizes to test with; the first that the attention accepts are used.
CANDIDATES = (
  Sizes(),
  Sizes(4, 8, 32),
  Sizes(2, 16, 32),
  Sizes(8, 8, 64),
  WIDE,
  Sizes(1, 16, 16),
)

# Makes an attention inside a transform.
Build = Callable[[Position, Sizes], Attention]


def first_accepted(
  build: Build, candidates: Sequence[Sizes], length: int = SHORT
) -> Attention:
  """Return the attention of the first sizes that it accepts.

  If it refuses `length` tokens whatever the sizes, the first ones are returned.

  Raises:
    UserError: it cannot be built with any of the sizes.
  """
  built: list[Attention] = []
  refusals: list[UserError] = []
  for sizes in candidates:
    try:
      return _accepted(build, sizes, length, built)
    except UserError as error:
      refusals.append(error)
  if built:
    return built[0]
  raise refusals[0]


def _accepted(
  build: Build, sizes: Sizes, length: int, built: list[Attention]
) -> Attention:
  """Return the attention of these sizes, and add it to those that were built.

  Raises:
    UserError: it refuses the sizes.
  """

  def run(x: jax.Array) -> None:
    net = build(Position(max_length=MAX_LENGTH), sizes)
    built.append(net)
    at = jnp.zeros((1, length), jnp.int32)
    try:
      net(x, x, Mask(at, at, causal="causal" in net.kinds))
    except UserError:
      raise
    except Exception:  # The laws report it.
      return

  x = jax.ShapeDtypeStruct((1, length, sizes.d_model), jnp.float32)
  jax.eval_shape(hk.transform(run).init, jax.random.key(0), x)
  return built[-1]
