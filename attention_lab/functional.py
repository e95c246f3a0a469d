"""The Transformer, equation by equation (Vaswani et al., arXiv:1706.03762).

Pure functions of arrays, with which the tests compare the trained modules. They keep the
precision of their arguments, and support `vmap`, `grad` and `jit` (with static `h` and
`activation`).

Shapes have T queries, S keys, D = d_model, heads of sizes K and V, F inner features of the
feed-forward network, and any batch axes `...`, which must be equal in all arguments but
parameters. Masks are bool, True where a query may attend to a key, and broadcast to
[..., queries, keys]: `(ids >= 0)[..., None, :]` masks padding, None masks nothing. A query
that may attend to no key receives zeros. Masks of another dtype, and `h` that does not
divide the columns, raise a ValueError. The examples share these values:

>>> W, norm, table = jnp.eye(4), NormParameters(), jnp.ones((9, 4))
>>> attention = AttentionParameters(W, W, W, W)
>>> ffn = FeedForwardParameters(W, None, W, None)
>>> encoder = EncoderLayerParameters(attention, norm, ffn, norm)
>>> decoder = DecoderLayerParameters(attention, norm, attention, norm, ffn, norm)
>>> x, context = jnp.ones((2, 5, 4)), jnp.ones((2, 7, 4))
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

Activation = Callable[[Array], Array]


class AttentionParameters(NamedTuple):
  """Parameters of `multi_head_attention`; head i uses the i-th K (or V) columns."""

  Wq: Array  # [D, h·K]
  Wk: Array  # [D, h·K]
  Wv: Array  # [D, h·V]
  Wo: Array  # [h·V, D]
  bq: Array | None = None  # [h·K]; the paper has no biases
  bk: Array | None = None  # [h·K]
  bv: Array | None = None  # [h·V]
  bo: Array | None = None  # [D]


class FeedForwardParameters(NamedTuple):
  """Parameters of `position_wise_ffn`."""

  W1: Array  # [D, F]
  b1: Array | None  # [F]
  W2: Array  # [F, D]
  b2: Array | None  # [D]


class NormParameters(NamedTuple):
  """Parameters of `layer_norm`."""

  gamma: Array | None = None  # [D]
  beta: Array | None = None  # [D]


class EncoderLayerParameters(NamedTuple):
  """Parameters of `encoder_layer`: each sublayer, and the norm after it."""

  self_attention: AttentionParameters
  self_attention_norm: NormParameters
  feed_forward: FeedForwardParameters
  feed_forward_norm: NormParameters


class DecoderLayerParameters(NamedTuple):
  """Parameters of `decoder_layer`: each sublayer, and the norm after it."""

  self_attention: AttentionParameters
  self_attention_norm: NormParameters
  cross_attention: AttentionParameters
  cross_attention_norm: NormParameters
  feed_forward: FeedForwardParameters
  feed_forward_norm: NormParameters


class TransformerParameters(NamedTuple):
  """Parameters of `transformer_forward_pass`; the paper has one table for embeddings."""

  source_embedding: Array  # [source vocabulary, D]
  target_embedding: Array  # [target vocabulary, D]
  encoder: Sequence[EncoderLayerParameters]
  decoder: Sequence[DecoderLayerParameters]
  output: Array | None = None  # [D, target vocabulary]; None: target_embeddingᵀ.
  output_bias: Array | None = None  # [target vocabulary]


def scaled_dot_product_attention(
  q: Array, k: Array, v: Array, mask: Array | None = None
) -> tuple[Array, Array]:
  """Compute softmax(q kᵀ / √K) v, with the softmax over keys (section 3.2.1, equation 1).

  q [..., T, K], k [..., S, K], v [..., S, V], mask [..., T, S]
  → output [..., T, V] and weights [..., T, S], whose rows sum to one.

  If all scores are equal, each query receives the mean of the values it may attend to:

  >>> q, k, v = jnp.zeros((3, 2)), jnp.zeros((3, 2)), jnp.array([[0.0], [2.0], [4.0]])
  >>> causal = jnp.tril(jnp.ones((3, 3), bool))
  >>> output, weights = scaled_dot_product_attention(q, k, v, causal)
  >>> output.tolist(), weights[1].tolist()
  ([[0.0], [1.0], [2.0]], [0.5, 0.5, 0.0])
  """
  scores = jnp.einsum("...TK,...SK->...TS", q, k) / math.sqrt(q.shape[-1])
  mask = jnp.broadcast_to(True if mask is None else mask, scores.shape)
  if mask.dtype != bool:
    raise ValueError(f"A mask must be bool (True: may attend), not {mask.dtype}.")
  # The smallest number instead of -∞, with which a fully masked row would be NaN.
  scores = jnp.where(mask, scores, jnp.finfo(scores.dtype).min)
  weights = jnp.where(mask, jax.nn.softmax(scores, axis=-1), 0)
  return jnp.einsum("...TS,...SV->...TV", weights, v), weights


def multi_head_attention(
  q: Array, k: Array, v: Array,
  Wq: Array, Wk: Array, Wv: Array, Wo: Array,
  mask: Array | None = None, h: int = 8,
  bq: Array | None = None, bk: Array | None = None,
  bv: Array | None = None, bo: Array | None = None,
) -> Array:  # fmt: skip
  """Compute Concat(head_1, …, head_h) Wo, where each head is an attention (section 3.2.2).

  q [..., T, D], k, v [..., S, D], mask [..., T, S], AttentionParameters → [..., T, D].

  >>> multi_head_attention(x, context, context, W, W, W, W, h=2).shape
  (2, 5, 4)
  """
  if Wq.shape[-1] % h or Wv.shape[-1] % h:
    raise ValueError(f"h={h} must divide the number of columns of Wq and of Wv.")
  q, k, v = (  # [..., h, T or S, K or V]
    jnp.swapaxes(x.reshape(*x.shape[:-1], h, -1), -2, -3)
    for x in (_add_bias(q @ Wq, bq), _add_bias(k @ Wk, bk), _add_bias(v @ Wv, bv))
  )
  mask = None if mask is None else jnp.expand_dims(mask, -3)  # [..., 1, T, S]
  heads, _ = scaled_dot_product_attention(q, k, v, mask)
  heads = jnp.swapaxes(heads, -2, -3)  # [..., T, h, V]
  return _add_bias(heads.reshape(*heads.shape[:-2], -1) @ Wo, bo)


def position_wise_ffn(
  x: Array, W1: Array, b1: Array | None, W2: Array, b2: Array | None,
  activation: Activation = jax.nn.relu,
) -> Array:  # fmt: skip
  """Compute activation(x W1 + b1) W2 + b2 at each position (section 3.3, equation 2).

  x [..., T, D], W1 [D, F], b1 [F], W2 [F, D], b2 [D] → [..., T, D].

  >>> x, W1, W2 = jnp.array([[1.0, -1.0]]), jnp.eye(2), 3 * jnp.eye(2)
  >>> position_wise_ffn(x, W1, None, W2, jnp.array([0.0, 1.0])).tolist()
  [[3.0, 1.0]]
  """
  return _add_bias(activation(_add_bias(x @ W1, b1)) @ W2, b2)


def layer_norm(
  x: Array, gamma: Array | None = None, beta: Array | None = None, eps: float = 1e-6
) -> Array:
  """Compute gamma · (x - mean) / √(variance + eps) + beta (Ba et al., arXiv:1607.06450).

  Mean and variance are over the last axis: x [..., D], gamma [D], beta [D] → [..., D].

  >>> layer_norm(jnp.array([1.0, 3.0, 5.0, 7.0]), eps=11.0).tolist()
  [-0.75, -0.25, 0.25, 0.75]
  """
  centred = x - x.mean(axis=-1, keepdims=True)
  y = centred / jnp.sqrt((centred**2).mean(axis=-1, keepdims=True) + eps)
  if gamma is not None:
    y = y * jnp.broadcast_to(gamma, y.shape)
  return _add_bias(y, beta)


def add_and_norm(
  x: Array, sublayer_out: Array,
  gamma: Array | None = None, beta: Array | None = None, eps: float = 1e-6,
) -> Array:  # fmt: skip
  """Compute LayerNorm(x + sublayer(x)), with x and sublayer_out [..., D] (section 3.1).

  >>> add_and_norm(jnp.array([0.0, 4.0]), jnp.array([1.0, -1.0])).round(3).tolist()
  [-1.0, 1.0]
  """
  return layer_norm(x + sublayer_out, gamma, beta, eps)


def positional_encoding(seq_len: int, dim_model: int) -> Array:
  """Compute PE(p, 2i) = sin(p / 10000^(2i/D)) and PE(p, 2i+1), its cosine (section 3.5).

  → [seq_len, dim_model], of JAX's default float dtype; dim_model must be even.

  >>> (1000 * positional_encoding(2, 4)).round().tolist()
  [[0.0, 1000.0, 0.0, 1000.0], [841.0, 540.0, 10.0, 1000.0]]
  """
  if dim_model % 2:
    raise ValueError(f"dim_model must be even (sine and cosine), not {dim_model}.")
  position = jnp.arange(seq_len)[:, None]
  angle = position / 10_000 ** (jnp.arange(0, dim_model, 2)[None, :] / dim_model)
  encoding = jnp.stack([jnp.sin(angle), jnp.cos(angle)], axis=-1)
  return encoding.reshape(seq_len, dim_model)


def encoder_layer(
  x: Array, parameters: EncoderLayerParameters, mask: Array | None = None,
  h: int = 8, activation: Activation = jax.nn.relu, eps: float = 1e-6,
) -> Array:  # fmt: skip
  """Apply self-attention and feed-forward, each with residual and norm (section 3.1).

  x [..., S, D], mask [..., S, S] → [..., S, D].

  >>> encoder_layer(context, encoder, h=2).shape
  (2, 7, 4)
  """
  attended = _attend(x, x, parameters.self_attention, mask, h)
  x = add_and_norm(x, attended, *parameters.self_attention_norm, eps)
  transformed = position_wise_ffn(x, *parameters.feed_forward, activation)
  return add_and_norm(x, transformed, *parameters.feed_forward_norm, eps)


def decoder_layer(
  x: Array, memory: Array, parameters: DecoderLayerParameters,
  mask: Array | None = None, memory_mask: Array | None = None,
  h: int = 8, activation: Activation = jax.nn.relu, eps: float = 1e-6,
) -> Array:  # fmt: skip
  """Apply causal self-attention, cross-attention and feed-forward (section 3.1).

  x [..., T, D], memory (the encoder's output) [..., S, D], mask [..., T, T], memory_mask
  [..., T, S] → [..., T, D]. Future positions are masked in addition to `mask`.

  >>> decoder_layer(x, context, decoder, h=2).shape
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
  x: Array, layers: Sequence[EncoderLayerParameters], mask: Array | None = None,
  h: int = 8, activation: Activation = jax.nn.relu, eps: float = 1e-6,
) -> Array:  # fmt: skip
  """Apply encoder layers in turn: x [..., S, D], mask [..., S, S] → [..., S, D].

  >>> encoder_stack(context, [encoder, encoder], h=2).shape
  (2, 7, 4)
  """
  for parameters in layers:
    x = encoder_layer(x, parameters, mask, h, activation, eps)
  return x


def decoder_stack(
  x: Array, memory: Array, layers: Sequence[DecoderLayerParameters],
  mask: Array | None = None, memory_mask: Array | None = None,
  h: int = 8, activation: Activation = jax.nn.relu, eps: float = 1e-6,
) -> Array:  # fmt: skip
  """Apply decoder layers in turn, all with the same memory; shapes as `decoder_layer`.

  >>> decoder_stack(x, context, [decoder, decoder], h=2).shape
  (2, 5, 4)
  """
  for parameters in layers:
    x = decoder_layer(x, memory, parameters, mask, memory_mask, h, activation, eps)
  return x


def transformer_forward_pass(
  source: Array, target: Array, parameters: TransformerParameters,
  source_mask: Array | None = None, target_mask: Array | None = None,
  h: int = 8, activation: Activation = jax.nn.relu, eps: float = 1e-6,
) -> Array:  # fmt: skip
  """Apply the whole model to ids and return logits (figure 1, sections 3.4 and 3.5).

  source int [..., S], target int [..., T] (a start token, the answer without its last)
  → logits [..., T, target vocabulary]. The masks are bool [..., S] and [..., T], True for
  tokens, False for padding, whose ids may be any number. An id beyond its table gives NaN.

  >>> parameters = TransformerParameters(table, table, [encoder] * 2, [decoder] * 2)
  >>> source, target = jnp.ones((2, 7), int), jnp.ones((2, 5), int)
  >>> transformer_forward_pass(source, target, parameters, source >= 0, h=2).shape
  (2, 5, 9)
  """
  x, src_mask = _embed(source, source_mask, parameters.source_embedding)
  memory = encoder_stack(x, parameters.encoder, src_mask, h, activation, eps)
  x, mask = _embed(target, target_mask, parameters.target_embedding)
  x = decoder_stack(x, memory, parameters.decoder, mask, src_mask, h, activation, eps)
  if (output := parameters.output) is None:
    output = parameters.target_embedding.T
  return _add_bias(x @ output, parameters.output_bias)


def _embed(ids: Array, mask: Array | None, table: Array) -> tuple[Array, Array | None]:
  """Return √D · embedding + position [..., T, D], and the mask [..., 1, T]."""
  if mask is not None:
    if mask.shape != ids.shape:
      raise ValueError(f"A mask of ids must have shape {ids.shape}, not {mask.shape}.")
    ids, mask = jnp.where(mask, ids, 0), mask[..., None, :]
  x = math.sqrt(table.shape[-1]) * jnp.take(table, ids, axis=0)
  return _add_bias(x, positional_encoding(*x.shape[-2:]).astype(x.dtype)), mask


def _attend(
  x: Array, context: Array, parameters: AttentionParameters, mask: Array | None, h: int
) -> Array:
  weights, biases = parameters[:4], parameters[4:]
  return multi_head_attention(x, context, context, *weights, mask, h, *biases)


def _add_bias(x: Array, b: Array | None) -> Array:
  return x if b is None else x + jnp.broadcast_to(b, x.shape)
