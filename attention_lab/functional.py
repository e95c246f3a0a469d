"""The Transformer's equations as pure functions (Vaswani et al., arXiv:1706.03762).

No modules, no state: parameters are arguments. What is learnt elsewhere in this library
is compared with these; read them to learn the equations. Sizes: T queries, S keys, D the
model's width, h heads, V tokens; any axes may stand in front. In a mask, True means *may
attend*.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Attention(NamedTuple):
  """The matrices of multi-head attention: section 3.2.2."""

  Wq: jax.Array  # [D, h K]
  Wk: jax.Array  # [D, h K]
  Wv: jax.Array  # [D, h K]
  Wo: jax.Array  # [h K, D]


class FeedForward(NamedTuple):
  """The two linear maps of equation 2."""

  W1: jax.Array  # [D, F]
  b1: jax.Array | None  # [F]
  W2: jax.Array  # [F, D]
  b2: jax.Array | None  # [D]


class Norm(NamedTuple):
  """Scale and shift of a LayerNorm; None for 1 and 0."""

  gamma: jax.Array | None = None  # [D]
  beta: jax.Array | None = None  # [D]


class EncoderLayer(NamedTuple):
  """Parameters of `encoder_layer`."""

  attention: Attention
  attention_norm: Norm
  ffn: FeedForward
  ffn_norm: Norm


class DecoderLayer(NamedTuple):
  """Parameters of `decoder_layer`."""

  attention: Attention
  attention_norm: Norm
  cross_attention: Attention
  cross_attention_norm: Norm
  ffn: FeedForward
  ffn_norm: Norm


class Transformer(NamedTuple):
  """Parameters of `transformer_forward_pass`. The paper has one matrix in three places:
  `source_embedding`, `target_embedding` and, transposed, `output`."""

  source_embedding: jax.Array  # [V, D]
  target_embedding: jax.Array  # [V, D]
  encoder: tuple[EncoderLayer, ...]
  decoder: tuple[DecoderLayer, ...]
  output: jax.Array  # [D, V]


def scaled_dot_product_attention(
  q: jax.Array, k: jax.Array, v: jax.Array, mask: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
  """softmax(Q Kᵀ / √K) V, equation 1; the softmax is over the keys.

  Args:
    q: [..., T, K].
    k: [..., S, K].
    v: [..., S, K'].
    mask: [..., T, S] bool, True where a query may attend; None for everywhere.

  Returns:
    The output [..., T, K'] and the weights [..., T, S]; both 0 for a query that may attend
    to nothing.

  >>> import jax.numpy as jnp
  >>> q, k = jnp.zeros((1, 4)), jnp.zeros((2, 4))
  >>> output, weights = scaled_dot_product_attention(q, k, jnp.array([[1.0], [3.0]]))
  >>> print(weights, output)
  [[0.5 0.5]] [[2.]]
  >>> mask = jnp.array([[True, False]])
  >>> print(scaled_dot_product_attention(q, k, jnp.array([[1.0], [3.0]]), mask)[0])
  [[1.]]
  """
  scores = q @ jnp.swapaxes(k, -1, -2) / math.sqrt(q.shape[-1])
  if mask is None:
    weights = jax.nn.softmax(scores, axis=-1)
  else:
    scores = jnp.where(mask, scores, jnp.finfo(scores.dtype).min)
    weights = jax.nn.softmax(scores, axis=-1) * mask
  return weights @ v, weights


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
) -> jax.Array:
  """Concat(head_1, …, head_h) Wo with head_i = Attention(q Wq_i, k Wk_i, v Wv_i).

  Args:
    q: [..., T, D].
    k, v: [..., S, D].
    Wq, Wk, Wv: [D, h K], the heads' matrices side by side.
    Wo: [h K, D].
    mask: [..., T, S] bool, the same for all heads.
    h: heads.

  Returns:
    [..., T, D].

  >>> import jax.numpy as jnp
  >>> x, one = jnp.ones((3, 4)), jnp.eye(4)
  >>> multi_head_attention(x, x, x, one, one, one, one, h=2).shape
  (3, 4)
  """
  mask = None if mask is None else jnp.expand_dims(mask, -3)
  heads, _ = scaled_dot_product_attention(
    _split(q @ Wq, h), _split(k @ Wk, h), _split(v @ Wv, h), mask
  )
  joined = jnp.swapaxes(heads, -3, -2)
  return joined.reshape(*joined.shape[:-2], -1) @ Wo


def _split(x: jax.Array, h: int) -> jax.Array:
  """[..., T, h K] → [..., h, T, K]."""
  return jnp.swapaxes(x.reshape(*x.shape[:-1], h, -1), -3, -2)


def position_wise_ffn(
  x: jax.Array,
  W1: jax.Array,
  b1: jax.Array | None,
  W2: jax.Array,
  b2: jax.Array | None,
  activation: Callable[[jax.Array], jax.Array] = jax.nn.relu,
) -> jax.Array:
  """max(0, x W1 + b1) W2 + b2, equation 2, with any activation: [..., D] → [..., D].

  >>> import jax.numpy as jnp
  >>> x = jnp.array([-1.0, 2.0])
  >>> print(position_wise_ffn(x, jnp.eye(2), None, jnp.eye(2), jnp.ones(2)))
  [1. 3.]
  """
  hidden = activation(_plus(x @ W1, b1))
  return _plus(hidden @ W2, b2)


def _plus(x: jax.Array, b: jax.Array | None) -> jax.Array:
  return x if b is None else x + jnp.broadcast_to(b, x.shape)


def layer_norm(
  x: jax.Array,
  gamma: jax.Array | None = None,
  beta: jax.Array | None = None,
  eps: float = 1e-6,
) -> jax.Array:
  """gamma · (x - mean) / √(variance + eps) + beta over the last axis (arXiv:1607.06450).

  >>> import jax.numpy as jnp
  >>> print(layer_norm(jnp.array([1.0, 3.0]), eps=0))
  [-1.  1.]
  """
  mean = x.mean(axis=-1, keepdims=True)
  variance = jnp.square(x - mean).mean(axis=-1, keepdims=True)
  y = (x - mean) / jnp.sqrt(variance + eps)
  y = y if gamma is None else y * jnp.broadcast_to(gamma, y.shape)
  return _plus(y, beta)


def add_and_norm(
  x: jax.Array,
  sublayer_out: jax.Array,
  gamma: jax.Array | None = None,
  beta: jax.Array | None = None,
  eps: float = 1e-6,
) -> jax.Array:
  """LayerNorm(x + Sublayer(x)), section 3.1: [..., D], [..., D] → [..., D].

  >>> import jax.numpy as jnp
  >>> print(add_and_norm(jnp.array([1.0, 0.0]), jnp.array([0.0, 3.0]), eps=0))
  [-1.  1.]
  """
  return layer_norm(x + sublayer_out, gamma, beta, eps)


def positional_encoding(seq_len: int, dim_model: int) -> jax.Array:
  """sin(pos / 10000^(2i / D)) in the columns 2i, cos of the same in the columns 2i + 1.

  Section 3.5: [T, D].

  >>> import numpy as np
  >>> print(np.asarray(positional_encoding(2, 2)).round(2))
  [[0.   1.  ]
   [0.84 0.54]]
  """
  column = jnp.arange(dim_model)
  rate = 10_000.0 ** (-2 * (column // 2) / dim_model)
  angle = jnp.arange(seq_len)[:, None] * rate[None]
  return jnp.where(column[None] % 2 == 0, jnp.sin(angle), jnp.cos(angle))


def encoder_layer(
  x: jax.Array,
  parameters: EncoderLayer,
  mask: jax.Array | None = None,
  h: int = 8,
  eps: float = 1e-6,
) -> jax.Array:
  """Self-attention, then the feed-forward network, each added and normalised.

  Args:
    x: [..., S, D].
    parameters: of this layer.
    mask: [..., S, S] bool; None for everywhere.
    h: heads.
    eps: of the LayerNorms.

  Returns:
    [..., S, D].

  >>> import jax.numpy as jnp
  >>> one, norm = jnp.eye(4), Norm()
  >>> ffn = FeedForward(one, None, one, None)
  >>> layer = EncoderLayer(Attention(one, one, one, one), norm, ffn, norm)
  >>> encoder_layer(jnp.ones((5, 4)), layer, h=2).shape
  (5, 4)
  """
  attended = multi_head_attention(x, x, x, *parameters.attention, mask, h)
  x = add_and_norm(x, attended, *parameters.attention_norm, eps)
  hidden = position_wise_ffn(x, *parameters.ffn)
  return add_and_norm(x, hidden, *parameters.ffn_norm, eps)


def decoder_layer(
  x: jax.Array,
  memory: jax.Array,
  parameters: DecoderLayer,
  mask: jax.Array | None = None,
  memory_mask: jax.Array | None = None,
  h: int = 8,
  eps: float = 1e-6,
) -> jax.Array:
  """Self-attention, attention to the encoder's output, the feed-forward network.

  Args:
    x: [..., T, D].
    memory: the encoder's output, [..., S, D].
    parameters: of this layer.
    mask: [..., T, T] bool, causal in the paper; None for everywhere.
    memory_mask: [..., T, S] bool; None for everywhere.
    h: heads.
    eps: of the LayerNorms.

  Returns:
    [..., T, D].

  >>> import jax.numpy as jnp
  >>> one, norm = jnp.eye(4), Norm()
  >>> own = cross = Attention(one, one, one, one)
  >>> ffn = FeedForward(one, None, one, None)
  >>> layer = DecoderLayer(own, norm, cross, norm, ffn, norm)
  >>> decoder_layer(jnp.ones((3, 4)), jnp.ones((5, 4)), layer, h=2).shape
  (3, 4)
  """
  attended = multi_head_attention(x, x, x, *parameters.attention, mask, h)
  x = add_and_norm(x, attended, *parameters.attention_norm, eps)
  attended = multi_head_attention(
    x, memory, memory, *parameters.cross_attention, memory_mask, h
  )
  x = add_and_norm(x, attended, *parameters.cross_attention_norm, eps)
  hidden = position_wise_ffn(x, *parameters.ffn)
  return add_and_norm(x, hidden, *parameters.ffn_norm, eps)


def encoder_stack(
  x: jax.Array,
  layers: tuple[EncoderLayer, ...],
  mask: jax.Array | None = None,
  h: int = 8,
  eps: float = 1e-6,
) -> jax.Array:
  """Encoder layers, one after another: [..., S, D] → [..., S, D].

  >>> import jax.numpy as jnp
  >>> x = jnp.array([[3.0, 4.0]])
  >>> print(encoder_stack(x, ()))  # No layers.
  [[3. 4.]]
  """
  for layer in layers:
    x = encoder_layer(x, layer, mask, h, eps)
  return x


def decoder_stack(
  x: jax.Array,
  memory: jax.Array,
  layers: tuple[DecoderLayer, ...],
  mask: jax.Array | None = None,
  memory_mask: jax.Array | None = None,
  h: int = 8,
  eps: float = 1e-6,
) -> jax.Array:
  """Decoder layers, one after another: [..., T, D], [..., S, D] → [..., T, D].

  >>> import jax.numpy as jnp
  >>> x = jnp.array([[3.0, 4.0]])
  >>> print(decoder_stack(x, jnp.zeros((5, 2)), ()))  # No layers.
  [[3. 4.]]
  """
  for layer in layers:
    x = decoder_layer(x, memory, layer, mask, memory_mask, h, eps)
  return x


def transformer_forward_pass(
  source: jax.Array,
  target: jax.Array,
  parameters: Transformer,
  source_mask: jax.Array | None = None,
  h: int = 8,
  eps: float = 1e-6,
) -> jax.Array:
  """The whole model: the logits of every next token of the target.

  Args:
    source: [..., S] integers.
    target: [..., T] integers, shifted right: it begins with the start token.
    parameters: of the whole model.
    source_mask: [..., S] bool, False where the source is padding; None for nowhere.
    h: heads.
    eps: of the LayerNorms.

  Returns:
    [..., T, V].

  >>> import jax.numpy as jnp
  >>> table = jnp.eye(4)
  >>> parameters = Transformer(table, table, (), (), table)
  >>> logits = transformer_forward_pass(
  ...   jnp.array([1, 2, 3]), jnp.array([0, 1]), parameters
  ... )
  >>> import numpy as np
  >>> print(np.asarray(logits).round(2))  # √4 in the token's column, and its position.
  [[2.   1.   0.   1.  ]
   [0.84 2.54 0.01 1.  ]]
  """
  if source_mask is None:
    source_mask = jnp.ones(source.shape, bool)
  causal = jnp.tril(jnp.ones((target.shape[-1],) * 2, bool))
  memory = encoder_stack(
    _embed(source, parameters.source_embedding),
    parameters.encoder,
    _for_each_query(source_mask, source.shape[-1]),
    h,
    eps,
  )
  x = decoder_stack(
    _embed(target, parameters.target_embedding),
    memory,
    parameters.decoder,
    jnp.broadcast_to(causal, (*target.shape, target.shape[-1])),
    _for_each_query(source_mask, target.shape[-1]),
    h,
    eps,
  )
  return x @ parameters.output


def _embed(tokens: jax.Array, table: jax.Array) -> jax.Array:
  """Embeddings times √D (section 3.4), plus the positions: [..., T] → [..., T, D]."""
  x = math.sqrt(table.shape[-1]) * table[tokens]
  positions = positional_encoding(*x.shape[-2:]).astype(x.dtype)
  return x + jnp.broadcast_to(positions, x.shape)


def _for_each_query(mask: jax.Array, queries: int) -> jax.Array:
  """[..., S] → [..., T, S]: all queries may attend to the same."""
  return jnp.broadcast_to(
    mask[..., None, :], (*mask.shape[:-1], queries, mask.shape[-1])
  )
