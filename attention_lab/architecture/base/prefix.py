"""Whether a model can have a prefix (Raffel et al., arXiv:1910.10683, section 3.2.2)."""

from collections.abc import Callable
from functools import partial
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from attention_lab.architecture.base.architecture import architectures
from attention_lab.attention.base.attention import Attention, attentions
from attention_lab.dataset.base.dataset import Dataset
from attention_lab.errors import UserError
from attention_lab.kernel.mask import Mask, default_positions

# Sizes of the proof: tokens, those of the prefix, and random sequences.
TOKENS, PREFIX, COPIES = 6, 4, 4
# Largest change of an output by rounding, relative to the largest output.
ROUNDING = 1e-4


def prefix_of(architecture: str) -> int:
  """Return the option `prefix` of an architecture's spec; 0 if it has none."""
  return int(architectures.bind(architecture).keywords.get("prefix", 0))


def refuse_prefix(architecture: str, dataset: Dataset, separates: bool) -> None:
  """Raise `UserError` unless sequences are longer than the prefix, and have one.

  Args:
    architecture: spec of the architecture.
    dataset: the dataset, which knows the prefix.
    separates: whether documents are kept apart.
  """
  start, prefix = f"--architecture={architecture!r}", dataset.prefix_length
  length = dataset.sequence_length
  if prefix < 0:
    raise UserError(f"{start}: a prefix has 0 tokens or more.")
  if prefix and prefix >= length:
    raise UserError(
      f"{start}: a sequence has {length} tokens, so that none follows the prefix. Take "
      f"prefix={length - 1} or less, or a longer sequence_length."
    )
  if prefix and separates:
    raise UserError(
      f"{start} has one prefix in each row, and --config.data.document_mask=true several "
      f"documents. Omit one of the two."
    )


def refuse_without_prefix(attention: str, build: Callable[[], Attention]) -> None:
  """Raise `UserError` unless an attention that gets a prefix declares and honours it.

  That it does is shown on a few random tokens, in a pass and in decoding.

  Args:
    attention: name of the attention, for messages.
    build: makes the attention inside a transform.
  """
  declared, prefix = hk.transform(
    lambda: ((net := build()).honours_prefix, net.prefix_length)
  ).apply({}, None)
  if not prefix:
    return
  if not declared:
    others = [name for name in attentions if _honours(attentions[name])]
    raise UserError(
      f"The attention {attention!r} does not honour a prefix, whose tokens see each other "
      f"in both directions. Use one of: {', '.join(others)}."
    )
  if found := _otherwise(build):
    raise UserError(
      f"The attention {attention!r} declares honours_prefix, but with a prefix of {PREFIX} "
      f"tokens {found}. For details, use --mode=check --attention={attention!r}."
    )


def _honours(attention: Any) -> bool:
  """Return whether a registered class honours a prefix."""
  return bool(attention.honours_prefix)


def _otherwise(build: Callable[[], Attention]) -> str:
  """Return what an output reads or does not read against the mask; "" for nothing."""
  transformed, rng = hk.transform(partial(_outputs, build)), np.random.default_rng(0)
  d_model = hk.transform(lambda: build().d_model).apply({}, None)
  x, other = rng.normal(size=(2, COPIES, TOKENS, d_model))
  replaced = np.eye(TOKENS, dtype=bool)[:, None, :, None]
  rows = np.concatenate([x[None], np.where(replaced, other, x)])
  rows = rows.reshape(-1, TOKENS, d_model).astype(np.float32)
  shapes = jax.eval_shape(transformed.init, jax.random.key(0), rows)
  params = jax.tree.map(partial(_random, rng), shapes)

  def changes(params: Any, rows: jax.Array) -> tuple[jax.Array, ...]:
    return tuple(map(_changes, transformed.apply(params, None, rows)))

  # A compiled program runs even where a caller is traced.
  measured = jax.jit(changes).lower(params, rows).compile()(params, rows)
  if not np.isfinite(measured).all():  # For example, parameters have to be positive.
    return ""
  i, j = np.indices((TOKENS, TOKENS))
  seen = (j <= i) | ((i < PREFIX) & (j < PREFIX))
  for where, change in zip(
    ("", " in `extend`"), map(np.asarray, measured), strict=True
  ):
    for name, wrong in {
      "depends": ~seen & (change > ROUNDING),
      "does not depend": seen & (i < PREFIX) & (i != j) & (change == 0),
    }.items():
      if wrong.any():
        output, token = np.argwhere(wrong)[0]
        return f"output {output} {name} on token {token}{where}"
  return ""


def _outputs(
  build: Callable[[], Attention], x: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Return the outputs of a pass and of decoding: [B, T, D] → twice [B, T, D]."""
  attention = build()
  attention.kernel, attention.prefix_length = "reference", PREFIX
  at = default_positions(x)
  y = attention(x, x, Mask(at, at, causal=True, aligned=True, prefix=PREFIX))
  state = attention.initial_state(len(x), TOKENS, x.dtype)
  return y, attention.extend(x, state, at)[0]


def _random(rng: np.random.Generator, leaf: Any) -> np.ndarray:
  """Return a random parameter of a shape, so that no gate is closed."""
  fan_in = leaf.shape[0] if leaf.ndim > 1 else 1
  return (rng.normal(size=leaf.shape) / fan_in**0.5).astype(leaf.dtype)


def _changes(y: jax.Array) -> jax.Array:
  """Return the relative change of outputs by each token: [(1 + T) · R, T, D] → [T, T]."""
  y = y.reshape(1 + TOKENS, COPIES, TOKENS, -1)
  change = jnp.abs(y[1:] - y[:1]).max(axis=(1, 3))
  return change.T / (jnp.abs(y).max() + 1e-30)
