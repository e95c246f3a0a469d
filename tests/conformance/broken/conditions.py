"""Attentions that see the future under a condition only: a length, a dtype, a key, …."""

import haiku as hk
import jax
import jax.numpy as jnp

from attention_lab.attention.base.weighted import Weighted
from attention_lab.errors import UserError
from tests.conformance.broken.base import Masked, breaks, difference, present


@breaks("causality.no_gradient_from_future")
class LeaksIfAligned(Masked):
  """Takes one diagonal too many in the fast path for positions 0, 1, 2, …."""

  def allowed(self, mask):
    if not (mask.causal and mask.aligned):
      return mask.dense()
    length = mask.query_positions.shape[1]
    return jnp.tri(length, k=1, dtype=bool)[None, None]


@breaks("causality.no_gradient_from_future")
class LeaksIfUnaligned(Masked):
  """Compares with the wrong sign of one in the path for any positions."""

  def allowed(self, mask):
    if mask.aligned or not mask.causal:
      return mask.dense()
    return (difference(mask) >= -1) & present(mask)


@breaks("causality.no_dependence_on_future", depth="full")
class LeaksAtTrainingLength(Masked):
  """Omits the mask where the whole training length is present."""

  def allowed(self, mask):
    if mask.query_positions.shape[1] == self.position.max_length:
      return present(mask)
    return mask.dense()


@breaks("causality.no_dependence_on_future")
class LeaksAbove128(Masked):
  """Compares positions of sequences longer than 128 in units of two."""

  def allowed(self, mask):
    if mask.query_positions.shape[1] <= 128 or not mask.causal:
      return mask.dense()
    query, context = mask.query_positions // 2, mask.context_positions // 2
    return (query[:, None, :, None] >= context[:, None, None]) & present(mask)


@breaks("causality.no_dependence_on_future", depth="full")
class LeaksFrom512(Masked):
  """Adds a global token, the mean over all tokens, to sequences of 512 and more."""

  def attend(self, q, k, v, mask):
    y = super().attend(q, k, v, mask)
    return y + v.mean(axis=1, keepdims=True) if v.shape[1] >= 512 else y


@breaks("causality.no_dependence_on_future", depth="full")
class LeaksAtWholeBlocks(Masked):
  """Attends to the query's whole block in the fast path for whole blocks of 64."""

  def allowed(self, mask):
    if mask.query_positions.shape[1] % 64 or not mask.causal:
      return mask.dense()
    query, context = mask.query_positions // 64, mask.context_positions // 64
    return (query[:, None, :, None] >= context[:, None, None]) & present(mask)


@breaks("causality.no_dependence_on_future")
class LeaksInBfloat16(Weighted):
  """Calls a fused kernel for 16 bits without `is_causal`."""

  def attend(self, q, k, v, mask):
    if q.dtype != jnp.bfloat16:
      return super().attend(q, k, v, mask)
    k, v = (x.astype(q.dtype) for x in (k, v))
    allowed = jnp.broadcast_to(present(mask), (*difference(mask).shape,))
    return jax.nn.dot_product_attention(q, k, v, mask=allowed)


@breaks("causality.no_dependence_on_future", depth="full")
class ComparesRoundedPositions(Masked):
  """Compares positions in the compute dtype: bfloat16 rounds 257 to 256."""

  def attend(self, q, k, v, mask):
    query, context = mask.query_positions, mask.context_positions
    distance = query.astype(q.dtype)[:, :, None] - context.astype(q.dtype)[:, None]
    allowed = (distance[:, None] >= 0) & present(mask) if mask.causal else mask.dense()
    return self.read_out(self.weights(self.scores(q, k, mask), allowed), v)


@breaks("causality.no_gradient_from_future")
class LeaksWithRandomKey(Weighted):
  """Adds noise in training, scaled by the deviation of the values over time."""

  def attend(self, q, k, v, mask):
    key = hk.maybe_next_rng_key()
    if key is not None:
      deviation = v.std(axis=1, keepdims=True)
      v = v + 0.1 * deviation * jax.random.normal(key, v.shape, v.dtype)
    return super().attend(q, k, v, mask)


@breaks("causality.no_gradient_from_future")
class LeaksUnlessEvaluating(Masked):
  """Masks nothing in training, which it recognises by the random key."""

  def allowed(self, mask):
    training = hk.maybe_next_rng_key() is not None
    return present(mask) if training else mask.dense()


@breaks("causality.no_dependence_on_future")
class RefusesOtherLengths(LeaksAtTrainingLength):
  """Refuses all lengths except that of training, where it omits the mask."""

  def allowed(self, mask):
    if mask.query_positions.shape[1] != self.position.max_length:
      raise UserError(f"Take sequences of {self.position.max_length} tokens.")
    return super().allowed(mask)


@breaks("causality.no_dependence_on_future")
class FailsAtOtherLengths(Masked):
  """Raises a ValueError at all lengths except 512, where it omits the mask."""

  def allowed(self, mask):
    if mask.query_positions.shape[1] != 512:
      raise ValueError("take 512 tokens")
    return present(mask)


@breaks("causality.no_gradient_from_future")
class RefusesEveryTestedLength(Masked):
  """Refuses all lengths except 1,000, so that no case of a law can be computed."""

  def allowed(self, mask):
    if mask.query_positions.shape[1] != 1_000:
      raise UserError("Take sequences of 1,000 tokens.")
    return present(mask)


@breaks("rows.batch_sizes_agree", depth="full")
class LeaksInLongBatches(Masked):
  """Omits the mask where the batch is not split into halves: for one sequence."""

  def allowed(self, mask):
    batch, length = mask.query_positions.shape
    return present(mask) if batch == 1 and length > 128 else mask.dense()


@breaks("causality.no_gradient_from_future")
class GateOpens(Masked):
  """Mixes in the mean over all tokens by a gate that is closed initially."""

  def attend(self, q, k, v, mask):
    gate = hk.get_parameter("gate", (), v.dtype, init=jnp.zeros)
    return super().attend(q, k, v, mask) + gate * v.mean(axis=1, keepdims=True)
