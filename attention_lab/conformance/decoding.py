"""Decoding: equal to the full pass, in a state of the promised size."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp

from attention_lab.conformance.law import Case, law, only
from attention_lab.conformance.subject import (
  ACROSS,
  LONG,
  SHORT,
  Subject,
  cast_to,
  distance,
  in_chunks,
  positions_of,
)
from attention_lab.kernel.mask import Mask

# Length, padding and chunks, small cases first; of few sizes, since each is compiled.
CHUNKS = (
  (SHORT, 0, (1,) * SHORT),
  (SHORT, 2, (1,) * SHORT),
  (LONG, 0, (137, 1, 3, 3)),
  (LONG, 20, (3, 137, 1, 3)),
)


@law(
  "decoding equals the full pass",
  "the cache is off by one, forgets, rotates at the wrong position, or takes in padding",
  only("causal"),
)
def decoding_is_the_full_pass(subject: Subject) -> Iterator[Case]:
  """`extend` in any chunks gives the rows of the full pass."""
  f, params = subject.functions(), subject.perturbed()
  for length, padding, chunks in CHUNKS:
    x = subject.inputs(length=length)
    at = positions_of(2, length, padding)
    whole, parts = subject.run(x, at), f.decode(params, x, at, chunks)
    what = f"T={length}, {padding} padded, chunks {'+'.join(map(str, chunks))}"
    limit = 5e-5 if length == SHORT else 5e-4  # Rounding adds up along a state.
    yield Case(what, distance(parts[:, padding:], whole[:, padding:]), limit)


@law(
  "what is memorised is read as it is",
  "`memorise` and `recall` are no cross-attention: padding, positions or scale differ",
  only("cross"),
)
def recall_is_the_full_pass(subject: Subject) -> Iterator[Case]:
  """`recall` of a few queries at a time gives the rows of cross-attention."""
  f, params = subject.functions(), subject.perturbed()
  queries, length = ACROSS
  x, context = subject.inputs(length=queries), subject.inputs(length=length, seed=2)
  at, there = positions_of(2, queries), positions_of(2, length)
  there[0, length - 1] = -1
  mask = Mask(jnp.asarray(at), jnp.asarray(there), causal=False)
  whole = f.apply(params, x, context, mask)
  memory = f.memorise(params, context, there)
  for chunks in ((queries,), (1,) * queries):
    read = lambda x, memory, at: (f.recall(params, x, at, memory), memory)  # noqa: E731
    parts = in_chunks(read, memory, x, at, chunks)
    what = (
      f"T={queries}, S={length - 1} and {length}, queries {'+'.join(map(str, chunks))}"
    )
    yield Case(what, distance(parts, whole), 5e-5)


@law(
  "the decode state keeps its form",
  "`extend` returns another shape or dtype than it was given: no loop can carry it",
  only("causal"),
)
def state_keeps_its_form(subject: Subject) -> Iterator[Case]:
  """`extend` maps states to states of the same tree, shapes and dtypes."""
  f, params = subject.functions(), subject.perturbed()
  for dtype in (jnp.float32, jnp.bfloat16):
    x = subject.inputs().astype(dtype)
    narrow = cast_to(dtype, params)
    before = f.initial_state(narrow, 2, LONG, dtype)
    y, after = jax.eval_shape(f.extend, narrow, x, before, positions_of(2, SHORT))
    what = f"{jnp.dtype(dtype).name}, {SHORT} tokens"
    yield Case(f"{what}, another state", _forms(before) != _forms(after), 0.0)
    yield Case(f"{what}, output {y.dtype}{y.shape}", _forms(y) != _forms(x), 0.0)


@law(
  "the decode state has the promised size",
  "constant_state is claimed of a state that grows, or a state grows faster than text",
  only("causal"),
)
def state_has_its_size(subject: Subject) -> Iterator[Case]:
  """Bytes at 4,096 and 16,384 tokens: equal where that is claimed, else at most linear."""
  f, params = subject.functions(), subject.perturbed()

  def size(length: int) -> int:
    state = jax.eval_shape(lambda p: f.initial_state(p, 1, length, jnp.float32), params)
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))

  growth = size(16_384) / max(1, size(4_096))
  yield Case("4 times the tokens", growth, 1.0 if subject.constant_state else 4.01)


def _forms(tree: object) -> object:
  leaves, structure = jax.tree.flatten(tree)
  return structure, [(leaf.shape, leaf.dtype) for leaf in leaves]
