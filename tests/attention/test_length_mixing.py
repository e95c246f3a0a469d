"""Linformer, Nyströmformer and FNet are their papers' equations, and read no padding."""

import functools
from typing import Any, NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention_lab.attention.base.attention import attentions
from attention_lab.benchmark.flops import matmul_flops
from attention_lab.errors import UserError
from attention_lab.experiment import assemble
from attention_lab.kernel.mask import Mask
from attention_lab.plugin import spec as specs
from attention_lab.position.base.position import positions
from tests.parts import (
  D_MODEL,
  HEADS,
  KEY_SIZE,
  default_positions,
  fill,
  inputs,
  tiny_config,
)

NAMES = ("fourier", "linformer", "nystrom")
LENGTH = 12  # Tokens that Linformer knows.
EXACT = {"rtol": 1e-10, "atol": 1e-10}


class Built(NamedTuple):
  """An attention with large random parameters, bidirectional."""

  params: Any
  apply: Any  # (params, query, context, mask) → [B, T, D]

  def __call__(self, x, at=None, params=None):
    """Self-attention of x at positions `at`; without, aligned."""
    aligned = at is None
    at = default_positions(*x.shape[:2]) if aligned else at
    mask = Mask(at, at, causal=False, aligned=aligned)
    return self.apply(self.params if params is None else params, x, x, mask)


def built(spec, position="none"):
  return _built(spec, position, jnp.result_type(float))


@functools.lru_cache
def _built(spec, position, dtype):
  del dtype

  def run(query, context, mask):
    attention = attentions.bind(spec)(
      num_heads=HEADS,
      key_size=KEY_SIZE,
      d_model=D_MODEL,
      position=positions.bind(position)(max_length=LENGTH),
      w_init=None,
      output_init=None,
    )
    return attention(query, context, mask)

  transformed = hk.transform(run)
  x, at = inputs(), default_positions()
  mask = Mask(at, at, causal=False)
  params = fill(jax.eval_shape(transformed.init, jax.random.key(0), x, x, mask))
  apply = jax.jit(lambda params, *given: transformed.apply(params, None, *given))
  return Built(params, apply)


def parameters(f, module):
  """A module's parameters by the last part of its name."""
  found = [value for name, value in f.params.items() if name.split("/")[-1] == module]
  return {key: np.asarray(value) for key, value in found[0].items()}


def heads(f, x):
  """Queries, keys and values of one sequence [T, D] in numpy, each [N, T, K]."""
  return [
    (x @ parameters(f, name)["w"]).reshape(len(x), HEADS, KEY_SIZE).swapaxes(0, 1)
    for name in ("query", "key", "value")
  ]


def softmax(scores):
  exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
  return exponentials / exponentials.sum(axis=-1, keepdims=True)


def merged(f, y):
  """[N, T, K] → [T, D]."""
  return y.swapaxes(0, 1).reshape(y.shape[1], -1) @ parameters(f, "output")["w"]


def fourier_by_hand(f, x):
  """Apply both transforms as the matrices that define them."""
  del f

  def matrix(size):
    steps = np.arange(size)
    return np.exp(-2j * np.pi * np.outer(steps, steps) / size) / np.sqrt(size)

  return (matrix(x.shape[0]) @ x @ matrix(x.shape[1])).real


def linformer_by_hand(f, x, sharing="headwise"):
  names = {"key_value": ("length", "length")}.get(sharing)
  own = parameters(f, "linformer")
  out = []
  for n, (q, k, v) in enumerate(zip(*heads(f, x), strict=True)):
    e, g = (own[name][: len(x)] for name in names or ("key_length", "value_length"))
    if sharing == "none":
      e, g = e[:, n], g[:, n]
    out.append(softmax(q @ (e.T @ k).T / np.sqrt(KEY_SIZE)) @ (g.T @ v))
  return merged(f, np.stack(out))


def landmarks_by_hand(x, count):
  """The mean of every segment, found token by token: [T, K] → [M, K]."""
  count = min(count, len(x))
  members = [[] for _ in range(count)]
  for t in range(len(x)):
    members[t * count // len(x)].append(x[t])
  return np.stack([np.mean(segment, axis=0) for segment in members])


def nystrom_by_hand(f, x, landmarks=32, iterations=6, convolution=35):
  out = []
  for n, (q, k, v) in enumerate(zip(*heads(f, x), strict=True)):
    q_marks, k_marks = (landmarks_by_hand(one, landmarks) for one in (q, k))
    first, a, last = (
      softmax(left @ right.T / np.sqrt(KEY_SIZE))
      for left, right in ((q, k_marks), (q_marks, k_marks), (q_marks, k))
    )
    z = a.T / (np.abs(a).sum(axis=0).max() * np.abs(a).sum(axis=1).max())
    one = np.eye(len(a))
    for _ in range(iterations):
      az = a @ z
      z = z @ (13 * one - az @ (15 * one - az @ (7 * one - az))) / 4
    y = first @ z @ last @ v
    for i in range(convolution):
      for t in range(len(x)):
        at = t + i - convolution // 2
        if 0 <= at < len(x):
          y[t] += parameters(f, "nystrom")["filters"][i, n] * v[at]
    out.append(y)
  return merged(f, np.stack(out))


CASES = [
  ("fourier", fourier_by_hand, {}),
  ("linformer", linformer_by_hand, {}),
  ("linformer", linformer_by_hand, {"sharing": "none"}),
  ("linformer", linformer_by_hand, {"sharing": "key_value"}),
  ("nystrom", nystrom_by_hand, {}),
  ("nystrom", nystrom_by_hand, {"landmarks": 3}),
  ("nystrom", nystrom_by_hand, {"landmarks": 2, "iterations": 0, "convolution": 0}),
  ("nystrom", nystrom_by_hand, {"landmarks": 1, "convolution": 3}),
  ("nystrom", nystrom_by_hand, {"landmarks": 4, "convolution": 2}),
]


def written(name, options):
  values = ", ".join(f"{key}={value!r}" for key, value in options.items())
  return f"{name}({values})" if values else name


@pytest.mark.parametrize(
  ("name", "by_hand", "options"), CASES, ids=lambda x: getattr(x, "__name__", str(x))
)
def test_it_is_its_formula(in_float64, name, by_hand, options):
  f = built(written(name, options))
  for length in (1, 8):
    x = inputs(length=length)
    expected = np.stack([by_hand(f, row, **options) for row in np.asarray(x)])
    np.testing.assert_allclose(f(x), expected, **EXACT)


PADDED = {
  "front": [-1, -1, 0, 1, 2, 3, 4],
  "behind": [0, 1, 2, 3, 4, -1, -1],
}


@pytest.mark.parametrize("place", PADDED)
@pytest.mark.parametrize(
  "spec",
  ["linformer", "linformer(sharing='none')", "nystrom(landmarks=3, convolution=3)"],
)
def test_padding_changes_nothing_at_all(in_float64, spec, place):
  f = built(spec, "rope")
  at = jnp.array([PADDED[place]] * 2, jnp.int32)
  real = np.asarray(at[0] >= 0)
  x = inputs(length=7)
  alone = f(x[:, real], default_positions(2, 5))
  np.testing.assert_allclose(f(x, at)[:, real], alone, **EXACT)
  np.testing.assert_allclose(f(x[:, real]), alone, **EXACT)  # Aligned.


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("place", PADDED)
def test_padding_is_never_read(name, place):
  f = built(name)
  at = jnp.array([PADDED[place], [0, 1, 2, 3, 4, 5, 6]], jnp.int32)
  real = np.asarray(at >= 0)
  x = inputs(length=7)
  other = jnp.where(real[:, :, None], x, 1e6)
  np.testing.assert_array_equal(
    np.asarray(f(other, at))[real], np.asarray(f(x, at))[real]
  )


@pytest.mark.parametrize("name", NAMES)
def test_seeing_nobody_is_finite(name):
  f = built(name)
  x, at = inputs(), jnp.full((2, 6), -1, jnp.int32)

  def total(params, x):
    return (f(x, at, params) ** 2).sum()

  value, gradient = jax.jit(jax.value_and_grad(total, (0, 1)))(f.params, x)
  assert all(np.isfinite(leaf).all() for leaf in (value, *jax.tree.leaves(gradient)))


@pytest.mark.parametrize("spec", ["fourier", "linformer", "nystrom(landmarks=4)"])
def test_large_activations_have_finite_gradients(spec):
  f = built(spec)
  gradient = jax.jit(jax.grad(lambda x: f(x).sum()))(100 * inputs())
  assert np.isfinite(gradient).all()


@pytest.mark.parametrize("spec", ["linformer", "nystrom(landmarks=2, convolution=3)"])
def test_gradients_are_right(in_float64, spec):
  f = built(spec)
  at = jnp.array([PADDED["front"]] * 2, jnp.int32)

  def total(params):
    return (f(inputs(length=7), at, params) ** 2).sum()

  total = jax.jit(total)
  gradient = jax.jit(jax.grad(total))(f.params)
  way = jax.tree.map(
    lambda p: jnp.asarray(np.cos(np.arange(p.size)).reshape(p.shape)), f.params
  )
  ahead, behind = (
    total(jax.tree.map(lambda p, w, s=step: p + s * w, f.params, way))
    for step in (1e-6, -1e-6)
  )
  products = jax.tree.map(lambda g, w: (g * w).sum(), gradient, way)
  np.testing.assert_allclose(
    sum(jax.tree.leaves(products)), (ahead - behind) / 2e-6, rtol=1e-6
  )


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_stays_bfloat16(name):
  f = built(name)
  half = lambda tree: jax.tree.map(lambda x: x.astype(jnp.bfloat16), tree)  # noqa: E731
  y = f(half(inputs()), params=half(f.params))
  assert y.dtype == jnp.bfloat16
  np.testing.assert_allclose(y.astype(jnp.float32), f(inputs()), rtol=0.1, atol=0.5)


def test_with_landmarks_for_all_nystrom_is_softmax_attention(in_float64):
  standard = built("standard", "rope")
  f = built("nystrom(landmarks=8, iterations=30, convolution=0)", "rope")
  params = {
    name.replace("standard", "nystrom"): p for name, p in standard.params.items()
  }
  for length in (1, 8):
    x = inputs(length=length)
    np.testing.assert_allclose(f(x, params=params), standard(x), rtol=1e-6, atol=1e-8)
  coarse = built("nystrom(landmarks=2, convolution=0)", "rope")(x, params=params)
  assert not np.allclose(coarse, standard(x), rtol=1e-2)


def test_more_iterations_come_closer_to_the_inverse(in_float64):
  standard, x = built("standard"), inputs(length=8)
  params = {
    name.replace("standard", "nystrom"): p for name, p in standard.params.items()
  }
  errors = [
    np.abs(
      built(f"nystrom(iterations={n}, convolution=0)")(x, params=params) - standard(x)
    ).max()
    for n in (2, 6, 12)
  ]
  assert errors[0] > errors[1] > errors[2]


def test_linformers_rotated_sums_keep_distances(in_float64):
  f = built("linformer", "rope")
  x = inputs(length=5)
  assert not np.allclose(f(x), built("linformer")(x))
  # The same columns, all turned by three more positions: only distances count.
  columns = {
    name: {
      key: jnp.roll(p, 3, 0) if "length" in key else p for key, p in module.items()
    }
    for name, module in f.params.items()
  }
  later = default_positions(2, 5) + 3
  np.testing.assert_allclose(f(x, later, columns), f(x), **EXACT)


def test_linformer_reads_another_sequence():
  f = built("linformer")
  x, context, at = inputs(), inputs(length=9, seed=1), default_positions()
  context_at = default_positions(length=9).at[:, 2:4].set(-1)
  mask = Mask(at, context_at, causal=False)
  y = f.apply(f.params, x, context, mask)
  other = f.apply(f.params, x, context.at[:, 2:4].set(100.0), mask)
  np.testing.assert_array_equal(other, y)
  one = f.apply(
    f.params, x[:, 2:3], context, Mask(at[:, 2:3], context_at, causal=False)
  )
  np.testing.assert_allclose(one, y[:, 2:3], rtol=1e-5, atol=1e-6)


def test_linformer_refuses_more_tokens_than_it_has_learnt():
  with pytest.raises(UserError, match="projections of 12 tokens, but is given 13"):
    built("linformer")(inputs(length=LENGTH + 1))


def test_fourier_refuses_another_sequence():
  at = default_positions()
  mask = Mask(at[:, :3], at, causal=False)
  with pytest.raises(UserError, match="mixes a sequence with itself alone"):
    built("fourier").apply({}, inputs(length=3), inputs(), mask)


@pytest.mark.parametrize("name", NAMES)
def test_a_causal_mask_is_refused(name):
  f, at, x = built(name), default_positions(), inputs()
  with pytest.raises(UserError, match=f"{name!r} lets every token see every other"):
    f.apply(f.params, x, x, Mask(at, at, causal=True))


@pytest.mark.parametrize("name", NAMES)
def test_a_causal_architecture_refuses_it(name):
  with pytest.raises(UserError, match="needs causal attention. Use one of: .*standar"):
    assemble(tiny_config(attention=name, position="none"))


@pytest.mark.parametrize(
  ("spec", "message"),
  [
    ("linformer(rank=0)", r"linformer\(rank=0\): take 1 or more"),
    ("nystrom(landmarks=0)", r"nystrom\(landmarks=0\): take 1 or more"),
    ("nystrom(iterations=-1)", r"nystrom\(iterations=-1\): take 0 or more"),
    ("nystrom(convolution=-1)", r"nystrom\(convolution=-1\): take 0 or more"),
  ],
)
def test_bad_options_are_refused(spec, message):
  with pytest.raises(UserError, match=message):
    built(spec)


@pytest.mark.parametrize(
  ("name", "position", "usable"),
  [
    ("fourier", "rope", "learned, none, sinusoidal"),
    ("linformer", "alibi", "learned, none, randomized, rope, sinusoidal, xpos"),
    ("nystrom", "alibi", "learned, none, randomized, rope, sinusoidal, xpos"),
  ],
)
def test_schemes_that_find_no_way_in_are_refused(name, position, usable):
  config = tiny_config(
    architecture__name="encoder", dataset="majority", attention=name, position=position
  )
  with pytest.raises(UserError, match=f"does not use. Use one of: {usable}"):
    assemble(config)


@pytest.mark.parametrize(
  ("spec", "linear"),
  [("linformer(rank=4)", True), ("nystrom(landmarks=4)", True), ("standard", False)],
)
def test_what_claims_linear_time_has_it(spec, linear):
  assert attentions[specs.parse(spec).name].linear_time == linear
  f = built(spec)
  first, second, third = (
    matmul_flops(f, jax.ShapeDtypeStruct((2, length, D_MODEL), jnp.float32))
    for length in (4, 8, 12)
  )
  assert (third - second == second - first) == linear
