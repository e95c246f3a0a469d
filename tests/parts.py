"""Tiny parts to test with, built through the registries as an experiment builds them."""

import functools
from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from attention_lab import config as configs
from attention_lab.attention.base.attention import attentions
from attention_lab.conformance.functions import in_chunks
from attention_lab.experiment import assemble
from attention_lab.kernel.mask import Mask
from attention_lab.plugin import spec as specs
from attention_lab.position.base.position import positions

HEADS, KEY_SIZE, D_MODEL = 2, 4, 8
B, T = 2, 6
TINY = {
  "dataset": "copy(sequence_length=8, validation_examples=8)",
  "batch_size": 8,
  "steps": 4,
  "model.d_model": 8,
  "model.num_heads": 2,
  "model.num_layers": 2,
  # The same program, whatever number of steps: it is compiled once for all tests.
  "train.schedule": "constant",
  "sample.length": 4,
  "skip_checks": True,  # They have tests of their own, and take seconds.
}


class Functions(NamedTuple):
  """An attention as pure functions of its parameters, jitted."""

  params: Any
  apply: Any  # (params, key, query, context, mask) → [B, T, D]
  decode: Any  # (params, x, positions, chunks) → [B, T, D], chunk by chunk


def tiny_config(**changes: Any) -> Any:
  """A configuration of tiny sizes; sections are written section__key=value."""
  config = configs.get_config()
  for key, value in {**TINY, **changes}.items():
    configs.set_value(config, key.replace("__", "."), value)
  return config


def count(config: Any) -> int:
  """The parameters of a configuration, without computing any."""
  experiment = assemble(config)
  params = jax.eval_shape(lambda: experiment.init(0))
  return sum(leaf.size for leaf in jax.tree.leaves(params))


def make_attention(spec: str, position: str = "none") -> Any:
  """Build an attention inside a transform."""
  return attentions.bind(spec)(
    num_heads=HEADS,
    key_size=KEY_SIZE,
    d_model=D_MODEL,
    position=positions.bind(position)(max_length=64),
    w_init=None,
    output_init=None,
  )


def attention_functions(spec: str, position: str = "none") -> Functions:
  """An attention with large random parameters: what is wrong then shows."""
  part = attentions[specs.parse(spec).name]  # Tests register broken ones of one name.
  return _attention_functions(spec, position, part, jnp.result_type(float))


@functools.lru_cache(maxsize=64)
def _attention_functions(spec: str, position: str, part: Any, dtype: Any) -> Functions:
  del part, dtype

  def methods() -> Any:
    attention = make_attention(spec, position)
    return attention.__call__, (
      attention.__call__,
      attention.initial_state,
      attention.extend,
    )

  transformed = hk.multi_transform(methods)
  call, initial_state, extend = transformed.apply
  x, at = inputs(), default_positions()
  mask = Mask(at, at, causal=True)
  params = fill(jax.eval_shape(transformed.init, jax.random.key(0), x, x, mask))
  extend = jax.jit(extend)

  def decode(params: Any, x: Any, at: Any, chunks: tuple[int, ...]) -> Any:
    state = initial_state(params, None, x.shape[0], x.shape[1], x.dtype)
    return in_chunks(functools.partial(extend, params, None), state, x, at, chunks)

  return Functions(params, jax.jit(call), decode)


def fill(tree: Any, scale: float = 0.5) -> Any:
  """Parameters of these shapes without compiling their initialisation: large, uneven."""
  rng = np.random.default_rng(0)
  return jax.tree.map(
    lambda x: jnp.asarray(scale * rng.normal(size=x.shape), x.dtype), tree
  )


def inputs(batch: int = B, length: int = T, seed: int = 0) -> jax.Array:
  """Random inputs [B, T, D]."""
  values = np.random.default_rng(seed).normal(size=(batch, length, D_MODEL))
  return jnp.asarray(values, jnp.result_type(float))


def default_positions(batch: int = B, length: int = T) -> jax.Array:
  """0, 1, 2, … for each row [B, T]."""
  return jnp.tile(jnp.arange(length, dtype=jnp.int32), (batch, 1))
