"""Generates text token by token, through each attention's decode state."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from attention_lab.architecture.base.architecture import Model
from attention_lab.decode.documents import extend_by_one, last_document

# (parameters, key, prompts [B, P], positions [B, P]) → tokens [B, length].
Generate = Callable[[Any, jax.Array, Any, Any], jax.Array]


@functools.lru_cache(maxsize=16)  # A second call with equal options compiles nothing.
def make_generate(
  model: Model,
  length: int,
  temperature: float = 1.0,
  top_k: int = 0,
  top_p: float = 1.0,
  dtype: Any = jnp.float32,
  context: int | None = None,
  prefix: int = 0,
) -> Generate:
  """Build a jitted function that continues prompts by `length` tokens.

  The prompt is read in one pass; each further token costs one call of `extend`. When the
  context is full, its last half is read anew as a prompt: no position is beyond it.

  Args:
    model: the architecture as functions.
    length: tokens to generate.
    temperature: divides the logits; 0 takes the most likely token.
    top_k: keep only the k most likely tokens; 0 keeps all.
    top_p: keep the fewest whose probabilities reach p (arXiv:1904.09751); 1 keeps all.
    dtype: dtype of the decode state.
    context: most tokens read at once, at least those of a prompt; None for no limit.
    prefix: tokens of the model's prefix; a prompt, and what is read anew, has as many.
  """
  pick = functools.partial(choose, temperature=temperature, top_k=top_k, top_p=top_p)
  continued = functools.partial(_continued, model, pick, dtype)

  def generate(
    params: Any, key: jax.Array, prompts: jax.Array, positions: jax.Array
  ) -> jax.Array:
    keys = jax.random.split(key, length)
    first, again, half = _division(prompts.shape[1], length, context, prefix)
    tokens = continued(params, keys[:first], prompts, positions)
    if first == length:
      return tokens

    def renewed(carry: Any, keys: jax.Array) -> tuple[Any, jax.Array]:
      prompts, positions = carry
      new = continued(params, keys, prompts, positions)
      return _last(prompts, positions, new, half), new

    carry = _last(prompts, positions, tokens, half)
    number = np.arange(first, length)  # Of each further token; some to fill the last.
    keys = keys[np.resize(number, (-(-len(number) // again), again))]
    _, more = jax.lax.scan(renewed, carry, keys)
    more = jnp.moveaxis(more, 0, 1).reshape(len(prompts), -1)
    return jnp.concatenate([tokens, more], axis=1)[:, :length]

  return jax.jit(generate)


def _continued(
  model: Model,
  pick: Callable[[jax.Array, jax.Array], jax.Array],
  dtype: Any,
  params: Any,
  keys: jax.Array,
  prompts: jax.Array,
  positions: jax.Array,
) -> jax.Array:
  """Return the tokens that follow prompts, one for each key: [B, number of keys]."""
  rows, prompt_length = prompts.shape
  empty = model.initial_state(params, None, rows, prompt_length + len(keys), dtype)
  if model.separator is not None:  # What stands before the last document has no effect.
    positions = last_document(positions, prompts == model.separator)
  logits, state = model.extend(params, None, prompts, empty, positions)

  def step(carry: Any, key: jax.Array) -> tuple[Any, jax.Array]:
    logits, state, position = carry
    token = pick(key, logits)
    return extend_by_one(model, params, token, state, position, empty), token

  carry = (logits[:, -1], state, positions[:, -1])
  _, tokens = jax.lax.scan(step, carry, keys)
  return tokens.T


def _division(
  prompt: int, length: int, context: int | None, prefix: int
) -> tuple[int, int, int]:
  """Return how many tokens are generated at first and after each renewal, and its prompt.

  The last token of a context is not read, so a context of C tokens yields C - P + 1 after
  a prompt of P.
  """
  if context is None:
    return length, length, prompt
  half = max(1, context // 2, prefix)
  return min(length, context - prompt + 1), context - half + 1, half


def _last(
  tokens: jax.Array, positions: jax.Array, new: jax.Array, count: int
) -> tuple[jax.Array, jax.Array]:
  """Return the last `count` tokens with positions from 0 on, as a prompt.

  Args:
    tokens: what was read before [B, P].
    positions: their positions [B, P], negative for padding.
    new: the tokens that follow them [B, N].
    count: number of tokens to return.
  """
  following = positions[:, -1:] + 1 + jnp.arange(new.shape[1])[None]
  positions = jnp.concatenate([positions, following], axis=1)[:, -count:]
  tokens = jnp.concatenate([tokens, new], axis=1)[:, -count:]
  start = jnp.maximum(positions[:, :1], 0)
  return tokens, jnp.where(positions < 0, -1, positions - start)


def choose(
  key: jax.Array, logits: jax.Array, temperature: float, top_k: int, top_p: float
) -> jax.Array:
  """Sample a token for each row of logits: [B, V] → [B] int32."""
  if temperature == 0:
    return jnp.argmax(logits, axis=-1).astype(jnp.int32)
  logits = logits.astype(jnp.float32) / temperature
  if 0 < top_k < logits.shape[-1]:
    smallest = jax.lax.top_k(logits, top_k)[0][:, -1:]
    logits = jnp.where(logits >= smallest, logits, -jnp.inf)
  if top_p < 1:
    descending = -jnp.sort(-logits, axis=-1)
    probabilities = jax.nn.softmax(descending, axis=-1)
    before = jnp.cumsum(probabilities, axis=-1) - probabilities
    kept = jnp.where(before < top_p, descending, jnp.inf)
    logits = jnp.where(logits >= kept.min(axis=-1, keepdims=True), logits, -jnp.inf)
  return jax.random.categorical(key, logits, axis=-1).astype(jnp.int32)


def left_pad(prompts: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
  """Return prompts of different lengths as arrays: tokens [B, P], positions [B, P].

  Padding comes first and has negative positions, so that no token attends to it.
  """
  longest = max(len(prompt) for prompt in prompts)
  tokens = np.zeros((len(prompts), longest), np.int32)
  positions = np.full((len(prompts), longest), -1, np.int32)
  for row, prompt in enumerate(prompts):
    start = longest - len(prompt)
    tokens[row, start:] = prompt
    positions[row, start:] = np.arange(len(prompt))
  return tokens, positions
