"""Whether a model can have a prefix (Raffel et al., arXiv:1910.10683, section 3.2.2)."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from attention_lab.attention.base.attention import Attention, attentions
from attention_lab.dataset.base.dataset import Dataset
from attention_lab.errors import UserError
from attention_lab.kernel.mask import Mask, default_positions
from attention_lab.plugin.mistakes import running
from attention_lab.plugin.spec import parse

# Sizes of the proof: tokens, those of the prefix, and random inputs and parameters.
TOKENS, PREFIX, DRAWS = 6, 4, 4
ROUNDING = (
  1e-4  # Largest change of an output by rounding, relative to the largest output.
)


class Prefixed(NamedTuple):
  """A model with a prefix, as far as it may be refused."""

  architecture: str  # The setting, for messages.
  prefix: int  # Tokens.
  attentions: Mapping[str, Callable[[], Attention]]  # Builders, by spec.
  dataset: Dataset
  separates: bool  # Whether documents are kept apart.


def prefix_of(architecture: partial[Any]) -> int:
  """Return the option `prefix` of a bound architecture; 0 if it has none."""
  return int(architecture.keywords.get("prefix", 0))


def refuse_prefix(model: Prefixed) -> None:
  """Raise `UserError` unless sequences are longer than the prefix, and all parts honour it.

  An attention that declares so has to show it, on a few random tokens.
  """
  start, length = (
    f"--architecture={model.architecture!r}",
    model.dataset.sequence_length,
  )
  if model.prefix < 0:
    raise UserError(f"{start}: a prefix has 0 tokens or more.")
  if not model.prefix:
    return
  if model.prefix >= length:
    raise UserError(
      f"{start}: a sequence has {length} tokens, so that none follows the prefix. Take "
      f"prefix={length - 1} or less, or a longer sequence_length."
    )
  if model.separates:
    raise UserError(
      f"{start} has one prefix in each row, and --config.data.document_mask=true several "
      f"documents. Omit one of the two."
    )
  for name, build in model.attentions.items():
    if not attentions[parse(name).name].honours_prefix:  # type: ignore[attr-defined]
      others = [each for each in attentions if attentions[each].honours_prefix]  # type: ignore[attr-defined]
      raise UserError(
        f"{start}: the attention {name!r} does not honour a prefix, whose tokens see each "
        f"other in both directions. Use one of: {', '.join(others)}."
      )
    with running(f"The attention {name!r}"):
      found = _otherwise(build)
    if found:
      raise UserError(
        f"{start}: the attention {name!r} declares honours_prefix, but with a prefix of "
        f"{PREFIX} tokens {found}. For details, use --mode=check --attention={name!r}."
      )


def _otherwise(build: Callable[[], Attention]) -> str:
  """Return what an output reads or does not read against the mask; "" for nothing."""
  transformed, rng = hk.transform(partial(_outputs, build)), np.random.default_rng(0)
  d_model = hk.transform(lambda: build().d_model).apply({}, None)
  x, other = rng.normal(size=(2, DRAWS, TOKENS, d_model))
  replaced = np.eye(TOKENS, dtype=bool)[:, None, :, None]
  rows = np.concatenate([x[None], np.where(replaced, other, x)])
  rows = rows.reshape(-1, TOKENS, d_model).astype(np.float32)
  shapes = jax.eval_shape(transformed.init, jax.random.key(0), rows)
  params = jax.tree.map(partial(_random, rng), shapes)

  def changes(params: Any, rows: jax.Array) -> tuple[jax.Array, ...]:
    return tuple(map(_changes, transformed.apply(params, None, rows)))

  # A compiled program runs even where a caller is traced.
  measured = jax.jit(changes).lower(params, rows).compile()(params, rows)
  if not np.isfinite(
    measured
  ).all():  # Of parameters that must be positive, for example.
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
  y = y.reshape(1 + TOKENS, DRAWS, TOKENS, -1)
  change = jnp.abs(y[1:] - y[:1]).max(axis=(1, 3))
  return change.T / (jnp.abs(y).max() + 1e-30)
