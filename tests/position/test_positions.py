"""Each positional scheme is its formula, and acts where it says."""

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention_lab.errors import UserError
from attention_lab.position.base import Position, positions
from tests.parts import default_positions


def call(spec, method, *args, max_length=16):
  """One hook of a scheme, jitted, with fresh parameters."""

  def run(*args):
    return getattr(positions.bind(spec)(max_length=max_length), method)(*args)

  transformed = hk.transform(run)
  params = transformed.init(jax.random.key(0), *args)
  return transformed.apply(params, None, *args)


ACTS = {
  "none": set(),
  "sinusoidal": {"embed"},
  "learned": {"embed"},
  "rope": {"rotate"},
  "alibi": {"bias"},
}
OPTIONS = {
  ("sinusoidal", "base"): 10.0,
  ("learned", "stddev"): 1.0,
  ("rope", "base"): 10.0,
  ("alibi", "max_bias"): 4.0,
}


@pytest.mark.parametrize("name", positions)
def test_a_scheme_acts_where_its_class_says(name):
  assert positions[name].acts() == ACTS[name]
  x, heads = jnp.ones((2, 5, 8)), jnp.ones((2, 5, 2, 4))
  at = default_positions(2, 5) + 1
  changed = set()
  if not np.array_equal(call(name, "embed", x, at), x):
    changed.add("embed")
  if not np.array_equal(call(name, "rotate", heads, at), heads):
    changed.add("rotate")
  if positions[name].acts() >= {"bias"}:
    bias = call_bias(name, at, at, 2)
    assert bias.shape == (2, 2, 5, 5)
    changed |= {"bias"} if np.any(bias) else set()
  assert changed == ACTS[name]


def call_bias(spec, query_at, context_at, heads):
  run = lambda a, b: positions.bind(spec)(max_length=16).bias(a, b, heads)  # noqa: E731
  return hk.transform(run).apply({}, None, query_at, context_at)


@pytest.mark.parametrize("name", positions)
def test_every_option_is_tried_here(name):
  assert {option for part, option in OPTIONS if part == name} == set(
    positions.options(name)
  )


@pytest.mark.parametrize(("name", "option"), OPTIONS)
def test_every_option_changes_something(name, option):
  spec = f"{name}({option}={OPTIONS[name, option]})"
  at = default_positions(1, 5)
  if name == "alibi":
    results = [call_bias(one, at, at, 2) for one in (name, spec)]
  else:
    hook = next(iter(ACTS[name]))
    x = jnp.ones((1, 5, 8) if hook == "embed" else (1, 5, 2, 4))
    results = [call(one, hook, x, at) for one in (name, spec)]
  assert not np.allclose(*results)


def test_sinusoidal_is_the_papers_formula(in_float64):
  at = jnp.array([[0, 1, 7]])
  encoding = call("sinusoidal", "embed", jnp.zeros((1, 3, 6)), at)[0]
  for row, position in enumerate([0, 1, 7]):
    for i in range(3):
      angle = position / 10_000 ** (2 * i / 6)
      assert encoding[row, 2 * i] == pytest.approx(np.sin(angle), abs=1e-12)
      assert encoding[row, 2 * i + 1] == pytest.approx(np.cos(angle), abs=1e-12)


def test_rope_turns_the_first_half_with_the_second(in_float64):
  x = np.arange(1.0, 5.0).reshape(1, 1, 1, 4)
  y = np.asarray(call("rope", "rotate", jnp.asarray(x), jnp.array([[3]])))[0, 0, 0]
  for f, theta in enumerate([3 * 1.0, 3 * 10_000**-0.5]):
    turned = complex(x[0, 0, 0, f], x[0, 0, 0, f + 2]) * np.exp(1j * theta)
    assert y[f] == pytest.approx(turned.real, abs=1e-12)
    assert y[f + 2] == pytest.approx(turned.imag, abs=1e-12)


def test_rope_scores_depend_on_the_distance_alone(in_float64):
  q, k = np.random.default_rng(0).normal(size=(2, 1, 4, 2, 8))

  def scores(shift):
    at = default_positions(1, 4) + shift
    turned = [call("rope", "rotate", jnp.asarray(x), at) for x in (q, k)]
    return jnp.einsum("BTNK,BSNK->BNTS", *turned)

  np.testing.assert_allclose(scores(0), scores(1000), rtol=1e-9)


def test_alibi_has_the_papers_slopes():
  at = jnp.array([[1]])
  slopes = -call_bias("alibi", at, jnp.array([[0]]), 8)[0, :, 0, 0]
  np.testing.assert_allclose(slopes, [2.0**-n for n in range(1, 9)])
  twelve = -call_bias("alibi", at, jnp.array([[0]]), 12)[0, :, 0, 0]
  between = [2.0 ** -(n - 0.5) for n in range(1, 5)]
  np.testing.assert_allclose(twelve, [*slopes, *between], rtol=1e-6)


def test_alibi_falls_with_the_distance():
  at = default_positions(1, 4)
  bias = call_bias("alibi", at, at, 1)[0, 0]
  np.testing.assert_allclose(bias[3], -(2.0**-8) * np.array([3, 2, 1, 0]))


def test_learned_positions_end_where_training_ends():
  assert positions["learned"].bounded
  assert not any(positions[name].bounded for name in positions if name != "learned")
  at = jnp.array([[0, 15, -1]])
  y = call("learned", "embed", jnp.zeros((1, 3, 4)), at)
  assert not np.allclose(y[0, 0], y[0, 1])
  assert np.isfinite(y).all()


@pytest.mark.parametrize(
  ("name", "hook", "shape"),
  [("rope", "rotate", (1, 2, 1, 3)), ("sinusoidal", "embed", (1, 2, 3))],
)
def test_odd_sizes_are_refused(name, hook, shape):
  with pytest.raises(UserError, match="even, not 3"):
    call(name, hook, jnp.ones(shape), default_positions(1, 2))


def test_low_precision_is_kept():
  x = jnp.ones((1, 5, 2, 4), jnp.bfloat16)
  assert call("rope", "rotate", x, default_positions(1, 5)).dtype == jnp.bfloat16


def test_a_scheme_that_overrides_nothing_acts_nowhere():
  assert Position.acts() == frozenset()
