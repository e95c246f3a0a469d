"""Generates text token by token, through each attention's decode state."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from attention_lab.architecture.base.architecture import Model

# (parameters, key, prompts [B, P], positions [B, P]) → tokens [B, length].
Generate = Callable[[Any, jax.Array, Any, Any], jax.Array]


def make_generate(
  model: Model,
  length: int,
  temperature: float = 1.0,
  top_k: int = 0,
  top_p: float = 1.0,
  dtype: Any = jnp.float32,
) -> Generate:
  """Build a jitted function that continues prompts by `length` tokens.

  The prompt is read in one pass; each further token costs one call of `extend`.

  Args:
    model: the architecture as functions.
    length: tokens to generate.
    temperature: divides the logits; 0 takes the most likely token.
    top_k: keep only the k most likely tokens; 0 keeps all.
    top_p: keep the fewest most likely tokens whose probabilities reach p
      (nucleus sampling, arXiv:1904.09751); 1 keeps all.
    dtype: dtype of the decode state.
  """

  def generate(
    params: Any, key: jax.Array, prompts: jax.Array, positions: jax.Array
  ) -> jax.Array:
    batch_size, prompt_length = prompts.shape
    state = model.initial_state(params, None, batch_size, prompt_length + length, dtype)
    logits, state = model.extend(params, None, prompts, state, positions)

    def step(carry: Any, key: jax.Array) -> tuple[Any, jax.Array]:
      logits, state, position = carry
      token = choose(key, logits, temperature, top_k, top_p)
      position += 1
      logits, state = model.extend(
        params, None, token[:, None], state, position[:, None]
      )
      return (logits[:, -1], state, position), token

    carry = (logits[:, -1], state, positions[:, -1])
    _, tokens = jax.lax.scan(step, carry, jax.random.split(key, length))
    return tokens.T

  return jax.jit(generate)


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
