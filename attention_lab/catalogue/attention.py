"""Facts about an attention: kinds, positions, decode state, and the laws it must obey."""

import functools
import math
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple, cast

import haiku as hk
import jax
import jax.numpy as jnp

from attention_lab.architecture.base.builder import attention_builder
from attention_lab.attention.base.attention import HOOKS, Attention, attentions
from attention_lab.block.base.options import Options
from attention_lab.conformance.check import LAWS
from attention_lab.conformance.subject import Subject
from attention_lab.plugin import spec as specs
from attention_lab.position.base.position import positions, properties_of

LENGTHS = (1024, 16_384)  # Tokens at which the size of the decode state is given.


class Claims(NamedTuple):
  """Claims of an attention's class, which the checker verifies."""

  kinds: tuple[str, ...]
  linear_time: bool
  constant_state: bool


class Facts(NamedTuple):
  """Properties of an attention with its options."""

  kinds: tuple[str, ...]  # Of "causal", "bidirectional" and "cross".
  linear_time: bool
  constant_state: bool
  positions: tuple[str, ...]  # Names of the positional schemes that it goes with.
  default_position: str  # That of --position=auto.
  state_bytes: dict[int, int]  # By number of tokens; empty if it does not decode.
  laws: tuple[str, ...]  # Names of the laws that apply to it.


def claims(name: str) -> Claims:
  """Return what a registered attention declares."""
  cls = _class(name)
  return Claims(cls.kinds, cls.linear_time, cls.constant_state)


def facts(spec: str, options: Options) -> Facts:
  """Return the properties of a registered attention, in a model of these options."""
  cls = _class(specs.parse(spec).name)
  subject = Subject(spec)
  sizes = state_bytes(spec, LENGTHS, options) if "causal" in cls.kinds else ()
  return Facts(
    *claims(specs.parse(spec).name),
    positions=usable_positions(specs.parse(spec).name),
    default_position=cls.default_position,
    state_bytes=dict(zip(LENGTHS, sizes, strict=False)),
    laws=tuple(law.name for law in LAWS if not law.excludes(subject)),
  )


def _class(name: str) -> type[Attention]:
  return cast(type[Attention], attentions[name])


def usable_positions(name: str) -> tuple[str, ...]:
  """Return the schemes that act only where an attention honours them."""
  honoured = set(_class(name).honours)
  return tuple(name for name in positions if _hooks(name) & set(HOOKS) <= honoured)


@functools.cache
def _hooks(position: str) -> frozenset[str]:
  return properties_of(partial(positions[position], max_length=LENGTHS[0])).hooks


def state_bytes(spec: str, lengths: Sequence[int], options: Options) -> list[int]:
  """Return the bytes of the decode state, per sequence and layer.

  Args:
    spec: a causal attention, with options.
    lengths: numbers of tokens that the state has room for.
    options: of the model.

  Returns:
    The bytes in float32, by length. Nothing is allocated.
  """
  position = partial(positions["none"], max_length=max(lengths))
  build = attention_builder(specs.parse(spec), options, position, "auto")

  def size(length: int) -> int:
    make = hk.transform(lambda: build().initial_state(1, length, jnp.float32))
    state = jax.eval_shape(lambda: make.apply(make.init(None), None))
    return sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(state))

  return [size(length) for length in lengths]
