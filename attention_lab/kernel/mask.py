"""Masks: which query may attend to which context token, as structure, not [T, S]."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from attention_lab.errors import UserError
from attention_lab.kernel.documents import changes


def default_positions(tokens: jax.Array | np.ndarray) -> jax.Array:
  """Return positions 0, 1, 2, … of tokens [B, T, ...]: [B, T] int32."""
  batch, length = tokens.shape[:2]
  return jnp.broadcast_to(jnp.arange(length, dtype=jnp.int32), (batch, length))


@partial(
  jax.tree_util.register_dataclass,
  data_fields=[
    "query_positions",
    "context_positions",
    "query_segments",
    "context_segments",
  ],
  meta_fields=["causal", "aligned", "prefix"],
)
@dataclasses.dataclass(frozen=True)
class Mask:
  """Positions tell who sees whom, and with several documents their segments too.

  The same rule serves training, padding, cross-attention and an unfilled cache, and a
  linear-time attention never has to build [T, S]. With segments, a token sees its own
  document alone, and positions begin anew at each one.
  """

  query_positions: jax.Array  # [B, T] int32
  context_positions: jax.Array  # [B, S] int32; negative for padding and empty slots
  causal: bool  # Whether a query sees only positions up to its own.
  # Whether the positions on both sides are 0, 1, 2, …, with segments in each of them: then
  # indices tell how far apart two tokens are, and fully masked blocks need not be computed.
  aligned: bool = False
  # Number of each token's document, which never falls along the row; padding has that of
  # the token before it. None for one document, and for both sides.
  query_segments: jax.Array | None = None  # [B, T] int32
  context_segments: jax.Array | None = None  # [B, S] int32
  # Number of the first positions that see each other, if the mask is causal: a query sees
  # up to the last of them, or up to its own position if that is later.
  prefix: int = 0

  def refuse_causal(self, attention: str) -> None:
    """Raise `UserError` if the mask is causal, for attentions that cannot be causal."""
    if self.causal:
      raise UserError(
        f"The attention {attention!r} lets every token see every other: it takes no "
        f"causal mask, and so it cannot decode."
      )

  @property
  def both_ways(self) -> int:
    """Number of the first positions that see each other though the mask is causal."""
    return self.prefix if self.causal and self.prefix > 1 else 0

  @property
  def one_sided(self) -> bool:
    """Whether no query sees a token after it."""
    return self.causal and not self.both_ways

  @property
  def starts(self) -> jax.Array | None:
    """Whether a context token is the first of another document than the token before it.

    [B, S] bool, False for the first of the row; None for one document.
    """
    return None if self.context_segments is None else changes(self.context_segments)

  def dense(self, window: int | None = None) -> jax.Array:
    """Return [B, 1, T, S] bool, True where a query may attend to a context token.

    Args:
      window: tokens a query sees, itself included, and where the mask is not causal as
        many on its other side; None for all.
    """
    context = self.context_positions[:, None, None, :]
    query = self.query_positions[:, None, :, None]
    distance = query - context
    allowed = jnp.broadcast_to(context >= 0, distance.shape)
    if self.causal:
      last = jnp.maximum(query, self.both_ways - 1) if self.both_ways else query
      allowed &= context <= last
    if window is not None:
      allowed &= jnp.abs(distance) < window
    if self.query_segments is not None and self.context_segments is not None:
      allowed &= (
        self.query_segments[:, None, :, None] == self.context_segments[:, None, None]
      )
    return allowed
