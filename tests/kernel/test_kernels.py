"""Every kernel equals the plain formula, in what it returns and in every gradient."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attention_lab.errors import UserError
from attention_lab.kernel import bands, choose
from attention_lab.kernel import blocked as blocks
from attention_lab.kernel.blocked import blocked
from attention_lab.kernel.mask import Mask, default_positions
from attention_lab.kernel.problem import Problem, is_constant
from attention_lab.kernel.reference import reference
from attention_lab.kernel.weights import watch_weights
from attention_lab.kernel.xla import xla
from attention_lab.settings.table import SETTINGS

B, N, K, V = 2, 4, 4, 3


def alibi(query_positions, context_positions):
  """A bias that is a function without parameters: [B, N, T, S]."""
  slopes = jnp.array([0.1, 0.3, 0.0, 1.0])[None, :, None, None]
  distance = query_positions[:, :, None] - context_positions[:, None]
  return -slopes * jnp.abs(distance)[:, None].astype(float)


# T, S, causal, aligned, window, bias, F, G: few, because each is compiled.
SHAPES = [
  (37, 37, True, True, None, None, 0, 4),
  (37, 37, True, True, None, alibi, 4, 2),
  (50, 50, True, True, 3, None, 4, 4),  # The window slides.
  (50, 50, True, True, 20, alibi, 0, 1),
  (50, 7, True, True, 3, None, 0, 4),  # The last queries see nobody.
  (7, 37, True, True, None, None, 0, 4),
  (37, 37, False, True, 5, None, 0, 4),
  (37, 37, True, False, None, None, 0, 4),
  (37, 19, True, False, 6, alibi, 4, 2),
  (19, 37, False, False, None, None, 0, 1),
  (1, 37, True, False, None, None, 4, 4),
  (1, 1, True, True, None, None, 0, 4),
]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
  """Block so small that short texts have many."""
  monkeypatch.setattr(bands, "BLOCK", 4)
  monkeypatch.setattr(blocks, "CACHE", 4 * 4 * 37 * 2)  # A few units at a time.


def problem(shape, seed, dtype=None):
  """A random problem of a shape; where it is not aligned, with random padding."""
  T, S, causal, aligned, window, bias, F, G = shape
  rng = np.random.default_rng(seed)
  dtype = dtype or jnp.result_type(float)
  draw = lambda *shape: jnp.asarray(rng.normal(size=shape), dtype)  # noqa: E731
  q, k, v = draw(B, T, N, K + F), draw(B, S, G, K), draw(B, S, G, V)
  at = [default_positions(x) for x in (q, k)]
  if not aligned:
    at = [jnp.asarray(rng.integers(-1, S + 2, x.shape), jnp.int32) for x in at]
  mask = Mask(*at, causal, aligned)
  return Problem(q, k, v, mask, 0.5, window, bias, 0.0, draw(B, S, F) if F else None)


def values_and_gradients(kernel, asked):
  """[y, dq, dk, dv] for a fixed random cotangent."""

  def total(q, k, v):
    y = kernel(asked._replace(q=q, k=k, v=v))
    cotangent = jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape)
    return (y * cotangent).sum(), y

  differentiate = jax.grad(total, (0, 1, 2), has_aux=True)
  gradients, y = differentiate(asked.q, asked.k, asked.v)
  return [y, *gradients]


@functools.cache
def compiled(kernel, shape):
  """`values_and_gradients` of a shape, compiled once."""

  def run(asked):
    return values_and_gradients(kernel, asked._replace(**static))

  static = dict(zip(STATIC, (0.5, shape[4], shape[5], 0.0), strict=True))
  return jax.jit(run)


STATIC = ("scale", "window", "bias", "dropout")


def compare(kernel, shape, seed, tolerance, dtype=None):
  """Raise AssertionError where a kernel differs from the plain formula."""
  arrays = problem(shape, seed, dtype)._replace(**dict.fromkeys(STATIC))
  results = [compiled(formula, shape)(arrays) for formula in (kernel, reference)]
  for actual, expected in zip(*results, strict=True):
    assert actual.dtype == expected.dtype
    scale = np.abs(np.asarray(expected, float)).max() + 1e-30
    error = np.abs(np.asarray(actual, float) - np.asarray(expected, float)).max()
    assert error <= tolerance * scale, f"off by {error / scale}"


@given(st.sampled_from(SHAPES), st.integers(0, 2**32 - 1))
@settings(max_examples=16, deadline=None)
def test_blocks_equal_the_formula_in_float64(shape, seed):
  with jax.enable_x64(True):
    compare(blocked, shape, seed, tolerance=1e-12)


@pytest.mark.parametrize("kernel", [blocked, xla])
@pytest.mark.parametrize("shape", SHAPES[:8:2])
def test_kernels_equal_the_formula_in_float32(kernel, shape):
  compare(kernel, shape, 0, tolerance=3e-6)


def test_blocks_keep_bfloat16():
  compare(blocked, SHAPES[0], 0, tolerance=0.03, dtype=jnp.bfloat16)


def unmasked(asked, queries, context):
  return jnp.ones((queries.positions.shape[0], context.positions.shape[0]), bool)


def transposed_bias(asked, queries, context, transposed=False):
  scores = SCORES(asked, queries, context, transposed)
  return scores + 0.1 if transposed else scores


SCORES = blocks._scores
BROKEN = [
  ("_allowed", unmasked, SHAPES[0]),
  ("_scores", transposed_bias, SHAPES[0]),  # Only the backward pass is wrong.
  ("_start", lambda band, i, others: 0, SHAPES[2]),  # The window stands still.
]


@pytest.mark.parametrize(("name", "broken", "shape"), BROKEN, ids=lambda x: str(x)[:20])
def test_a_broken_kernel_is_caught(monkeypatch, name, broken, shape):
  monkeypatch.setattr(blocks, name, broken)

  def kernel(asked):  # Of another identity, so that nothing compiled is reused.
    return blocked(asked)

  with pytest.raises(AssertionError):
    compare(kernel, shape, 0, tolerance=1e-4)


@pytest.mark.parametrize("kernel", [blocked, xla, reference])
def test_a_query_that_sees_nobody_gets_zeros(kernel):
  asked = problem(SHAPES[0], 0)
  at = asked.mask.query_positions
  asked = asked._replace(mask=Mask(at, jnp.full_like(at, -1), causal=True))
  y, *gradients = values_and_gradients(kernel, asked)
  assert not np.asarray(y).any()
  assert all(np.isfinite(gradient).all() for gradient in gradients)


def test_memory_grows_with_the_length_and_not_its_square(monkeypatch):
  monkeypatch.undo()  # Blocks of their usual size.

  def temporary(length):
    q = jax.ShapeDtypeStruct((1, length, 2, 16), jnp.float32)

    def total(q, k, v):
      at = jnp.arange(length, dtype=jnp.int32)[None]
      return blocked(Problem(q, k, v, Mask(at, at, True, True))).sum()

    program = jax.jit(jax.grad(total, (0, 1, 2))).lower(q, q, q).compile()
    return program.memory_analysis().temp_size_in_bytes

  assert temporary(8192) < 2.5 * temporary(4096)


def test_the_plain_formula_steps_in_while_somebody_watches():
  asked = problem(SHAPES[0], 0)
  with watch_weights() as seen:
    choose.attend(asked, "blocked")
  assert [weights.shape for weights in seen] == [(B, N, 37, 37)]


def chosen(monkeypatch, asked, platform="cpu"):
  """The kernel that "auto" takes."""
  taken = []
  for name in choose.KERNELS:
    take = lambda asked, name=name: taken.append(name)  # noqa: E731
    monkeypatch.setitem(choose.KERNELS, name, take)
  monkeypatch.setattr(jax, "default_backend", lambda: platform)
  choose.attend(asked)
  return taken


def test_auto_takes_blocks_for_long_texts_alone(monkeypatch):
  short = problem(SHAPES[0], 0)
  assert chosen(monkeypatch, short) == ["reference"]
  monkeypatch.setattr(choose, "BLOCKED_FROM", 37)
  assert chosen(monkeypatch, short) == ["blocked"]
  assert chosen(monkeypatch, short._replace(dropout=0.1)) == ["reference"]
  bias = jnp.zeros((B, N, 37, 37))
  assert chosen(monkeypatch, short._replace(bias=bias)) == ["reference"]


def test_auto_spares_an_accelerators_memory(monkeypatch):
  asked = problem(SHAPES[0], 0)
  monkeypatch.setattr(choose, "BLOCKED_FROM", 1)
  assert chosen(monkeypatch, asked, "gpu") == ["reference"]
  monkeypatch.setattr(choose, "LARGE", 4 * B * N * 37 * 37 - 1)
  assert chosen(monkeypatch, asked, "gpu") == ["blocked"]


def test_auto_takes_cudnn_where_it_can(monkeypatch):
  x = jnp.zeros((1, 8, 2, 16), jnp.bfloat16)
  at = default_positions(x)
  asked = Problem(x, x, x, Mask(at, at, True, True))
  assert chosen(monkeypatch, asked, "gpu") == ["cudnn"]
  odd = asked._replace(q=x[..., :5], k=x[..., :5])
  assert chosen(monkeypatch, odd, "gpu") == ["reference"]
  x = x.astype(jnp.float32)
  assert chosen(monkeypatch, asked._replace(q=x, k=x, v=x), "gpu") == ["reference"]


@pytest.mark.parametrize(
  ("kernel", "change", "message"),
  [
    ("blokced", {}, "Did you mean 'blocked'"),
    ("cudnn", {}, "needs an NVIDIA GPU. Use auto or reference"),
    ("blocked", {"dropout": 0.1}, "no weights that could be dropped"),
    ("xla", {"dropout": 0.1}, "no weights that could be dropped"),
    (
      "blocked",
      {"bias": jnp.zeros((B, N, 37, 37))},
      "no bias that is learned or drawn",
    ),
  ],
)
def test_what_a_kernel_cannot_do_is_refused(kernel, change, message):
  with pytest.raises(UserError, match=message):
    choose.attend(problem(SHAPES[0], 0)._replace(**change), kernel)


def test_the_configuration_knows_every_kernel():
  assert SETTINGS["kernel"].choices == choose.NAMES


def test_what_is_differentiated_is_no_constant():
  assert is_constant(lambda x: jnp.cos(x) + jnp.ones(3), jnp.ones(3))
  jax.grad(lambda w: (w, check(w))[0])(1.0)


def check(w):
  assert not is_constant(lambda x: w * x, jnp.ones(3))
