"""Sound attentions that weight the context in an unusual way."""

import dataclasses

import haiku as hk
import jax
import jax.numpy as jnp

from attention_lab.attention.base.attention import Attention
from attention_lab.attention.base.recurrent import wide
from attention_lab.attention.base.weighted import Weighted
from attention_lab.kernel.weights import softmax
from tests.conformance.broken.base import Masked, difference, present
from tests.conformance.sound.base import sound


@sound
class CastsToFloat32(Weighted):
  """Computes in float32, whatever the dtype of its inputs."""

  def attend(self, q, k, v, mask):
    q, k, v = (x.astype(jnp.float32) for x in (q, k, v))
    return super().attend(q, k, v, mask)


@sound
class KeepsFloat32Parameters(Attention):
  """Keeps its parameters in float32, and casts inputs to it."""

  honours = ()

  def __call__(self, query, context, mask):
    q, k, v = (
      self.project(x.astype(jnp.float32), name)
      for x, name in ((query, "query"), (context, "key"), (context, "value"))
    )
    scores = jnp.einsum("BTNK,BSNK->BNTS", q, k) * self.key_size**-0.5
    heads = jnp.einsum("BNTS,BSNK->BTNK", softmax(scores, mask.dense()), v)
    shape = (self.num_heads * self.key_size, self.d_model)
    init = self.output_init or hk.initializers.VarianceScaling()
    w = hk.get_parameter("output", shape, jnp.float32, init=init)
    return (heads.reshape(*heads.shape[:2], -1) @ w).astype(query.dtype)

  def project(self, x, name):
    """Apply a linear layer in float32: [B, T, D] → [B, T, N, K]."""
    shape = (self.d_model, self.num_heads * self.key_size)
    init = self.w_init or hk.initializers.VarianceScaling()
    w = hk.get_parameter(name, shape, jnp.float32, init=init)
    return (x @ w).reshape(*x.shape[:2], self.num_heads, self.key_size)


@sound
class SeesOthersOnly(Masked):
  """Attends to the previous tokens and not to the query's own."""

  kinds = ("causal",)
  sees_itself = False

  def allowed(self, mask):
    return mask.dense() & (difference(mask) > 0)


@sound
class QuantisesKeys(Weighted):
  """Quantises each key to 8 bits by a scale of its own, straight-through."""

  relative = False
  smooth = False

  def attend(self, q, k, v, mask):
    scale = jnp.abs(k).max(axis=-1, keepdims=True) / 127 + 1e-9
    error = jnp.round(k / scale) * scale - k
    return super().attend(q, k + jax.lax.stop_gradient(error), v, mask)


@sound
class DropsValues(Weighted):
  """Drops channels of the values while training."""

  rate: float = 0.1

  def attend(self, q, k, v, mask):
    key = hk.maybe_next_rng_key()
    if key is not None:
      kept = jax.random.bernoulli(key, 1 - self.rate, v.shape)
      v = jnp.where(kept, v / (1 - self.rate), 0)
    return super().attend(q, k, v, mask)


@sound
class SelectsLargest(Weighted):
  """Attends to the `count` tokens of the past with the largest scores."""

  smooth = False
  count: int = 4

  def weights(self, scores, allowed):
    masked = jnp.where(allowed, scores, jnp.finfo(scores.dtype).min)
    least = jax.lax.top_k(masked, min(self.count, scores.shape[-1]))[0][..., -1:]
    return softmax(scores, allowed & (masked >= jax.lax.stop_gradient(least)))


@sound
class GatesOutput(Weighted):
  """Multiplies its heads by a gate of the query."""

  relative = False

  def attend(self, q, k, v, mask):
    return super().attend(q, k, v, mask) * 2 * jax.nn.sigmoid(q)


@sound
class SharesOneKey(Weighted):
  """Shares one head of keys and values by default."""

  num_kv_heads: int | None = 1


@sound
class HasNoProjection(Weighted):
  """Concatenates its heads without an output projection."""

  output_projection: bool = False


@sound
class HasOwnPositions(Weighted):
  """Adds a learned bias of the distance per head, whatever the positional scheme."""

  honours = ()

  def queries(self, x, positions):
    return self.project(x, self.num_heads, "query")

  def keys_values(self, x, positions):
    return tuple(self.project(x, self.kv_heads, name) for name in ("key", "value"))

  def position_bias(self, mask):
    shape = (1, self.num_heads, 1, 1)
    slope = hk.get_parameter("slope", shape, jnp.float32, init=jnp.zeros)
    return -jax.nn.softplus(slope) * jnp.abs(difference(mask)) / 8


@sound
class ReadsAnotherSequence(Weighted):
  """Is for cross-attention only."""

  kinds = ("cross",)


@sound
class ReadsBothSides(Weighted):
  """Adds the mean over all tokens, which only bidirectional attention may."""

  kinds = ("bidirectional",)

  def attend(self, q, k, v, mask):
    mask.refuse_causal("reads_both_sides")
    mean = softmax(jnp.zeros((1, 1, 1, 1)), mask.dense()).astype(v.dtype)
    return super().attend(q, k, v, mask) + jnp.einsum("BNTS,BSMK->BTMK", mean, v)


@sound
class HasNullKey(Weighted):
  """Attends to a learned key and value, too, which every query sees."""

  relative = False

  def attend(self, q, k, v, mask):
    init = hk.initializers.RandomNormal(0.5)
    shape = (1, 1, self.num_heads, self.key_size)
    null = (
      hk.get_parameter(n, shape, k.dtype, init=init) for n in ("null_k", "null_v")
    )
    null_k, null_v = (jnp.broadcast_to(x, (len(k), *shape[1:])) for x in null)
    sink = jnp.einsum("BTNK,BSNK->BNTS", q, null_k) * self.key_size**-0.5
    scores = jnp.concatenate([self.scores(q, k, mask), sink.astype(wide(q.dtype))], -1)
    allowed = jnp.pad(mask.dense(), [(0, 0)] * 3 + [(0, 1)], constant_values=True)
    values = jnp.concatenate([v, null_v.astype(v.dtype)], axis=1)
    return self.read_out(self.weights(scores, allowed), values)


@sound
class UsesHaikuLinear(Attention):
  """Creates a `hk.Linear` for each head, by names made in a loop."""

  honours = ()

  def __call__(self, query, context, mask):
    heads = []
    for n in range(self.num_heads):
      q, k, v = (
        hk.Linear(
          self.key_size, with_bias=False, w_init=self.w_init, name=f"{name}_{n}"
        )
        for name in ("query", "key", "value")
      )
      scores = jnp.einsum("BTK,BSK->BTS", q(query), k(context)) * self.key_size**-0.5
      weights = softmax(scores, mask.dense()[:, 0])
      heads.append(jnp.einsum("BTS,BSK->BTK", weights.astype(query.dtype), v(context)))
    y = jnp.concatenate(heads, axis=-1)
    return hk.Linear(self.d_model, w_init=self.output_init, name="output")(y)


@sound
class ScoresByCosine(Weighted):
  """Scores by the cosine of query and key, times a learned temperature."""

  def scores(self, q, k, mask):
    q, k = (x.astype(wide(x.dtype)) for x in (q, k))
    q, k = (x * jax.lax.rsqrt((x * x).sum(-1, keepdims=True) + 1e-6) for x in (q, k))
    sharpness = hk.get_parameter("sharpness", (), q.dtype, init=jnp.ones)
    cosine = jnp.einsum("BTNK,BSNK->BNTS", q, k)
    return 2 * sharpness * cosine + self.position_bias(mask)


@sound
class SummarisesFinishedBlocks(Masked):
  """Adds the mean of the block before the query's own, future of no token in it."""

  relative = False
  block: int = 16

  def attend(self, q, k, v, mask):
    own, block = (
      x // self.block for x in (mask.query_positions, mask.context_positions)
    )
    before = (own[:, None, :, None] == block[:, None, None] + 1) & present(mask)
    mean = softmax(jnp.zeros((1, 1, 1, 1)), before).astype(v.dtype)
    return super().attend(q, k, v, mask) + jnp.einsum("BNTS,BSMK->BTMK", mean, v)


@sound
class RectifiesScores(Weighted):
  """Weights by rectified scores, which have a kink, in float32."""

  def weights(self, scores, allowed):
    weights = jax.nn.relu(scores.astype(jnp.float32) + 1) * allowed
    return weights / (weights.sum(axis=-1, keepdims=True) + 1)


@sound
class SharpensWithLength(Weighted):
  """Scales scores by the logarithm of the query's position."""

  relative = False

  def scores(self, q, k, mask):
    age = jnp.log1p(jnp.maximum(mask.query_positions, 0)).astype(wide(q.dtype))
    return super().scores(q, k, mask) * (1 + 0.2 * age[:, None, :, None])


@sound
class AttendsInSegments(Masked):
  """Attends to the tokens of its own segment and of the one before."""

  kinds = ("causal",)
  segment: int = 24

  def allowed(self, mask):
    own, other = (
      x // self.segment for x in (mask.query_positions, mask.context_positions)
    )
    distance = own[:, None, :, None] - other[:, None, None]
    return mask.dense() & (distance <= 1)


@sound
class MixesWithField(Weighted):
  """Has an option whose values are listed in its metadata."""

  mode: str = dataclasses.field(
    default="mean", metadata={"choices": ("mean", "last", "double")}
  )

  def attend(self, q, k, v, mask):
    y = super().attend(q, k, v, mask)
    return {"mean": y, "last": y + q, "double": 2 * y}[self.mode]
