"""Records of how logits were computed, so that a loss need not form them."""

import contextlib
from collections.abc import Iterator

import jax

from attention_lab.nn.cross_entropy import Head

_recorders: list[list[tuple[jax.Array, Head]]] = []


@contextlib.contextmanager
def recorded_heads() -> Iterator[list[tuple[jax.Array, Head]]]:
  """Record all logits computed inside the `with` block, each with its Head.

  The block must lie within one trace, since the records are values of that trace. If a
  model returns recorded logits unchanged, it returns the same Python object. A caller
  that then uses the Head instead lets the compiler remove the logits.
  """
  records: list[tuple[jax.Array, Head]] = []
  _recorders.append(records)
  try:
    yield records
  finally:
    _recorders.remove(records)


def record_head(logits: jax.Array, head: Head) -> jax.Array:
  """Add logits to all active records and return them."""
  for records in _recorders:
    records.append((logits, head))
  return logits
