"""Metrics per position: cross-entropy in nats, and top-1 accuracy."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Sums(NamedTuple):
  """Weighted sums over positions: additive float32 scalars, or arrays of them."""

  loss: Any  # Cross-entropy, in nats.
  correct: Any  # Positions whose most likely token is the target.
  weight: Any  # Positions that count.


class Measured(NamedTuple):
  """Sums of an evaluation: additive float32 scalars, or arrays of them."""

  sums: Sums
  right: Any  # Sequences whose counted positions are all correct.
  sequences: Any  # Sequences with a position that counts.
  size: Any  # Bytes of original text that the targets which count stand for.


def token_sums(
  logits: jax.Array,
  targets: jax.Array,
  weights: jax.Array,
  label_smoothing: float = 0.0,
) -> Sums:
  """Return sums over a batch: [B, T, V], [B, T], [B, T] → float32 scalars.

  With label smoothing ε (Szegedy et al., arXiv:1512.00567, section 7) the loss is the
  cross-entropy with 1 - ε at the target and ε spread evenly over the whole vocabulary,
  the target included: (1 - ε) · -log p(target) + ε · the mean of -log p.
  """
  logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
  log_total = jax.nn.logsumexp(logits, axis=-1)
  targets = jnp.where(weights == 0, 0, targets)  # Ignored targets may be any number.
  at_target = jnp.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]
  correct = jnp.argmax(logits, axis=-1) == targets
  expected = at_target
  if label_smoothing:
    expected += label_smoothing * (logits.mean(axis=-1) - at_target)
  return Sums(
    loss=jnp.sum(weights * (log_total - expected)),
    correct=jnp.sum(weights * correct),
    weight=jnp.sum(weights),
  )


def measured(
  sums: Sums,
  hits: jax.Array,
  targets: jax.Array,
  weights: jax.Array,
  token_bytes: np.ndarray | None = None,
) -> Measured:
  """Return the sums with those of whole sequences and of original text.

  Args:
    sums: the sums over positions.
    hits: where the target is the most likely token: bool [B, T].
    targets: [B, T] integers; any number where the weight is 0.
    weights: [B, T].
    token_bytes: bytes of each token [V]; None if the tokens are not those of a text. Their
      sum is exact up to 2²⁴ bytes per batch, as that of the weights.
  """
  counts = weights > 0
  size = jnp.zeros(())
  if token_bytes is not None:
    table = jnp.asarray(token_bytes, jnp.float32)
    size = jnp.sum(weights * table.take(targets, mode="clip"))
  wrong = counts & ~hits
  counted = counts.any(axis=1)
  return Measured(
    sums=sums,
    right=jnp.sum(counted & ~wrong.any(axis=1), dtype=jnp.float32),
    sequences=jnp.sum(counted, dtype=jnp.float32),
    size=size,
  )


def perplexity(loss: float) -> float:
  """Return the exponential of a loss in nats; that of 700 for larger losses."""
  return math.exp(min(loss, 700))


def bits_per_byte(nats: float, size: float) -> float:
  """Return the bits per byte of `size` bytes of text whose loss is `nats` in total."""
  return nats / math.log(2) / size


def means(sums: Sums) -> dict[str, float]:
  """Return loss and accuracy of the sums of many steps, added in float64."""
  loss, correct, weight = (float(np.sum(np.asarray(x, np.float64))) for x in sums)
  return {"loss": loss / max(weight, 1.0), "accuracy": correct / max(weight, 1.0)}
