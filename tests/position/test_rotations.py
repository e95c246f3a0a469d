"""Extensions of rope, and xPos, against the formulas of the papers in numpy."""

import cmath
import math

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention_lab.attention.base.attention import attentions
from attention_lab.errors import UserError
from attention_lab.experiment import assemble
from attention_lab.kernel.mask import Mask
from attention_lab.position.rope import Rope
from tests.parts import default_positions, inputs, make_attention, tiny_config
from tests.position.schemes import call

K, LENGTH = 8, 200
AT = [0, 1, 7, 300]
X = np.random.default_rng(0).normal(size=(1, 4, 3, K))


def turned(x, multiplier):
  """Return x [B, T, N, K] with its pairs multiplied by complex `multiplier(p, f)`."""
  y = np.array(x)
  half = x.shape[-1] // 2
  for t, p in enumerate(AT):
    for f in range(half):
      z = (x[:, t, :, f] + 1j * x[:, t, :, f + half]) * multiplier(p, f)
      y[:, t, :, f], y[:, t, :, f + half] = z.real, z.imag
  return y


def close(spec, multiplier, hook="rotate"):
  actual = call(spec, hook, jnp.asarray(X), jnp.array([AT]), max_length=LENGTH)
  np.testing.assert_allclose(actual, turned(X, multiplier), rtol=1e-11, atol=1e-11)


def test_only_the_share_of_the_pairs_is_rotated(in_float64):
  def multiplier(p, f):
    return cmath.exp(1j * p * 10_000 ** (-2 * f / 4)) if f < 2 else 1

  close("rope(share=0.5)", multiplier)
  x = jnp.asarray(X)
  y = call("rope(share=0.5)", "rotate", x, jnp.array([AT]))
  np.testing.assert_array_equal(y[..., 2:4], x[..., 2:4])
  np.testing.assert_array_equal(y[..., 6:8], x[..., 6:8])


def test_linear_scaling_is_position_interpolation(in_float64):
  close(
    "rope(scaling=linear, factor=4)",
    lambda p, f: cmath.exp(1j * p / 4 * 10_000 ** (-2 * f / K)),
  )


@pytest.mark.parametrize(("share", "features"), [(1.0, 8), (0.75, 6)])
def test_ntk_scaling_changes_the_base(in_float64, share, features):
  base = 10_000 * 4 ** (features / (features - 2))

  def multiplier(p, f):
    return cmath.exp(1j * p * base ** (-2 * f / features)) if 2 * f < features else 1

  close(f"rope(scaling=ntk, factor=4, share={share})", multiplier)
  # The longest wavelength is interpolated, the shortest is unchanged.
  last = features - 2
  assert base ** (-last / features) == pytest.approx(10_000 ** (-last / features) / 4)


@pytest.mark.parametrize("base", [10_000, 50])
def test_yarn_equals_the_formula_of_the_paper(in_float64, base):
  kinds = set()

  def multiplier(p, f):
    theta = base ** (-2 * f / K)
    turns = LENGTH / (2 * math.pi / theta)
    gamma = 0 if turns < 1 else 1 if turns > 32 else (turns - 1) / (32 - 1)
    kinds.add("ramp" if 0 < gamma < 1 else gamma)
    stretched = (1 - gamma) * theta / 4 + gamma * theta
    return cmath.exp(1j * p * stretched)

  close(f"rope(scaling=yarn, factor=4, base={base}.0)", multiplier)
  assert "ramp" in kinds
  if base == 10_000:
    assert 0 in kinds


@pytest.mark.parametrize("base", [10_000, 50])
def test_the_ramp_of_yarn_can_be_linear_in_the_dimensions(in_float64, base):
  """As in the authors' code: between the rounded indices of two numbers of turns."""

  def index(turns):
    return K * math.log(LENGTH / (turns * 2 * math.pi)) / (2 * math.log(base))

  low, high = max(math.floor(index(32)), 0), min(math.ceil(index(1)), K - 1)
  assert 0 <= low < high

  def multiplier(p, f):
    theta = base ** (-2 * f / K)
    interpolated = min(max((f - low) / (high - low), 0), 1)
    stretched = interpolated * theta / 4 + (1 - interpolated) * theta
    return cmath.exp(1j * p * stretched)

  close(f"rope(scaling=yarn, factor=4, base={base}.0, ramp=dimensions)", multiplier)


def test_yarn_does_not_interpolate_fast_pairs(in_float64):
  """The first pair turns LENGTH / 2π = 32.5 times: it is not interpolated."""
  y = call(
    "rope(scaling=yarn, factor=4)",
    "rotate",
    jnp.ones((1, 1, 1, K)),
    jnp.array([[5]]),
    max_length=205,
  )
  plain = call("rope", "rotate", jnp.ones((1, 1, 1, K)), jnp.array([[5]]))
  np.testing.assert_allclose(y[..., 0], plain[..., 0])
  assert not np.allclose(y[..., 1], plain[..., 1])


# Whose weights are a softmax of scores, an approximation of one, or sigmoids.
SOFTMAX = (
  *("standard", "cosine", "differential", "latent", "talking_heads", "sliding_window"),
  *("softmax_plus_one", "forgetting", "leviathan_selective", "selective_naive"),
  *("selective", "dilated", "block_sparse", "linformer", "nystrom", "sigmoid"),
  *("based", "performer", "moba"),
)


@pytest.mark.parametrize("name", attentions)
def test_a_temperature_changes_a_softmax_and_nothing_else(monkeypatch, name):
  """YaRN's temperature has no place in a linear attention, whose output it would scale."""
  part, programs = attentions[name], []
  x, at = inputs(), default_positions()
  if "rotate" not in part.honours:
    pytest.skip("it honours no rotation")

  def run():
    mask = Mask(at, at, causal="causal" in part.kinds)
    return make_attention(name, "rope(scaling=yarn, factor=4)")(x, x, mask)

  for scale in (None, 1.0):
    if scale:
      monkeypatch.setattr(Rope, "score_scale", scale)
    programs.append(str(jax.make_jaxpr(hk.transform(run).init)(jax.random.key(0))))
  assert (programs[0] != programs[1]) == (name in SOFTMAX)


@pytest.mark.parametrize("spec", ["{}", "randomized(of='{}')"])
def test_the_temperature_of_yarn_is_that_of_the_paper(spec):
  spec = spec.format("rope(scaling=yarn, factor=4)")
  assert call(spec, "score_scale") == pytest.approx((0.1 * math.log(4) + 1) ** 2)


def test_yarn_takes_the_length_of_training_at_other_lengths(in_float64):
  """As `close`, whose training length is LENGTH: longer sequences do not change it."""
  spec, at = "rope(scaling=yarn, factor=4{})", jnp.array([[5]])
  ones = jnp.ones((1, 1, 1, K))
  short = call(spec.format(""), "rotate", ones, at, max_length=64)
  long = spec.format(", original=64")
  np.testing.assert_array_equal(call(long, "rotate", ones, at, max_length=256), short)


@pytest.mark.parametrize(
  ("spec", "message"),
  [
    ("rope(factor=2)", r"factor=2\) needs a scaling: linear, ntk or yarn"),
    ("rope(scaling=linear)", "needs a factor above 1, not 1"),
    ("rope(scaling=yarn, factor=0.5)", "needs a factor above 1, not 0.5"),
    ("rope(original=8)", "original=8.: take a length, with scaling=yarn"),
    ("rope(ramp=dimensions)", "ramp=dimensions. needs scaling=yarn"),
    ("rope(share=0)", "above 0 and at most 1"),
    ("rope(share=1.5)", "above 0 and at most 1"),
    ("rope(share=0.1)", "share=0.1.* turns no pair of 4 features"),
    ("rope(share=0.5, scaling=ntk, factor=2)", "changes nothing where a single pair"),
    ("rope(scaling=dynamic, factor=2)", "expected"),
    ("xpos(gamma=0)", "both are above 0"),
    ("xpos(scale_base=0)", "both are above 0"),
  ],
)
def test_invalid_options_are_rejected_in_one_line(spec, message):
  with pytest.raises(UserError, match=message) as error:
    assemble(tiny_config(position=spec))
  assert "\n" not in str(error.value)


@pytest.mark.parametrize(("hook", "sign"), [("rotate", 1), ("rotate_keys", -1)])
def test_xpos_equals_the_formula_of_the_paper(in_float64, hook, sign):
  def multiplier(p, f):
    zeta = (f / (K / 2) + 0.4) / 1.4
    power = sign * (p - LENGTH / 2) / 512
    return zeta**power * cmath.exp(1j * p * 10_000 ** (-2 * f / K))

  close("xpos", multiplier, hook)


def test_xpos_scores_decay_by_zeta_of_the_distance(in_float64):
  q, k = X[:1, :1], X[:1, 1:2]

  def score(spec, i, j):
    u = call(spec, "rotate", jnp.asarray(q), jnp.array([[i]]))
    w = call(spec, "rotate_keys", jnp.asarray(k), jnp.array([[j]]))
    return (u * w)[0, 0, 0]

  decay = np.tile((np.arange(4) / 4 + 0.4) / 1.4, 2) ** (90 / 512)
  both = score("xpos", 1090, 1000), score("rope", 1090, 1000)
  pairs = [products[:4] + products[4:] for products in both]
  np.testing.assert_allclose(pairs[0], pairs[1] * decay[:4], rtol=1e-9)


def test_xpos_is_finite_up_to_16384_positions():
  at = jnp.array([[-1, 0, 8_000, 16_383]], jnp.int32)
  x = jnp.asarray(X, jnp.float32)

  def scores(x):
    u, w = (call("xpos", hook, x, at) for hook in ("rotate", "rotate_keys"))
    return jnp.einsum("BTNK,BSNK->BNTS", u, w)

  y, gradient = scores(x), jax.grad(lambda x: (jnp.tril(scores(x)) ** 2).sum())(x)
  assert np.isfinite(y).all()
  assert np.isfinite(gradient).all()
  far = np.tril(np.asarray(y)[0, 0], -1)
  assert np.abs(far[3, 1]) < np.abs(X[0, 3, 0] @ X[0, 1, 0]) + 10
