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


def measured(sums: Sums, hits: jax.Array, weights: jax.Array) -> Measured:
  """Return the sums with those of whole sequences, from hits and weights [B, T]."""
  counts = weights > 0
  wrong = counts & ~hits
  counted = counts.any(axis=1)
  return Measured(
    sums=sums,
    right=jnp.sum(counted & ~wrong.any(axis=1), dtype=jnp.float32),
    sequences=jnp.sum(counted, dtype=jnp.float32),
  )


def perplexity(loss: float) -> float:
  """Return the exponential of a loss in nats; that of 700 for larger losses."""
  return math.exp(min(loss, 700))


def means(sums: Sums) -> dict[str, float]:
  """Return loss and accuracy of the sums of many steps, added in float64."""
  loss, correct, weight = (float(np.sum(np.asarray(x, np.float64))) for x in sums)
  return {"loss": loss / max(weight, 1.0), "accuracy": correct / max(weight, 1.0)}
