"""The Transformer, equation by equation (Vaswani et al., arXiv:1706.03762).

Pure functions of arrays, to be read from top to bottom, and the oracle: with the same
parameters, the modules that are trained have to compute the same.

Shapes are written with T queries, S keys, D = d_model, K and V per head, F inner features
of the feed-forward; `...` is any number of batch axes, the same in all arguments that are
not parameters. A mask is bool, and True means *may attend*; it broadcasts to [..., queries,
keys], so a padding mask is `(ids >= 0)[..., None, :]`. None lets everybody attend. A query
that may attend to nobody receives zeros. A mask that is not bool, and heads that do not
divide the columns, are a ValueError.

Everything keeps the precision of its arguments, and works under `jit` (`h` and
`activation` are static), `vmap` and `grad`. The examples need `jnp` and this file's names.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

Activation = Callable[[jax.Array], jax.Array]


class AttentionParameters(NamedTuple):
  """Of `multi_head_attention`; head i owns the i-th K (or V) columns. Paper: no bias."""

  Wq: jax.Array  # [D, h·K]
  Wk: jax.Array  # [D, h·K]
  Wv: jax.Array  # [D, h·V]
  Wo: jax.Array  # [h·V, D]
  bq: jax.Array | None = None  # [h·K]
  bk: jax.Array | None = None  # [h·K]
  bv: jax.Array | None = None  # [h·V]
  bo: jax.Array | None = None  # [D]


class FeedForwardParameters(NamedTuple):
  """Of `position_wise_ffn`."""

  W1: jax.Array  # [D, F]
  b1: jax.Array | None  # [F]
  W2: jax.Array  # [F, D]
  b2: jax.Array | None  # [D]


class NormParameters(NamedTuple):
  """Of `layer_norm`."""

  gamma: jax.Array | None = None  # [D]
  beta: jax.Array | None = None  # [D]


class EncoderLayerParameters(NamedTuple):
  """Of `encoder_layer`: each sublayer, and the norm behind it."""

  self_attention: AttentionParameters
  self_attention_norm: NormParameters
  feed_forward: FeedForwardParameters
  feed_forward_norm: NormParameters


class DecoderLayerParameters(NamedTuple):
  """Of `decoder_layer`: each sublayer, and the norm behind it."""

  self_attention: AttentionParameters
  self_attention_norm: NormParameters
  cross_attention: AttentionParameters
  cross_attention_norm: NormParameters
  feed_forward: FeedForwardParameters
  feed_forward_norm: NormParameters


class TransformerParameters(NamedTuple):
  """Of `transformer_forward_pass`. One table may be both embeddings, as in the paper."""

  source_embedding: jax.Array  # [source vocabulary, D]
  target_embedding: jax.Array  # [target vocabulary, D]
  encoder: Sequence[EncoderLayerParameters]
  decoder: Sequence[DecoderLayerParameters]
  output: jax.Array | None = None  # [D, target vocabulary]; None: target_embeddingᵀ.
  output_bias: jax.Array | None = None  # [target vocabulary]


def scaled_dot_product_attention(
  q: jax.Array, k: jax.Array, v: jax.Array, mask: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
  """softmax(q kᵀ / √K) v, the softmax over the keys (section 3.2.1, equation 1).

  q [..., T, K], k [..., S, K], v [..., S, V], mask [..., T, S]
  → output [..., T, V] and weights [..., T, S], whose rows sum to one.

  A query that matches no key better than another receives the mean of what it may see:

  >>> q, k, v = jnp.zeros((3, 2)), jnp.zeros((3, 2)), jnp.array([[0.0], [2.0], [4.0]])
  >>> causal = jnp.tril(jnp.ones((3, 3), bool))
  >>> output, weights = scaled_dot_product_attention(q, k, v, causal)
  >>> output.tolist()
  [[0.0], [1.0], [2.0]]
  >>> weights[1].tolist()
  [0.5, 0.5, 0.0]
  """
  scores = jnp.einsum("...TK,...SK->...TS", q, k) / math.sqrt(q.shape[-1])
  mask = jnp.broadcast_to(True if mask is None else mask, scores.shape)
  if mask.dtype != bool:
    raise ValueError(f"A mask is bool (True: may attend), not {mask.dtype}.")
  # For -∞, whose softmax would be NaN in a row that admits nobody, the least number.
  scores = jnp.where(mask, scores, jnp.finfo(scores.dtype).min)
  weights = jnp.where(mask, jax.nn.softmax(scores, axis=-1), 0)
  return jnp.einsum("...TS,...SV->...TV", weights, v), weights


def multi_head_attention(
  q: jax.Array,
  k: jax.Array,
  v: jax.Array,
  Wq: jax.Array,
  Wk: jax.Array,
  Wv: jax.Array,
  Wo: jax.Array,
  mask: jax.Array | None = None,
  h: int = 8,
  bq: jax.Array | None = None,
  bk: jax.Array | None = None,
  bv: jax.Array | None = None,
  bo: jax.Array | None = None,
) -> jax.Array:
  """Concat(head_1, …, head_h) Wo, each head an attention of its own (section 3.2.2).

  q [..., T, D], k and v [..., S, D], mask [..., T, S] for all heads, and the parameters
  as in AttentionParameters → [..., T, D].

  >>> x, context, W = jnp.ones((2, 5, 4)), jnp.ones((2, 7, 4)), jnp.eye(4)
  >>> multi_head_attention(x, context, context, W, W, W, W, h=2).shape
  (2, 5, 4)
  """
  if Wq.shape[-1] % h or Wv.shape[-1] % h:
    raise ValueError(f"h={h} does not divide the columns of Wq or of Wv.")
  q, k, v = (  # [..., h, T or S, K or V]
    jnp.swapaxes(x.reshape(*x.shape[:-1], h, -1), -2, -3)
    for x in (_affine(q, Wq, bq), _affine(k, Wk, bk), _affine(v, Wv, bv))
  )
  mask = None if mask is None else jnp.expand_dims(mask, -3)  # [..., 1, T, S]
  heads, _ = scaled_dot_product_attention(q, k, v, mask)
  heads = jnp.swapaxes(heads, -2, -3)  # [..., T, h, V]
  return _affine(heads.reshape(*heads.shape[:-2], -1), Wo, bo)


def position_wise_ffn(
  x: jax.Array,
  W1: jax.Array,
  b1: jax.Array | None,
  W2: jax.Array,
  b2: jax.Array | None,
  activation: Activation = jax.nn.relu,
) -> jax.Array:
  """activation(x W1 + b1) W2 + b2, at each position alike (section 3.3, equation 2).

  x [..., T, D], W1 [D, F], b1 [F], W2 [F, D], b2 [D] → [..., T, D].

  >>> x, W1, W2 = jnp.array([[1.0, -1.0]]), jnp.eye(2), 3 * jnp.eye(2)
  >>> position_wise_ffn(x, W1, None, W2, jnp.array([0.0, 1.0])).tolist()
  [[3.0, 1.0]]
  """
  return _affine(activation(_affine(x, W1, b1)), W2, b2)


def layer_norm(
  x: jax.Array,
  gamma: jax.Array | None = None,
  beta: jax.Array | None = None,
  eps: float = 1e-6,
) -> jax.Array:
  """gamma · (x - mean) / √(variance + eps) + beta (Ba et al., arXiv:1607.06450).

  Mean and variance are of the last axis: x [..., D], gamma [D], beta [D] → [..., D].

  >>> layer_norm(jnp.array([1.0, 3.0, 5.0, 7.0]), eps=11.0).tolist()
  [-0.75, -0.25, 0.25, 0.75]
  """
  centred = x - x.mean(axis=-1, keepdims=True)
  y = centred / jnp.sqrt((centred**2).mean(axis=-1, keepdims=True) + eps)
  if gamma is not None:
    y = y * jnp.broadcast_to(gamma, y.shape)
  return _plus(y, beta)


def add_and_norm(
  x: jax.Array,
  sublayer_out: jax.Array,
  gamma: jax.Array | None = None,
  beta: jax.Array | None = None,
  eps: float = 1e-6,
) -> jax.Array:
  """LayerNorm(x + sublayer(x)): what surrounds every sublayer (section 3.1).

  x [..., D], sublayer_out [..., D], gamma [D], beta [D] → [..., D].

  >>> add_and_norm(jnp.array([0.0, 4.0]), jnp.array([1.0, -1.0])).round(3).tolist()
  [-1.0, 1.0]
  """
  return layer_norm(x + sublayer_out, gamma, beta, eps)


def positional_encoding(seq_len: int, dim_model: int) -> jax.Array:
  """PE(p, 2i) = sin(p / 10000^(2i/D)), PE(p, 2i+1) = cos of the same (section 3.5).

  → [seq_len, dim_model], of JAX's default float; dim_model is even.

  >>> (1000 * positional_encoding(2, 4)).round().tolist()
  [[0.0, 1000.0, 0.0, 1000.0], [841.0, 540.0, 10.0, 1000.0]]
  """
  if dim_model % 2:
    raise ValueError(f"Sines and cosines pair up: dim_model is even, not {dim_model}.")
  position = jnp.arange(seq_len)[:, None]
  angle = position / 10_000 ** (jnp.arange(0, dim_model, 2)[None, :] / dim_model)
  encoding = jnp.stack([jnp.sin(angle), jnp.cos(angle)], axis=-1)
  return encoding.reshape(seq_len, dim_model)


def encoder_layer(
  x: jax.Array,
  parameters: EncoderLayerParameters,
  mask: jax.Array | None = None,
  h: int = 8,
  activation: Activation = jax.nn.relu,
  eps: float = 1e-6,
) -> jax.Array:
  """Self-attention, then feed-forward, each added and normalised (section 3.1).

  x [..., S, D], mask [..., S, S] → [..., S, D].

  >>> W, norm = jnp.eye(4), NormParameters()
  >>> attention = AttentionParameters(W, W, W, W)
  >>> ffn = FeedForwardParameters(W, None, W, None)
  >>> layer = EncoderLayerParameters(attention, norm, ffn, norm)
  >>> encoder_layer(jnp.ones((2, 7, 4)), layer, h=2).shape
  (2, 7, 4)
  """
  attended = _attend(x, x, parameters.self_attention, mask, h)
  x = add_and_norm(x, attended, *parameters.self_attention_norm, eps)
  transformed = position_wise_ffn(x, *parameters.feed_forward, activation)
  return add_and_norm(x, transformed, *parameters.feed_forward_norm, eps)


def decoder_layer(
  x: jax.Array,
  memory: jax.Array,
  parameters: DecoderLayerParameters,
  mask: jax.Array | None = None,
  memory_mask: jax.Array | None = None,
  h: int = 8,
  activation: Activation = jax.nn.relu,
  eps: float = 1e-6,
) -> jax.Array:
  """Causal self-attention, attention to the memory, feed-forward (section 3.1).

  x [..., T, D], memory (the encoder's output) [..., S, D], mask [..., T, T], memory_mask
  [..., T, S] → [..., T, D]. No position sees a later one, whatever the mask admits.

  >>> W, norm = jnp.eye(4), NormParameters()
  >>> attention = AttentionParameters(W, W, W, W)
  >>> ffn = FeedForwardParameters(W, None, W, None)
  >>> layer = DecoderLayerParameters(attention, norm, attention, norm, ffn, norm)
  >>> decoder_layer(jnp.ones((2, 5, 4)), jnp.ones((2, 7, 4)), layer, h=2).shape
  (2, 5, 4)
  """
  causal = jnp.tril(jnp.ones((x.shape[-2], x.shape[-2]), bool))
  if mask is not None:
    causal = jnp.broadcast_to(causal, (*mask.shape[:-2], *causal.shape))
    causal = jnp.where(causal, mask, False)
  attended = _attend(x, x, parameters.self_attention, causal, h)
  x = add_and_norm(x, attended, *parameters.self_attention_norm, eps)
  attended = _attend(x, memory, parameters.cross_attention, memory_mask, h)
  x = add_and_norm(x, attended, *parameters.cross_attention_norm, eps)
  transformed = position_wise_ffn(x, *parameters.feed_forward, activation)
  return add_and_norm(x, transformed, *parameters.feed_forward_norm, eps)


def encoder_stack(
  x: jax.Array,
  layers: Sequence[EncoderLayerParameters],
  mask: jax.Array | None = None,
  h: int = 8,
  activation: Activation = jax.nn.relu,
  eps: float = 1e-6,
) -> jax.Array:
  """One encoder layer after another: x [..., S, D], mask [..., S, S] → [..., S, D].

  >>> W, norm = jnp.eye(4), NormParameters()
  >>> attention = AttentionParameters(W, W, W, W)
  >>> ffn = FeedForwardParameters(W, None, W, None)
  >>> layer = EncoderLayerParameters(attention, norm, ffn, norm)
  >>> encoder_stack(jnp.ones((2, 7, 4)), [layer, layer], h=2).shape
  (2, 7, 4)
  """
  for parameters in layers:
    x = encoder_layer(x, parameters, mask, h, activation, eps)
  return x


def decoder_stack(
  x: jax.Array,
  memory: jax.Array,
  layers: Sequence[DecoderLayerParameters],
  mask: jax.Array | None = None,
  memory_mask: jax.Array | None = None,
  h: int = 8,
  activation: Activation = jax.nn.relu,
  eps: float = 1e-6,
) -> jax.Array:
  """One decoder layer after another, all looking at the same memory.

  x [..., T, D], memory [..., S, D], mask [..., T, T], memory_mask [..., T, S]
  → [..., T, D].

  >>> W, norm = jnp.eye(4), NormParameters()
  >>> attention = AttentionParameters(W, W, W, W)
  >>> ffn = FeedForwardParameters(W, None, W, None)
  >>> layer = DecoderLayerParameters(attention, norm, attention, norm, ffn, norm)
  >>> decoder_stack(jnp.ones((2, 5, 4)), jnp.ones((2, 7, 4)), [layer] * 2, h=2).shape
  (2, 5, 4)
  """
  for parameters in layers:
    x = decoder_layer(x, memory, parameters, mask, memory_mask, h, activation, eps)
  return x


def transformer_forward_pass(
  source: jax.Array,
  target: jax.Array,
  parameters: TransformerParameters,
  source_mask: jax.Array | None = None,
  target_mask: jax.Array | None = None,
  h: int = 8,
  activation: Activation = jax.nn.relu,
  eps: float = 1e-6,
) -> jax.Array:
  """The whole model (figure 1, sections 3.4 and 3.5): ids to logits.

  source int [..., S] and target int [..., T] (a start token, and the answer without its
  last) → logits [..., T, target vocabulary]. Here masks are of tokens: bool [..., S] and
  [..., T], True for those that may be attended to, False for padding, whose ids may then
  be anything. An id beyond its table gives NaN.

  >>> W, norm, table = jnp.eye(4), NormParameters(), jnp.ones((9, 4))
  >>> attention = AttentionParameters(W, W, W, W)
  >>> ffn = FeedForwardParameters(W, None, W, None)
  >>> encoder = [EncoderLayerParameters(attention, norm, ffn, norm)] * 2
  >>> decoder = [
  ...   DecoderLayerParameters(attention, norm, attention, norm, ffn, norm)
  ... ] * 2
  >>> parameters = TransformerParameters(table, table, encoder, decoder)
  >>> source, target = jnp.ones((2, 7), int), jnp.ones((2, 5), int)
  >>> transformer_forward_pass(source, target, parameters, source >= 0, h=2).shape
  (2, 5, 9)
  """
  x, seen = _embed(source, source_mask, parameters.source_embedding)
  memory = encoder_stack(x, parameters.encoder, seen, h, activation, eps)
  x, own = _embed(target, target_mask, parameters.target_embedding)
  x = decoder_stack(x, memory, parameters.decoder, own, seen, h, activation, eps)
  if (output := parameters.output) is None:
    output = parameters.target_embedding.T
  return _affine(x, output, parameters.output_bias)


def _embed(
  ids: jax.Array, mask: jax.Array | None, table: jax.Array
) -> tuple[jax.Array, jax.Array | None]:
  """√D · embedding + position [..., T, D], and the mask of the tokens for all queries."""
  if mask is not None:
    if mask.shape != ids.shape:
      raise ValueError(
        f"The mask of ids {ids.shape} has their shape, not {mask.shape}."
      )
    ids, mask = jnp.where(mask, ids, 0), mask[..., None, :]
  x = math.sqrt(table.shape[-1]) * jnp.take(table, ids, axis=0)
  return _plus(x, positional_encoding(*x.shape[-2:]).astype(x.dtype)), mask


def _attend(
  x: jax.Array,
  context: jax.Array,
  parameters: AttentionParameters,
  mask: jax.Array | None,
  h: int,
) -> jax.Array:
  weights, biases = parameters[:4], parameters[4:]
  return multi_head_attention(x, context, context, *weights, mask, h, *biases)


def _affine(x: jax.Array, W: jax.Array, b: jax.Array | None) -> jax.Array:
  return _plus(x @ W, b)


def _plus(x: jax.Array, b: jax.Array | None) -> jax.Array:
  return x if b is None else x + jnp.broadcast_to(b, x.shape)
