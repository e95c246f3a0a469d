"""Softmax attention by positive random features, FAVOR+ (Choromanski, arXiv:2009.14794)."""

import dataclasses
from typing import Any, ClassVar, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from attention_lab.attention.base.attention import register_attention
from attention_lab.attention.base.recurrent import Normalised, Sums, where_real, wide
from attention_lab.errors import UserError
from attention_lab.kernel.documents import cumulate, ends_of
from attention_lab.kernel.mask import Mask

MOST = 65_536  # Largest number of features; they are sampled for every program.


class ScaledSums(NamedTuple):
  """The decode state: sums over keys in units of exp(top)."""

  sums: Sums
  top: jax.Array  # [B, N]: the largest exponent of a key so far, -inf before the first.


@register_attention("performer")
@dataclasses.dataclass(kw_only=True)
class Performer(Normalised):
  """Linear attention with random features, whose expected weights are softmax's.

  Exponentials overflow and vanish. What φ(q) is divided by cancels, so a query takes
  its own largest exponent. A factor of all keys cancels too.

  Equation:
    y_i = Σ_j φ(q_i)·φ(k_j) v_j / Σ_j φ(q_i)·φ(k_j)
    φ_f(x) = exp(ω_f·x' - |x'|² / 2),  x' = x / K^{1/4}

  Departures:
    - The largest exponent of all keys would tell the past about the future. Keys
      subtract the largest so far instead, and where it grows, the sums so far shrink,
      which is a recurrence with decay.
    - With `redrawn=True` the features are drawn anew at each training step, in the paper
      every 1,000 steps. Evaluation and decoding, which have no random key, use those of
      the seed.
    - All heads of a layer have the same features.
  """

  relative: ClassVar[bool] = False  # Random directions are not turned with the vectors.

  features: int = 128  # Random features of a head.
  seed: int = 0  # Of the random features.
  by_layer: bool = True  # Whether each layer has features of its own.
  # Whether each training step draws features from its random key.
  redrawn: bool = False

  def __call__(self, query: jax.Array, context: jax.Array, mask: Mask) -> jax.Array:
    key = hk.maybe_next_rng_key() if self.redrawn else None
    if key is not None:
      self._redrawn = redrawn_orthogonal(key, self.feature_size, self.key_size)
    return super().__call__(query, context, mask)

  @property
  def feature_size(self) -> int:
    if not 1 <= self.features <= MOST:
      raise UserError(f"features={self.features}: take 1 to {MOST:,}.")
    if self.seed < 0:
      raise UserError(f"seed={self.seed} is negative. Take 0 or more.")
    return self.features

  def initial_state(self, batch_size: int, length: int, dtype: Any) -> ScaledSums:
    top = jnp.full((batch_size, self.num_heads), -jnp.inf, wide(dtype))
    return ScaledSums(super().initial_state(batch_size, length, dtype), top)

  def query_features(self, x: jax.Array, positions: jax.Array) -> jax.Array:
    q = self.position.rotate(self.project(x, "query"), positions)
    exponents = self._exponents(q * self.position.score_scale)
    top = jax.lax.stop_gradient(exponents.max(axis=-1, keepdims=True))
    return jnp.exp(exponents - top)

  def key_features(self, x: jax.Array, positions: jax.Array) -> jax.Array:
    """Return the exponents; `advance` normalises them."""
    k = self.project(x, "key")
    return self._exponents(self.position.rotate_keys(k, positions))

  def advance(
    self, query: jax.Array, context: jax.Array, mask: Mask, state: Any
  ) -> tuple[jax.Array, Any]:
    q = self.query_features(query, mask.query_positions)
    exponents = self.key_features(context, mask.context_positions)
    v = self.project(context, "value")
    real = mask.context_positions[..., None] >= 0
    own = jax.lax.stop_gradient(jnp.where(real, exponents.max(axis=-1), -jnp.inf))
    top, log_decay = _tops(own, state.top, mask)
    unit = jnp.where(jnp.isfinite(top), top, 0)[..., None]
    k = jnp.exp(where_real(mask.context_positions, exponents - unit))
    k = where_real(mask.context_positions, k)
    heads, sums = self.mean(q, k, v, mask, state.sums, log_decay)
    return heads, ScaledSums(sums, top[:, -1])

  def _exponents(self, x: jax.Array) -> jax.Array:
    """Return ω_f·x' - |x'|² / 2: [B, T, N, K] → [B, T, N, F]."""
    x = x.astype(wide(x.dtype)) * self.key_size**-0.25
    directions = jnp.asarray(self._directions(), x.dtype)
    square = (x * x).sum(axis=-1, keepdims=True)
    return jnp.einsum("BTNK,FK->BTNF", x, directions) - square / 2

  def _directions(self) -> np.ndarray | jax.Array:
    """Return ω: [F, K]."""
    if (redrawn := getattr(self, "_redrawn", None)) is not None:
      return redrawn
    size = (self.feature_size, self.key_size)
    layer = self.layer if self.by_layer else 1
    if isinstance(layer, int):
      return orthogonal(*size, self.seed, layer)
    every = [orthogonal(*size, self.seed, i + 1) for i in range(self.num_layers)]
    return jnp.asarray(np.stack(every))[layer - 1]  # Layers are scanned.


def _tops(
  own: jax.Array, before: jax.Array, mask: Mask
) -> tuple[jax.Array, jax.Array | None]:
  """Return the exponent that the keys of each token subtract, and the decay of the sums.

  Args:
    own: the largest exponent of each token's key, -inf for padding: [B, S, N].
    before: the largest before the first token: [B, N].
    mask: if it is causal, a token subtracts the largest so far, else that of all tokens of
      its document.

  Returns:
    [B, S, N], or [B, 1, N] for one document without causality; and [B, S, N], or None for
    no decay.
  """
  starts = mask.starts
  if not mask.causal:
    if starts is None:
      return jnp.maximum(before, own.max(axis=1))[:, None], None
    so_far = cumulate(jnp.maximum, own, starts[..., None], axis=1)
    ends = ends_of(starts)[..., None]
    return cumulate(jnp.maximum, so_far, ends, axis=1, reverse=True), None
  so_far = jnp.concatenate([before[:, None], own], axis=1)
  if starts is None:
    so_far = jax.lax.cummax(so_far, axis=1)
    return so_far[:, 1:], _fall(so_far, True)
  begins = jnp.pad(starts, ((0, 0), (1, 0)))[..., None]
  so_far = cumulate(jnp.maximum, so_far, begins, axis=1)
  return so_far[:, 1:], _fall(so_far, ~starts[..., None])  # Nothing is left to decay.


def _fall(so_far: jax.Array, decays: Any) -> jax.Array:
  """Return the log decay that a growing exponent causes: [B, 1 + S, N] → [B, S, N]."""
  before, top = so_far[:, :-1], so_far[:, 1:]
  return jnp.where(jnp.isfinite(before) & decays, before - top, 0)


def orthogonal(features: int, size: int, seed: int, layer: int = 1) -> np.ndarray:
  """Normal vectors [F, K], of which each K in a row are orthogonal to each other."""
  # In the first layer they are those of `seed` alone: zeros behind it change nothing.
  rng = np.random.default_rng([seed, layer - 1])
  blocks = []
  for _ in range(-(-features // size)):
    q, r = np.linalg.qr(rng.normal(size=(size, size)))
    blocks.append((q * np.sign(np.diag(r))).T)  # So that all rotations are as likely.
  lengths = np.linalg.norm(rng.normal(size=(features, size)), axis=-1, keepdims=True)
  return np.concatenate(blocks)[:features] * lengths


def redrawn_orthogonal(key: jax.Array, features: int, size: int) -> jax.Array:
  """Return vectors [F, K] of the same distribution as `orthogonal`, from a random key."""
  turns, lengths = jax.random.split(key)
  square = jax.random.normal(turns, (-(-features // size), size, size))
  q, r = jnp.linalg.qr(square)
  signs = jnp.sign(jnp.diagonal(r, axis1=-2, axis2=-1))
  rows = (q * signs[:, None, :]).mT.reshape(-1, size)[:features]
  normal = jax.random.normal(lengths, (features, size))
  return rows * jnp.linalg.norm(normal, axis=-1, keepdims=True)
