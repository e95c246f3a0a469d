"""Attentions that couple the rows of a batch, or use one row's padding for all."""

import jax
import jax.numpy as jnp

from attention_lab.attention.base.weighted import Weighted
from attention_lab.attention.standard import Standard
from attention_lab.kernel.mask import Mask
from tests.conformance.broken.base import Masked, breaks, difference, present


@breaks("rows.sequences_are_independent")
class MixesSequences(Standard):
  """Adds the mean over the batch."""

  def attend(self, q, k, v, mask):
    y = super().attend(q, k, v, mask)
    return y + y.mean(axis=0, keepdims=True)


@breaks("rows.sequences_are_independent")
class RollsOverBatch(Standard):
  """Shifts values along axis 0 instead of axis 1, where there are several rows."""

  def attend(self, q, k, v, mask):
    return super().attend(q, k, v + 0.1 * jnp.roll(v, 1, axis=0), mask)


@breaks("rows.sequences_are_independent")
class UsesFirstRow(Standard):
  """Computes a scale of the values from the first row for all of them."""

  def attend(self, q, k, v, mask):
    scale = jnp.sqrt((q[:1] * q[:1]).mean(axis=-1, keepdims=True) + 1e-6)
    return super().attend(q / scale, k, v, mask)


@breaks("rows.sequences_are_independent")
class ReshapesOverBatch(Weighted):
  """Divides rows and tokens together into blocks of 4, across the ends of rows."""

  def attend(self, q, k, v, mask):
    flat = v.reshape(-1, *v.shape[2:])
    flat = jnp.pad(flat, [(0, -len(flat) % 4), (0, 0), (0, 0)])
    first = jnp.repeat(flat.reshape(-1, 4, *v.shape[2:])[:, 0], 4, axis=0)
    first = first[: v.shape[0] * v.shape[1]].reshape(v.shape)
    return super().attend(q, k, v + first, mask)


@breaks("rows.sequences_are_independent")
class NormalisesOverBatch(Standard):
  """Normalises queries by their mean square over the batch: batch normalisation."""

  def attend(self, q, k, v, mask):
    square = (q * q).mean(axis=(0, 3), keepdims=True)
    return super().attend(q * jax.lax.rsqrt(square + 1e-6), k, v, mask)


@breaks("rows.batch_sizes_agree")
class DividesByBatch(Standard):
  """Divides by the number of rows."""

  def attend(self, q, k, v, mask):
    return super().attend(q, k, v, mask) / len(q)


@breaks("rows.batch_sizes_agree")
class SqueezesOneRow(Standard):
  """Takes a path of its own for one row, which omits the scale."""

  def attend(self, q, k, v, mask):
    return super().attend(q * self.key_size**0.5 if len(q) == 1 else q, k, v, mask)


@breaks("rows.batch_sizes_agree")
class PairsRows(Standard):
  """Processes rows in pairs, and repeats the last row of an odd number of rows."""

  def attend(self, q, k, v, mask):
    y = super().attend(q, k, v, mask)
    return y * (1 + len(q) % 2) if len(q) > 1 else y


@breaks("rows.ragged_rows_equal_single_rows")
class UsesFirstRowsPositions(Masked):
  """Masks all rows by the positions of the first."""

  def allowed(self, mask):
    first = Mask(mask.query_positions[:1], mask.context_positions[:1], mask.causal)
    return jnp.broadcast_to(first.dense(), difference(mask).shape)


@breaks("rows.ragged_rows_equal_single_rows")
class UsesFirstRowsPadding(Masked):
  """Masks as many first slots in all rows as the first row has padding in front."""

  def allowed(self, mask):
    start = jnp.argmax(mask.context_positions[0] >= 0)
    slots = jnp.arange(mask.context_positions.shape[1])[None, None, None]
    causal = difference(mask) >= 0 if mask.causal else True
    return jnp.ones_like(difference(mask), bool) & causal & (slots >= start)


@breaks("rows.ragged_rows_equal_single_rows")
class UsesLongestRow(Weighted):
  """Scales scores by the logarithm of the longest context in the batch."""

  kinds = ("bidirectional", "cross")

  def scores(self, q, k, mask):
    count = (mask.context_positions >= 0).sum(axis=1).max()
    return super().scores(q, k, mask) * jnp.log1p(count.astype(jnp.float32))


@breaks("rows.ragged_rows_equal_single_rows")
class SkipsCommonPadding(Masked):
  """Measures ages from the earliest first token in the batch."""

  def attend(self, q, k, v, mask):
    real = mask.context_positions >= 0
    start = jnp.argmax(real, axis=1).min()
    slot = jnp.arange(k.shape[1])[None, :, None, None]
    fade = 1 / (1 + jnp.maximum(slot - start, 0))
    return super().attend(q, k, v * fade.astype(v.dtype), mask)


@breaks("rows.ragged_rows_equal_single_rows")
class NumbersRows(Standard):
  """Perturbs values by fixed noise that depends on the row's index in the batch."""

  def attend(self, q, k, v, mask):
    row, lane = jnp.arange(len(v)), jnp.arange(self.key_size)
    noise = jnp.sin(1.0 * row[:, None] * (1 + lane)[None])[:, None, None]
    return super().attend(q, k, v + 0.1 * noise.astype(v.dtype), mask)


@breaks("rows.ragged_rows_equal_single_rows")
class DropsMaskIfAnyRowIsFull(Masked):
  """Ignores padding as soon as one row of the batch has none."""

  def allowed(self, mask):
    full = (mask.context_positions >= 0).all(axis=1).any()
    causal = difference(mask) >= 0 if mask.causal else True
    return causal & (present(mask) | full) & jnp.ones_like(difference(mask), bool)


@breaks("rows.sequences_are_independent", depth="full")
class CouplesLargeBatches(Standard):
  """Adds the first row to all others in batches of more than 8 sequences."""

  def attend(self, q, k, v, mask):
    return super().attend(q, k, v + v[:1] if len(v) > 8 else v, mask)
