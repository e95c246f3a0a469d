"""Each positional scheme equals its formula and changes only its own hooks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention_lab.errors import UserError
from attention_lab.position.base.position import Position, positions
from tests.parts import default_positions
from tests.position.schemes import call

ACTS = {
  "none": set(),
  "sinusoidal": {"embed"},
  "learned": {"embed"},
  "rope": {"rotate"},
  "xpos": {"rotate", "rotate_keys"},
  "alibi": {"bias"},
  "t5": {"bias"},
  "kerple": {"bias"},
  "fire": {"bias"},
  "randomized": {"rotate"},
}
# Value of each option; some options need another one.
OPTIONS = {
  ("sinusoidal", "base"): "base=10.0",
  ("learned", "stddev"): "stddev=1.0",
  ("rope", "base"): "base=10.0",
  ("rope", "share"): "share=0.5",
  ("rope", "scaling"): "scaling=linear, factor=2",
  ("rope", "factor"): "scaling=linear, factor=3",
  ("rope", "original"): "scaling=yarn, factor=3, original=700",
  ("rope", "ramp"): "scaling=yarn, factor=3, original=700, ramp=dimensions",
  ("xpos", "base"): "base=10.0",
  ("xpos", "gamma"): "gamma=1.0",
  ("xpos", "scale_base"): "scale_base=100",
  ("alibi", "max_bias"): "max_bias=4.0",
  ("t5", "buckets"): "buckets=16",
  ("t5", "max_distance"): "max_distance=64",
  ("t5", "bidirectional"): "bidirectional=True",
  ("t5", "stddev"): "stddev=1.0",
  ("kerple", "variant"): "variant=power",
  ("fire", "width"): "width=16",
  ("fire", "threshold"): "threshold=10",
  ("randomized", "of"): "of=alibi",
  ("randomized", "longest"): "longest=100",
  ("randomized", "stride"): "stride=2",
}
WITHOUT = {
  ("rope", "factor"): "rope(scaling=linear, factor=2)",
  ("rope", "original"): "rope(scaling=yarn, factor=3)",
  ("rope", "ramp"): "rope(scaling=yarn, factor=3, original=700)",
}
AT = jnp.array([[0, 1, 5, 40, 150]], jnp.int32)


def everything(spec, at=AT, key=None):
  """Return the result of each hook for the same inputs."""
  x, heads = jnp.ones((1, at.shape[1], 8)), jnp.ones((1, at.shape[1], 2, 4))
  inputs = {"embed": (x,), "rotate": (heads,), "rotate_keys": (heads,), "bias": (at,)}
  results = {}
  for hook, (first,) in inputs.items():
    more = (2,) if hook == "bias" else ()
    results[hook] = call(spec, hook, first, at, *more, key=key)
  return results


def changed(results):
  """Return the hooks that changed their result."""
  x, rotated = jnp.ones((1, 5, 8)), results["rotate"]
  plain = {"embed": x, "rotate": jnp.ones((1, 5, 2, 4)), "rotate_keys": rotated}
  found = {hook for hook, y in plain.items() if not np.array_equal(results[hook], y)}
  if results["bias"] is not None:
    assert results["bias"].shape == (1, 2, 5, 5)
    found |= {"bias"} if np.any(results["bias"]) else set()
  return found


@pytest.mark.parametrize("name", positions)
def test_scheme_changes_exactly_the_results_of_its_hooks(name):
  assert positions[name].acts() == ACTS[name]
  assert changed(everything(name)) == ACTS[name]


@pytest.mark.parametrize("name", positions)
def test_every_option_has_a_case(name):
  assert {option for scheme, option in OPTIONS if scheme == name} == set(
    positions.options(name)
  )


@pytest.mark.parametrize(("name", "option"), OPTIONS)
def test_every_option_changes_a_result(name, option):
  key = (
    jax.random.key(1) if option == "longest" else None
  )  # Has an effect only on samples.
  spec = f"{name}({OPTIONS[name, option]})"
  results = [
    everything(one, key=key) for one in (WITHOUT.get((name, option), name), spec)
  ]
  same = [
    (one is None) == (other is None) and (one is None or np.array_equal(one, other))
    for one, other in zip(*(result.values() for result in results), strict=True)
  ]
  assert not all(same)


RELATIVE = [
  "rope",
  "rope(share=0.5, base=10)",
  "rope(scaling=linear, factor=3)",
  "rope(scaling=ntk, factor=3)",
  "rope(scaling=yarn, factor=3)",
  "xpos",
  "alibi",
  "t5",
  "t5(bidirectional=True, buckets=8, max_distance=9)",
  "kerple",
  "kerple(variant=power)",
]


@pytest.mark.parametrize("spec", RELATIVE)
def test_scores_depend_only_on_the_distance(in_float64, spec):
  q, k = np.random.default_rng(0).normal(size=(2, 1, 4, 2, 8))

  def scores(shift):
    at = default_positions(1, 4) + shift
    turned = [
      call(spec, hook, jnp.asarray(x), at)
      for hook, x in (("rotate", q), ("rotate_keys", k))
    ]
    bias = call(spec, "bias", at, at, 2)
    return jnp.einsum("BTNK,BSNK->BNTS", *turned) + (0 if bias is None else bias)

  np.testing.assert_allclose(scores(0), scores(1000), rtol=1e-9, atol=1e-11)
  assert not np.allclose(scores(0)[:, :, 1:, 1:], scores(0)[:, :, 1:, :1])


@pytest.mark.parametrize("spec", [*ACTS, "rope(scaling=yarn, factor=2)"])
def test_results_keep_the_dtype(spec):
  for dtype in (jnp.bfloat16, jnp.float32):
    x, heads = jnp.ones((1, 5, 8), dtype), jnp.ones((1, 5, 2, 4), dtype)
    assert call(spec, "embed", x, AT).dtype == dtype
    assert call(spec, "rotate", heads, AT).dtype == dtype
    assert call(spec, "rotate_keys", heads, AT).dtype == dtype
  bias = call(spec, "bias", AT, AT, 2)
  assert bias is None or bias.dtype == jnp.float32


@pytest.mark.parametrize("spec", [*ACTS, "kerple(variant=power)"])
def test_results_at_padding_are_finite(spec):
  at = jnp.array([[-1, -1, 0, 1, 2]], jnp.int32)
  for hook, y in everything(spec, at).items():
    assert y is None or np.isfinite(y).all(), hook


def test_sinusoidal_equals_the_formula_of_the_paper(in_float64):
  at = jnp.array([[0, 1, 7]])
  encoding = call("sinusoidal", "embed", jnp.zeros((1, 3, 6)), at)[0]
  for row, position in enumerate([0, 1, 7]):
    for i in range(3):
      angle = position / 10_000 ** (2 * i / 6)
      assert encoding[row, 2 * i] == pytest.approx(np.sin(angle), abs=1e-12)
      assert encoding[row, 2 * i + 1] == pytest.approx(np.cos(angle), abs=1e-12)


def test_rope_pairs_the_first_half_with_the_second(in_float64):
  x = np.arange(1.0, 5.0).reshape(1, 1, 1, 4)
  y = np.asarray(call("rope", "rotate", jnp.asarray(x), jnp.array([[3]])))[0, 0, 0]
  for f, theta in enumerate([3 * 1.0, 3 * 10_000**-0.5]):
    turned = complex(x[0, 0, 0, f], x[0, 0, 0, f + 2]) * np.exp(1j * theta)
    assert y[f] == pytest.approx(turned.real, abs=1e-12)
    assert y[f + 2] == pytest.approx(turned.imag, abs=1e-12)


def test_alibi_has_the_slopes_of_the_paper():
  at = jnp.array([[1]])
  slopes = -call("alibi", "bias", at, jnp.array([[0]]), 8)[0, :, 0, 0]
  np.testing.assert_allclose(slopes, [2.0**-n for n in range(1, 9)])
  twelve = -call("alibi", "bias", at, jnp.array([[0]]), 12)[0, :, 0, 0]
  between = [2.0 ** -(n - 0.5) for n in range(1, 5)]
  np.testing.assert_allclose(twelve, [*slopes, *between], rtol=1e-6)


def test_alibi_is_minus_slope_times_distance():
  at = default_positions(1, 4)
  bias = call("alibi", "bias", at, at, 1)[0, 0]
  np.testing.assert_allclose(bias[3], -(2.0**-8) * np.array([3, 2, 1, 0]))


def test_only_learned_positions_are_bounded():
  assert positions["learned"].bounded
  assert not any(positions[name].bounded for name in positions if name != "learned")
  at = jnp.array([[0, 15, -1]])
  y = call("learned", "embed", jnp.zeros((1, 3, 4)), at)
  assert not np.allclose(y[0, 0], y[0, 1])
  assert np.isfinite(y).all()


@pytest.mark.parametrize(
  ("name", "hook", "shape"),
  [
    ("rope", "rotate", (1, 2, 1, 3)),
    ("xpos", "rotate_keys", (1, 2, 1, 3)),
    ("sinusoidal", "embed", (1, 2, 3)),
  ],
)
def test_odd_sizes_are_rejected(name, hook, shape):
  with pytest.raises(UserError, match="even, not 3"):
    call(name, hook, jnp.ones(shape), default_positions(1, 2))


def test_base_class_overrides_no_hook():
  assert Position.acts() == frozenset()
