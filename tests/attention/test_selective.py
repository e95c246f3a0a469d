"""Selective attention is its definition, and the way to it leaves no sign to chance."""

import dataclasses
import functools
import itertools
from typing import NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attention_lab.attention.base.attention import attentions
from attention_lab.attention.base.multi_head import split_heads
from attention_lab.attention.selective import Query, Selective
from attention_lab.errors import UserError
from attention_lab.experiment import assemble
from attention_lab.kernel import bands
from attention_lab.kernel.mask import Mask
from attention_lab.nn.linear import Linear
from attention_lab.plugin import spec as specs
from attention_lab.position.base.position import Position, positions
from attention_lab.position.rope import Rope
from tests.parts import (
  D_MODEL,
  HEADS,
  KEY_SIZE,
  attention_functions,
  default_positions,
  fill,
  inputs,
  tiny_config,
)

ORACLE = "selective_naive"


class Case(NamedTuple):
  """What a program is compiled for."""

  position: str
  causal: bool
  crossed: bool  # Whether the context is another sequence than the queries.
  num_heads: int
  key_size: int
  batch: int
  queries: int
  context: int

  @property
  def d_model(self):
    return self.num_heads * self.key_size


SCHEMES = ("none", "alibi", "rope", "rope(base=10.0)")
SIZES = (
  (1, 8, 2, 5, 3),
  (2, 4, 1, 4, 6),
  (4, 2, 3, 3, 5),
  (2, 4, 2, 6, 2),
  (3, 2, 2, 4, 7),
)
CASES = [
  Case(*kind, *sizes) if kind[-1] else Case(*kind, *sizes[:-1], sizes[-2])
  for kind, sizes in zip(
    itertools.product(SCHEMES, (True, False), (True, False)), itertools.cycle(SIZES)
  )
]


class Numbers(NamedTuple):
  """What a program is run on."""

  weights: dict[str, np.ndarray]  # Of the query and of the maps [A; B] and [C; D].
  query: np.ndarray
  context: np.ndarray
  query_at: np.ndarray
  context_at: np.ndarray
  cotangent: np.ndarray


def numbers(case, seed, scale, query_at, context_at):
  """Random numbers at these positions; the weights of this standard deviation."""
  rng, d = np.random.default_rng(seed), case.d_model
  shapes = {"query": (d, d), "key": (2 * d, d), "value": (2 * d, d)}
  weights = {name: scale * rng.normal(size=shape) for name, shape in shapes.items()}
  query, cotangent = rng.normal(size=(2, case.batch, case.queries, d))
  context = rng.normal(size=(case.batch, case.context, d)) if case.crossed else query
  at = (np.array(rows, np.int32) for rows in (query_at, context_at))
  return Numbers(weights, query, context, *at, cotangent)


def plain(case, seed=0):
  """Numbers at the positions 0, 1, 2, …"""
  at = ([range(length)] * case.batch for length in (case.queries, case.context))
  return numbers(case, seed, 0.5, *at)


def transformed(spec, case, kernel="auto"):
  """An attention as hk.transform gives it: (query, context, mask) → output."""

  def forward(query, context, mask):
    attention = attentions.bind(spec)(
      num_heads=case.num_heads,
      key_size=case.key_size,
      d_model=case.d_model,
      position=positions.bind(case.position)(max_length=64),
      w_init=None,
      output_init=None,
      kernel=kernel,
    )
    return attention(query, context, mask)

  return hk.transform(forward)


def results(name, case, given):
  """The output of an attention and its gradient by every input, where anybody is seen."""
  mask = Mask(given.query_at, given.context_at, case.causal)
  attention = transformed(name, case)
  shapes = jax.eval_shape(
    attention.init, jax.random.key(0), given.query, given.context, mask
  )
  parts = {module: module.split("/")[-1] for module in shapes}
  assert sorted(parts.values()) == sorted(given.weights), "other parameters"

  def apply(weights, query, context):
    params = {module: {"w": weights[part]} for module, part in parts.items()}
    return attention.apply(params, None, query, context, mask)

  output, pull = jax.vjp(apply, given.weights, given.query, given.context)
  # Who sees nobody has weights that sum to zero; its output may be anything finite.
  seen = mask.dense().any(axis=-1)[:, 0, :, None]
  weights, query, context = pull(given.cotangent * seen)
  return {
    "the output": output * seen,
    "the gradient of Wq": weights["query"],
    "the gradient of A": weights["key"][: case.d_model],
    "the gradient of B": weights["key"][case.d_model :],
    "the gradient of C": weights["value"][: case.d_model],
    "the gradient of D": weights["value"][case.d_model :],
    "the gradient of the query": query,
    "the gradient of the context": context,
  }


@functools.lru_cache(maxsize=64)
def program(name, case, attention, position):
  """Results of an attention, compiled once for each case."""
  del attention, position  # Tests register several of one name.
  return jax.jit(functools.partial(results, name, case))


def compare(name, case, given):
  """Raise AssertionError unless an attention computes the definition."""
  position = positions[specs.parse(case.position).name]
  with jax.enable_x64(True):
    actual, expected = (
      jax.device_get(program(n, case, attentions[n], position)(given))
      for n in (name, ORACLE)
    )
  size = {what: np.abs(array).max() for what, array in expected.items()}
  # What is zero in theory is rounding here: A without a rotation, A and B where a query
  # sees only one token. It is judged by the largest gradient.
  largest = max(size[what] for what in size if what != "the output")
  for what, array in expected.items():
    allowed = 1e-10 * size[what] + 1e-12 * largest * (what != "the output")
    error = np.abs(actual[what] - array).max()
    assert error <= allowed, f"{what} is off by {error:.1e} of {size[what]:.1e}"


@st.composite
def standing(draw, case):
  """Positions of queries and context: shifted, padded in front, with holes."""
  start = draw(st.integers(0, 1000))

  def row(length):
    padding = draw(st.integers(0, length))
    holes = draw(st.lists(st.booleans(), min_size=length, max_size=length))
    return [
      -1 if j < padding or hole else start + j - padding for j, hole in enumerate(holes)
    ]

  context_at = [row(case.context) for _ in range(case.batch)]
  if not case.crossed:
    return context_at, context_at
  first = start + draw(st.integers(0, case.context))
  return [range(first, first + case.queries)] * case.batch, context_at


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case)))
@settings(max_examples=8, deadline=None, derandomize=True, database=None)
@given(data=st.data())
def test_it_equals_its_definition_in_values_and_gradients(case, data):
  seed = data.draw(st.integers(0, 2**32 - 1), label="seed")
  scale = data.draw(st.sampled_from([0.1, 0.5, 1.0]), label="scale")
  at = data.draw(standing(case), label="positions")
  compare("selective", case, numbers(case, [seed, CASES.index(case)], scale, *at))


class Rewritten(Selective):
  """Selective attention, its query's features in a method of their own."""

  def queries(self, x, positions):
    q = Linear(self._width, self.bias, self.w_init, "query")(x)
    u = self.position.rotate(split_heads(q, self.key_size), positions)
    a = self._of_query("key", q)
    (u1, u2), (a1, a2) = jnp.split(u, 2, axis=-1), jnp.split(a, 2, axis=-1)
    features = self.of_cosine(u1, u2, a1, a2), self.of_sine(u1, u2, a1, a2)
    return Query(jnp.concatenate([u, *features], axis=-1), self._of_query("value", q))

  def of_cosine(self, u1, u2, a1, a2):
    return u1 * a1 + u2 * a2

  def of_sine(self, u1, u2, a1, a2):
    return u2 * a1 - u1 * a2


class MinusInCosine(Rewritten):
  """One sign is wrong."""

  def of_cosine(self, u1, u2, a1, a2):
    return u1 * a1 - u2 * a2


class PlusInSine(Rewritten):
  """The other sign is wrong."""

  def of_sine(self, u1, u2, a1, a2):
    return u2 * a1 + u1 * a2


class NoSine(Rewritten):
  """The second term is dropped."""

  def of_sine(self, u1, u2, a1, a2):
    return jnp.zeros_like(u1)


class RotationsReversed(Selective):
  """The rotations have the opposite direction."""

  def _rotations(self, positions):
    cos, sin = jnp.split(super()._rotations(positions), 2, axis=-1)
    return jnp.concatenate([cos, -sin], axis=-1)


ROPE = Case("rope", True, False, HEADS, KEY_SIZE, 2, 5, 5)


@pytest.fixture
def rewritten(monkeypatch, request):
  part = dataclasses.dataclass(kw_only=True)(request.param)
  monkeypatch.setitem(attentions._parts, "rewritten", part)
  return "rewritten"


@pytest.mark.parametrize(
  "rewritten", [MinusInCosine, PlusInSine, NoSine, RotationsReversed], indirect=True
)
def test_a_wrong_sign_is_caught(rewritten):
  with pytest.raises(AssertionError, match="is off by"):
    compare(rewritten, ROPE, plain(ROPE))


@pytest.mark.parametrize("rewritten", [Rewritten], indirect=True)
def test_what_is_caught_is_the_sign_and_not_the_rewriting(rewritten):
  compare(rewritten, ROPE, plain(ROPE))


def turned(x, position):
  """The pairs (x_f, x_{f+K/2}) as complex numbers, turned as rope says."""
  first, second = np.split(x, 2)
  angle = position * 10_000.0 ** (-2 * np.arange(len(first)) / len(x))
  pairs = (first + 1j * second) * np.exp(1j * angle)
  return np.concatenate([pairs.real, pairs.imag])


def by_hand(params, x, context, allowed, turn):
  """The definition in numpy, one pair of one head at a time."""

  def linear(name, x):
    (layer,) = (params[key] for key in params if key.split("/")[-1] == name)
    return x @ np.asarray(layer["w"]) + np.asarray(layer.get("b", 0.0))

  out = np.zeros(x.shape)
  for b, t in np.ndindex(x.shape[:2]):
    q = linear("query", x[b, t])
    pairs = [np.concatenate([q, token]) for token in context[b]]
    k, v = ([linear(name, pair) for pair in pairs] for name in ("key", "value"))
    for part in np.split(np.arange(D_MODEL), HEADS):
      scores = [
        turn(q[part], t) @ turn(k[s][part], s) / KEY_SIZE**0.5 for s in range(len(k))
      ]
      weights = np.exp(scores) * allowed[t]
      out[b, t, part] = weights / weights.sum() @ np.array(v)[:, part]
  return out


@pytest.mark.parametrize(
  ("attention", "position", "causal", "context_length"),
  [
    (ORACLE, "none", True, 4),
    (ORACLE, "rope", False, 7),
    ("selective(bias=True)", "none", False, 7),
    ("selective(bias=True)", "rope", True, 4),
  ],
)
def test_it_equals_the_formula_by_hand(
  in_float64, attention, position, causal, context_length
):
  f = attention_functions(attention, position)
  assert {"b" in layer for layer in f.params.values()} == {"bias=True" in attention}
  x, context = inputs(), inputs(length=context_length, seed=1)
  at, context_at = default_positions(), default_positions(length=context_length)
  allowed = np.arange(context_length) <= np.arange(x.shape[1])[:, None]
  expected = by_hand(
    f.params,
    np.asarray(x),
    np.asarray(context),
    allowed | (not causal),
    turned if position == "rope" else lambda x, _: x,
  )
  actual = f.apply(f.params, None, x, context, Mask(at, context_at, causal))
  np.testing.assert_allclose(actual, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("position", "kv_heads"), [("none", 1), ("rope", 2)])
def test_grouped_heads_equal_repeated_ones(in_float64, position, kv_heads):
  case = Case(position, True, False, 4, 2, 2, 5, 5)
  grouped = transformed(f"selective(num_kv_heads={kv_heads}, bias=True)", case)
  full = transformed("selective(bias=True)", case)
  x, at = inputs(length=5), default_positions(length=5)
  given = x, x, Mask(at, at, causal=True)
  params = fill(jax.eval_shape(grouped.init, jax.random.key(0), *given))

  def repeated(array):  # Of each group of two or four heads one after another.
    groups = array.reshape(*array.shape[:-1], kv_heads, case.key_size)
    groups = jnp.repeat(groups, case.num_heads // kv_heads, axis=-2)
    return groups.reshape(*array.shape[:-1], case.d_model)

  every = {
    module: jax.tree.map(repeated, layer)
    if module.endswith(("key", "value"))
    else layer
    for module, layer in params.items()
  }
  np.testing.assert_allclose(
    jax.jit(grouped.apply)(params, None, *given),
    jax.jit(full.apply)(every, None, *given),
    rtol=1e-12,
    atol=1e-12,
  )


class Interleaved(Position):
  """Turns the pairs (x_0, x_1), (x_2, x_3), …"""

  def rotate(self, x, positions):
    halves = jnp.concatenate([x[..., 0::2], x[..., 1::2]], axis=-1)
    halves = Rope(max_length=self.max_length).rotate(halves, positions)
    return jnp.stack(jnp.split(halves, 2, axis=-1), axis=-1).reshape(x.shape)


class Backwards(Rope):
  """Turns by negative angles."""

  def rotate(self, x, positions):
    return super().rotate(x, -positions)


class FirstPairs(Rope):
  """Turns only the first half of the pairs."""

  def rotate(self, x, positions):
    pair = jnp.arange(x.shape[-1]) % (x.shape[-1] // 2)
    turns = jnp.broadcast_to(pair < x.shape[-1] // 4, x.shape)
    return jnp.where(turns, super().rotate(x, positions), x)


class Learned(Rope):
  """Learns its frequencies."""

  def rotate(self, x, positions):
    shape = (x.shape[-1] // 2,)
    frequency = hk.get_parameter("frequency", shape, x.dtype, init=jnp.ones)
    angle = jnp.einsum("BT,F->BTF", positions.astype(x.dtype), frequency)[:, :, None]
    first, second = jnp.split(x, 2, axis=-1)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], -1)


@pytest.fixture
def scheme(monkeypatch, request):
  part = dataclasses.dataclass(kw_only=True)(request.param)
  monkeypatch.setitem(positions._parts, "mine", part)
  return "mine"


@pytest.mark.parametrize("scheme", [Interleaved], indirect=True)
def test_a_rotation_of_other_pairs_is_refused_where_pairs_are_relied_on(scheme):
  with pytest.raises(UserError, match="pairs .*as in rope; --position=mine") as error:
    assemble(tiny_config(attention="selective", position=scheme))
  assert "\n" not in str(error.value)
  for attention in (ORACLE, "standard"):
    assemble(tiny_config(attention=attention, position=scheme))


@pytest.mark.parametrize("scheme", [Interleaved], indirect=True)
def test_what_is_refused_would_be_wrong(scheme):
  case = ROPE._replace(position=scheme)
  with pytest.raises(AssertionError, match="is off by"):
    compare("selective", case, plain(case))


@pytest.mark.parametrize("scheme", [Backwards, FirstPairs], indirect=True)
def test_the_same_pairs_may_turn_by_any_angles(scheme):
  assemble(tiny_config(attention="selective", position=scheme))
  case = ROPE._replace(position=scheme)
  compare("selective", case, plain(case))


@pytest.mark.parametrize(
  "position",
  [
    "rope(share=0.5)",
    "rope(scaling=yarn, factor=4)",
    "xpos(scale_base=20)",
    "randomized(stride=3)",
  ],
)
def test_pairs_may_pass_and_change_their_length(position):
  assemble(tiny_config(attention="selective", position=position))
  case = ROPE._replace(position=position)
  compare("selective", case, plain(case))


@pytest.mark.parametrize("scheme", [Learned], indirect=True)
@pytest.mark.parametrize("kernel", ["reference", "blocked"])
def test_frequencies_that_are_learned_get_their_gradient(in_float64, scheme, kernel):
  case = ROPE._replace(position=scheme)
  x, at = inputs(length=5), default_positions(length=5)
  mask = Mask(at, at, causal=True, aligned=True)
  gradients = []
  for name in ("selective", ORACLE):
    attention = transformed(name, case, kernel)
    params = fill(jax.eval_shape(attention.init, jax.random.key(0), x, x, mask))

    def total(params, attention=attention):
      y = attention.apply(params, None, x, x, mask)
      return (y * jnp.cos(jnp.arange(y.size).reshape(y.shape))).sum()

    found = jax.jit(jax.grad(total))(params)
    gradients.append({key.split("/")[-1]: layer for key, layer in found.items()})
  actual, expected = gradients
  assert np.abs(expected["learned"]["frequency"]).min() > 1e-3
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12),
    actual,
    expected,
  )


@pytest.mark.parametrize("position", ["rope", "none"])
def test_blocks_compute_it_too(in_float64, monkeypatch, position):
  monkeypatch.setattr(bands, "BLOCK", 2)
  case = ROPE._replace(position=position)
  given = plain(case)
  mask = Mask(given.query_at, given.context_at, causal=True, aligned=True)
  outputs = []
  for name, kernel in (("selective", "blocked"), (ORACLE, "auto")):
    attention = transformed(name, case, kernel)
    arguments = (jnp.asarray(given.query), jnp.asarray(given.context), mask)
    shapes = jax.eval_shape(attention.init, jax.random.key(0), *arguments)
    params = {key: {"w": given.weights[key.split("/")[-1]]} for key in shapes}
    outputs.append(jax.jit(attention.apply)(params, None, *arguments))
  np.testing.assert_allclose(*outputs, rtol=1e-10, atol=1e-12)


def test_heads_that_do_not_fit_the_stream_need_a_projection():
  changes = {"position": "rope", "model__key_size": 2}
  with pytest.raises(UserError, match="output_projection=False needs"):
    assemble(tiny_config(attention="selective", **changes))
  assemble(tiny_config(attention="selective(output_projection=True)", **changes))
