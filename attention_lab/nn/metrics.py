"""What is measured at each position: cross-entropy in nats, and top-1 accuracy."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Sums(NamedTuple):
  """Weighted sums over positions: float32 scalars, or arrays of them; they add up."""

  loss: Any  # Nats.
  correct: Any  # Positions whose most likely token is the target.
  weight: Any  # Positions that count.


class Measured(NamedTuple):
  """What is measured of a split; float32 scalars, or arrays of them; they add up."""

  sums: Sums
  right: Any  # Sequences of which all positions that count are right.
  sequences: Any  # Sequences of which some position counts.


def token_sums(
  logits: jax.Array,
  targets: jax.Array,
  weights: jax.Array,
  label_smoothing: float = 0.0,
) -> Sums:
  """Sums over a batch: [B, T, V], [B, T], [B, T] → float32 scalars.

  With label smoothing ε (Szegedy et al., arXiv:1512.00567, section 7) the loss is the
  cross-entropy with 1 - ε at the target and ε spread evenly over the whole vocabulary,
  the target included: (1 - ε) · -log p(target) + ε · the mean of -log p.
  """
  logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
  log_total = jax.nn.logsumexp(logits, axis=-1)
  targets = jnp.where(weights == 0, 0, targets)  # Which may then be any number.
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
  """Sums, and those of whole sequences, from hits [B, T] bool and weights [B, T]."""
  counts = weights > 0
  wrong = counts & ~hits
  asked = counts.any(axis=1)
  return Measured(
    sums=sums,
    right=jnp.sum(asked & ~wrong.any(axis=1), dtype=jnp.float32),
    sequences=jnp.sum(asked, dtype=jnp.float32),
  )


def means(sums: Sums) -> dict[str, float]:
  """Loss and accuracy over many steps' sums on the host, added up in float64."""
  loss, correct, weight = (float(np.sum(np.asarray(x, np.float64))) for x in sums)
  return {"loss": loss / max(weight, 1.0), "accuracy": correct / max(weight, 1.0)}
