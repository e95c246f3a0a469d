"""Linear and recurrent attentions are their recurrences, whatever the chunk."""

import functools
import itertools

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention_lab.attention.base import recurrent
from attention_lab.attention.base.attention import attentions
from attention_lab.attention.base.delta import Delta
from attention_lab.attention.based import taylor
from attention_lab.attention.linear import elu_plus_one
from attention_lab.attention.performer import orthogonal, redrawn_orthogonal
from attention_lab.benchmark.flops import matmul_flops
from attention_lab.errors import UserError
from attention_lab.experiment import assemble
from attention_lab.kernel.decayed import decayed
from attention_lab.kernel.delta import delta_rule
from attention_lab.kernel.mask import Mask
from tests.parts import (
  HEADS,
  KEY_SIZE,
  B,
  attention_functions,
  default_positions,
  inputs,
  make_attention,
  tiny_config,
)

EXACT = {"rtol": 1e-10, "atol": 1e-10}
SUMS = ("linear", "performer", "cosformer", "based")
STEPS = ("retention", "gated_linear", "delta_net", "gated_delta_net")
REAL = np.array([False, False, True, True, False, True, True, True])  # Others: padding.


def steps(q, k, v, log_decay, beta, state):
  """S ← diag(exp g) S, S ← S + k (β (v - Sᵀ k))ᵀ or S + k vᵀ, y = Sᵀ q, one by one."""

  def step(state, token):
    if log_decay is not None:
      state = jnp.exp(token["log_decay"])[..., None] * state
    new = token["v"]
    if beta is not None:
      recalled = jnp.einsum("BNKV,BNK->BNV", state, token["k"])
      new = token["beta"][..., None] * (new - recalled)
    state = state + jnp.einsum("BNK,BNV->BNKV", token["k"], new)
    return state, jnp.einsum("BNKV,BNK->BNV", state, token["q"])

  tokens = {"q": q, "k": k, "v": v, "log_decay": log_decay, "beta": beta}
  tokens = jax.tree.map(
    lambda x: jnp.moveaxis(x, 1, 0), tokens
  )  # Without what is None.
  state, ys = jax.lax.scan(step, state, tokens)
  return jnp.moveaxis(ys, 0, 1), state


def every_channel(log_decay, k):
  """A decay [B, T, N] for all channels: [B, T, N, K]."""
  return jnp.broadcast_to(log_decay[..., None], k.shape)


class Kernel:
  """A kernel and its definition as functions of the same arrays."""

  def __init__(self, rule, decay):
    self.rule, self.decay = rule, decay

  def arrays(self, length, channels=3, values=5):
    rng = np.random.default_rng(0)
    shape = (2, length, 2)
    arrays = {
      "q": rng.normal(size=(*shape, channels)),
      "k": rng.normal(size=(*shape, channels)),
      "v": rng.normal(size=(*shape, values)),
      "state": rng.normal(size=(2, 2, channels, values)),
    }
    if self.decay != "none":  # Some forget all, some nothing.
      shaped = (*shape, channels) if self.decay == "channel" else shape
      size = rng.choice([0.0, 0.1, 3.0, 200.0], size=shaped)
      arrays["log_decay"] = -size * rng.uniform(size=shaped)
    if self.rule == "delta":
      arrays["k"] /= np.linalg.norm(arrays["k"], axis=-1, keepdims=True)
      arrays["beta"] = rng.uniform(size=shape)
    return {name: jnp.asarray(array) for name, array in arrays.items()}

  def chunked(self, arrays, chunk):
    arrays = {"log_decay": None, **arrays}
    kernel = delta_rule if self.rule == "delta" else decayed
    return kernel(**arrays, chunk=chunk)

  def defined(self, arrays):
    arrays = {"log_decay": None, "beta": None, **arrays}
    if self.decay == "head":
      arrays["log_decay"] = every_channel(arrays["log_decay"], arrays["k"])
    return steps(**arrays)


def with_gradients(function, arrays):
  """Return the value of a function, and the gradients of an uneven sum of it."""

  def total(arrays):
    results = function(arrays)
    # Uneven, so that no two errors cancel.
    uneven = [jnp.cos(jnp.arange(x.size).reshape(x.shape)) * x for x in results]
    return sum(x.sum() for x in uneven), results

  return jax.jit(jax.grad(total, has_aux=True))(arrays)


@functools.cache
def definition(rule, decay, length):
  kernel = Kernel(rule, decay)
  return with_gradients(kernel.defined, kernel.arrays(length))


@pytest.mark.parametrize(("length", "chunk"), [(7, 1), (7, 16), (37, 3), (37, 16)])
@pytest.mark.parametrize(
  ("rule", "decay"),
  [*itertools.product(["sum"], ["none", "head", "channel"]), ("delta", "head")],
)
def test_a_kernel_is_its_recurrence(in_float64, rule, decay, length, chunk):
  kernel = Kernel(rule, decay)
  actual = with_gradients(
    lambda arrays: kernel.chunked(arrays, chunk), kernel.arrays(length)
  )
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, **EXACT),
    actual,
    definition(rule, decay, length),
  )


def test_the_delta_rule_may_decay_nothing(in_float64):
  kernel = Kernel("delta", "none")
  arrays = kernel.arrays(7)
  for actual, expected in zip(
    kernel.chunked(arrays, 3), kernel.defined(arrays), strict=True
  ):
    np.testing.assert_allclose(actual, expected, **EXACT)


@pytest.mark.parametrize(
  ("rule", "decay"),
  [("sum", "none"), ("sum", "head"), ("sum", "channel"), ("delta", "head")],
)
def test_a_kernel_costs_twice_as_much_for_twice_as_many_tokens(rule, decay):
  kernel = Kernel(rule, decay)
  once, twice = (
    matmul_flops(lambda arrays: kernel.chunked(arrays, 16), kernel.arrays(length))
    for length in (64, 128)
  )
  assert twice == 2 * once > 0


# The attentions, from their parameters and the papers' equations.


class Parameters:
  """Looks a module's parameters up by the last part of their names."""

  def __init__(self, params):
    self.tree = {name.split("/")[-1]: leaves for name, leaves in params.items()}
    self.own = next(iter(params)).split("/", maxsplit=1)[0]

  def linear(self, name, x):
    leaves = self.tree[name]
    y = jnp.einsum("BTD,DE->BTE", x, leaves["w"])
    return y + leaves["b"][None, None] if "b" in leaves else y

  def heads(self, name, x):
    return self.linear(name, x).reshape(*x.shape[:2], HEADS, -1)

  def output(self, heads):
    return self.linear("output", heads.reshape(*heads.shape[:2], -1))

  def scaled(self, heads):
    leaves = self.tree["norm"]
    y = heads * leaves["scale"][None, None, None]
    return y + leaves["offset"][None, None, None] if "offset" in leaves else y


def turned(x, at):
  """Rotary embedding, by complex numbers."""
  half = x.shape[-1] // 2
  angle = at[:, None] * 10_000.0 ** (-np.arange(half) / half)[None]
  pairs = (x[..., :half] + 1j * x[..., half:]) * np.exp(1j * angle)[None, :, None]
  return jnp.concatenate([pairs.real, pairs.imag], axis=-1)


def swish(x):
  return x / (1 + jnp.exp(-x))


def sigmoid(x):
  return 1 / (1 + jnp.exp(-x))


def of_length_one(x):
  return x / jnp.sqrt((x**2).sum(axis=-1, keepdims=True) + 1e-6)


def centred(y):
  y = y - y.mean(axis=-1, keepdims=True)
  return y / jnp.sqrt((y**2).mean(axis=-1, keepdims=True) + 1e-5)


def by_root_mean_square(y):
  return y / jnp.sqrt((y**2).mean(axis=-1, keepdims=True) + 1e-5)


def convolved(weights, *parts):
  """Convolve the channels of each [B, T, N, K] over the previous tokens."""
  ends = np.cumsum([part[0, 0].size for part in parts])
  for part, own in zip(parts, jnp.split(weights, ends[:-1], axis=1), strict=True):
    total = jnp.zeros_like(part)
    for back, w in enumerate(own.reshape(-1, *part.shape[2:])):
      at = jnp.arange(back, part.shape[1])
      total = total.at[:, at].add(w[None, None] * part[:, at - back])
    yield total


def pairwise(name, p, x, context, x_at, at):
  """The weights of all pairs, before they are made shares: two times [B, N, T, S].

  The numerator's and the denominator's.
  """
  q, k = p.heads("query", x), p.heads("key", context)

  def product(q, k):
    return jnp.einsum("BTNK,BSNK->BNTS", q, k)

  if name == "linear":
    q, k = (jnp.where(x > 0, x + 1, jnp.exp(x)) for x in (q, k))
    return product(turned(q, x_at), turned(k, at)), product(q, k)
  if name == "cosformer":
    q, k = jnp.maximum(q, 0), jnp.maximum(k, 0)
    distance = np.minimum(x_at, 63)[:, None] - np.minimum(at, 63)[None]
    weights = product(q, k) * np.cos(np.pi / 2 * distance / 64)[None, None]
    return weights, weights
  q, k = turned(q, x_at), turned(k, at)
  if name == "based":
    scores = product(q, k) / q.shape[-1] ** 0.5
    weights = 1 + scores + scores**2 / 2
    return weights, weights
  omega = orthogonal(128, KEY_SIZE, 0)

  def features(x):
    x = x / KEY_SIZE**0.25
    squares = (x**2).sum(axis=-1, keepdims=True)
    return jnp.exp(jnp.einsum("BTNK,FK->BTNF", x, omega) - squares / 2)

  weights = product(features(q), features(k))
  return weights, weights


def weighted_mean(name, params, x, context, x_at, at, causal):
  """The attention of SUMS with this name as the shares of a weighted mean."""
  p = Parameters(params)
  seen = np.ones((len(x_at), len(at)))
  if causal:
    seen = np.tril(seen)
  above, below = (w * seen[None, None] for w in pairwise(name, p, x, context, x_at, at))
  shares = above / (below.sum(axis=-1, keepdims=True) + 1e-16)
  v = p.heads("value", context)
  return p.output(jnp.einsum("BNTS,BSNV->BTNV", shares, v))


def recurrence(name, params, x, at, rotated=True, relative=True, strength=1):
  """The attention of STEPS with this name, token by token."""
  p = Parameters(params)
  q, k, v = (p.heads(part, x) for part in ("query", "key", "value"))
  if name in ("delta_net", "gated_delta_net"):
    if "convolution" in p.tree:
      q, k, v = (swish(y) for y in convolved(p.tree["convolution"]["w"], q, k, v))
    else:
      q, k, v = swish(q), swish(k), swish(v)
    q, k = of_length_one(q), of_length_one(k)
  if rotated:
    q, k = turned(q, at), turned(k, at)
  size = k.shape[-1]
  state = jnp.zeros((x.shape[0], HEADS, size, v.shape[-1]))
  if name == "retention":
    gamma = np.array([1 - 2.0**-5, 1 - 2.0**-6])
    log_decay = jnp.broadcast_to(jnp.log(gamma)[None, None, :, None], k.shape)
    y, _ = steps(q, k / KEY_SIZE**0.5, v, log_decay, None, state)
    if relative:
      y = y / jnp.sqrt(expected_square(q, k / KEY_SIZE**0.5, v, gamma))
    return p.output(swish(p.heads("gate", x)) * p.scaled(centred(y)))
  if name == "gated_linear":
    alpha = sigmoid(p.heads("decay_out", p.linear("decay_in", x))) ** (1 / 16)
    log_decay = jnp.log(alpha)
    if rotated:  # The features f and f + K/2 have their mean.
      pairs = log_decay.reshape(*log_decay.shape[:-1], 2, size // 2)
      log_decay = jnp.tile(pairs.mean(axis=-2), 2)
    y, _ = steps(q, k / size**0.5, v, log_decay, None, state)
    return p.output(swish(p.heads("gate", x)) * p.scaled(centred(y)))
  beta = strength * sigmoid(p.linear("beta", x))
  if name == "delta_net":
    y, _ = steps(q, k, v, None, beta, state)
    return p.output(p.scaled(by_root_mean_square(y)))
  own = p.tree["gated_delta_net"]
  step = jnp.log(1 + jnp.exp(p.linear("decay", x) + own["decay_offset"][None, None]))
  log_decay = every_channel(-jnp.exp(own["log_rate"])[None, None] * step, k)
  y, _ = steps(q, k, v, log_decay, beta, state)
  return p.output(swish(p.heads("gate", x)) * p.scaled(by_root_mean_square(y)))


def expected_square(q, k, v, gamma):
  """|q_t|² Σ_j γ^{2(t-j)} |k_j|² |v_j|² / V, pair by pair: [B, T, N, 1]."""
  q, written = (q**2).sum(axis=-1), (k**2).sum(axis=-1) * (v**2).sum(axis=-1)
  age = np.arange(q.shape[1])[:, None] - np.arange(q.shape[1])[None]
  kept = np.tril(np.ones_like(age))[..., None] * gamma ** (2 * age[..., None])
  return (q * jnp.einsum("TSN,BSN->BTN", kept, written))[..., None] / v.shape[-1]


def scheme(name):
  return "none" if name == "cosformer" else "rope"


@pytest.mark.parametrize(("chunk", "segment"), [(3, recurrent.SEGMENT), (2, 3)])
@pytest.mark.parametrize(
  ("name", "options"),
  [
    *((name, "") for name in (*SUMS, *STEPS)),
    ("delta_net", ", convolution=0, negative_eigenvalues=True"),
    ("gated_delta_net", ", convolution=1, expand_values=2"),
    ("gated_linear", ", key_ratio=0.5"),
    ("retention", ", expand_values=2"),
    ("retention", ", relative_epsilon=False"),
  ],
)
def test_an_attention_is_its_definition(
  in_float64, monkeypatch, name, options, chunk, segment
):
  """Outputs and all gradients, with padding, at a length that chunks do not divide."""
  monkeypatch.setattr(recurrent, "SEGMENT", segment)
  f = attention_functions(f"{name}(chunk={chunk}{options})", scheme(name))
  x = inputs(length=len(REAL))
  first = 60 if name == "cosformer" else 0  # Its cosine is at its end at 63.
  real = first + np.arange(5)
  row = np.full(len(REAL), -1)
  row[REAL] = real
  at = jnp.tile(jnp.asarray(row, jnp.int32), (B, 1))

  def actual(arrays):
    x = arrays["x"]
    mask = Mask(at, at, causal=True)
    return (f.apply(arrays["params"], None, x, x, mask)[:, REAL],)

  def expected(arrays):
    x, params = arrays["x"][:, REAL], arrays["params"]
    if name in SUMS:
      return (weighted_mean(name, params, x, x, real, real, True),)
    relative = "False" not in options
    strength = 2 if "negative_eigenvalues" in options else 1
    return (recurrence(name, params, x, real, relative=relative, strength=strength),)

  arrays = {"x": x, "params": f.params}
  jax.tree.map(
    lambda x, y: np.testing.assert_allclose(x, y, **EXACT),
    with_gradients(actual, arrays),
    with_gradients(expected, arrays),
  )


def test_features_that_no_rotation_pairs_decay_apart(in_float64):
  f = attention_functions("gated_linear")
  x, at = inputs(length=5), np.arange(5)
  mask = Mask(*(jnp.tile(jnp.asarray(at, jnp.int32), (B, 1)),) * 2, causal=True)
  expected = recurrence("gated_linear", f.params, x, at, rotated=False)
  np.testing.assert_allclose(f.apply(f.params, None, x, x, mask), expected, **EXACT)


@pytest.mark.parametrize("name", STEPS)
def test_segments_of_a_text_without_padding_are_one_pass(in_float64, monkeypatch, name):
  whole, parts = (attention_functions(f"{name}(chunk={n})", "rope") for n in (3, 2))
  x = inputs(length=8)
  at = jnp.tile(jnp.arange(8, dtype=jnp.int32), (B, 1))
  mask = Mask(at, at, causal=True, aligned=True)
  expected = whole.apply(whole.params, None, x, x, mask)
  monkeypatch.setattr(recurrent, "SEGMENT", 3)
  np.testing.assert_allclose(
    parts.apply(whole.params, None, x, x, mask), expected, **EXACT
  )


@pytest.mark.parametrize("name", SUMS)
def test_a_mean_can_be_over_another_sequence(in_float64, name):
  f = attention_functions(name, scheme(name))
  x, context = inputs(length=4), inputs(length=6, seed=1)
  x_at, at = np.arange(4), np.array([0, 1, -1, 2, 3, -1])
  mask = Mask(*(jnp.tile(jnp.array(p, jnp.int32), (B, 1)) for p in (x_at, at)), False)
  real = at >= 0
  expected = weighted_mean(name, f.params, x, context[:, real], x_at, at[real], False)
  np.testing.assert_allclose(
    f.apply(f.params, None, x, context, mask), expected, **EXACT
  )


@pytest.mark.parametrize("name", [*SUMS, *STEPS])
def test_a_huge_token_changes_nothing_before_it(name):
  """Compare by value: a Jacobian misses what has no gradient, such as a maximum."""
  f = attention_functions(name)
  x = inputs()
  at = jnp.tile(jnp.arange(x.shape[1], dtype=jnp.int32), (B, 1))
  mask = Mask(at, at, causal=True)
  before = f.apply(f.params, None, x, x, mask)
  huge = x.at[:, -1].mul(100)
  after = f.apply(f.params, None, huge, huge, mask)
  np.testing.assert_array_equal(after[:, :-1], before[:, :-1])
  assert np.isfinite(after).all()
  assert not np.allclose(after[:, -1], before[:, -1])


def test_feature_maps_are_what_they_stand_for(in_float64):
  q, k = np.random.default_rng(0).normal(size=(2, 9, 5))
  s = (q * k).sum(axis=-1) / 5**0.5
  actual = (taylor(jnp.asarray(q)) * taylor(jnp.asarray(k))).sum(axis=-1)
  np.testing.assert_allclose(actual, 1 + s + s**2 / 2, **EXACT)
  x = jnp.array([-40.0, -1.0, 0.0, 2.0])
  np.testing.assert_allclose(
    elu_plus_one(x), [np.exp(-40), np.exp(-1), 1, 3], rtol=1e-14
  )


def test_random_features_are_orthogonal_and_as_long_as_normal_ones():
  omega = orthogonal(4096, 8, 3).reshape(-1, 8, 8)
  products = np.einsum("mfk,mgk->mfg", omega, omega)
  lengths = np.einsum("mff->mf", products)
  np.testing.assert_allclose(products, lengths[..., None] * np.eye(8), atol=1e-12)
  assert abs(lengths.mean() - 8) < 0.3
  assert np.abs(omega.mean(axis=(0, 1))).max() < 0.1
  assert orthogonal(7, 3, 0).shape == (7, 3)


def test_redrawn_features_are_orthogonal_and_as_long_as_normal_ones():
  omega = jax.jit(redrawn_orthogonal, static_argnums=(1, 2))(jax.random.key(0), 1024, 8)
  groups = np.asarray(omega).reshape(-1, 8, 8)
  products = np.einsum("mfk,mgk->mfg", groups, groups)
  lengths = np.einsum("mff->mf", products)
  np.testing.assert_allclose(products, lengths[..., None] * np.eye(8), atol=1e-4)
  assert abs(lengths.mean() - 8) < 0.5
  assert np.abs(groups.mean(axis=(0, 1))).max() < 0.2


def test_features_are_redrawn_where_there_is_a_random_key():
  def call(spec, key):
    f = attention_functions(spec)
    at = jnp.tile(jnp.arange(6, dtype=jnp.int32), (B, 1))
    mask = Mask(at, at, causal=True)
    return np.asarray(f.apply(f.params, key, inputs(), inputs(), mask))

  fixed, redrawn = "performer(features=8)", "performer(features=8, redrawn=True)"
  keys = jax.random.split(jax.random.key(0))
  np.testing.assert_array_equal(call(fixed, keys[0]), call(fixed, None))
  np.testing.assert_array_equal(call(redrawn, None), call(fixed, None))
  np.testing.assert_array_equal(call(redrawn, keys[0]), call(redrawn, keys[0]))
  assert not np.allclose(call(redrawn, keys[0]), call(redrawn, keys[1]))
  assert not np.allclose(call(redrawn, keys[0]), call(fixed, None))


def test_a_performer_with_many_features_is_softmax_attention():
  x = inputs() / 2
  at = jnp.tile(jnp.arange(x.shape[1], dtype=jnp.int32), (B, 1))
  mask = Mask(at, at, causal=True)
  standard = attention_functions("standard", "rope")
  expected = standard.apply(standard.params, None, x, x, mask)
  errors = []
  for features in (4, 64, 16384):
    performer = attention_functions(f"performer(features={features})", "rope")
    params = {
      name.replace("standard", "performer"): leaves
      for name, leaves in standard.params.items()
    }
    y = performer.apply(params, None, x, x, mask)
    errors.append(float(np.abs(y - expected).mean() / np.abs(expected).mean()))
  assert errors[0] > errors[1] > errors[2]
  assert errors[2] < 0.02, errors


@pytest.mark.parametrize("name", ["linear", "performer", "based", *STEPS])
def test_a_scheme_that_changes_lengths_is_refused_or_stays_finite(name):
  """The delta rule contracts only with unit keys: with xpos, 2,048 tokens gave NaN."""
  if issubclass(attentions[name], Delta):
    keeps = "requires a rotation that keeps the lengths of keys.*=xpos.*Use .*=rope"
    with pytest.raises(UserError, match=keeps):
      assemble(tiny_config(attention=name, position="xpos"))
    assemble(tiny_config(attention=name, position="rope(scaling=yarn, factor=4)"))
    return
  f = attention_functions(name, "xpos")
  x, at = inputs(1, 2048), default_positions(1, 2048)
  assert np.isfinite(f.apply(f.params, None, x, x, Mask(at, at, causal=True))).all()


@pytest.mark.parametrize("name", [*SUMS, *STEPS])
def test_the_decode_state_is_of_one_size(name):
  def sizes(length):
    def state():
      return make_attention(name).initial_state(B, length, jnp.bfloat16)

    return hk.transform(state).apply({}, None)

  one, many = sizes(1), sizes(1000)
  assert [x.shape for x in jax.tree.leaves(one)] == [
    x.shape for x in jax.tree.leaves(many)
  ]
  sums = [x for x in jax.tree.leaves(one) if x.shape[:2] == (B, HEADS)]
  assert sums
  assert all(x.dtype == jnp.float32 for x in sums)


@pytest.mark.parametrize(
  ("spec", "message"),
  [
    ("linear(chunk=0)", "chunk=0"),
    ("performer(features=0)", "features=0"),
    ("performer(features=1000000000)", "take 1 to 65,536"),
    ("performer(seed=-1)", "seed=-1"),
    ("based(feature=0)", "feature=0"),
    ("based(feature=1000000000)", "take 1 to 256"),
    ("delta_net(convolution=-1)", "convolution=-1"),
    ("delta_net(convolution=1000000000)", "up to 64 tokens"),
    ("gated_linear(rank=0)", "rank=0"),
    ("gated_linear(temperature=0.0)", "temperature=0.0"),
    ("gated_linear(key_ratio=0.3)", "whole number, such as"),
    ("gated_linear(key_ratio=0.0)", "whole number, such as"),
    ("retention(expand_values=0)", "expand_values=0"),
    ("gated_delta_net(expand_values=0)", "expand_values=0"),
  ],
)
def test_sizes_that_make_no_sense_are_refused(spec, message):
  with pytest.raises(UserError, match=message):
    attention_functions(spec)


@pytest.mark.parametrize(
  ("context", "causal", "message"), [(6, False, "is causal"), (5, True, "not 6 and 5")]
)
def test_a_recurrence_is_over_one_sequence_in_order(context, causal, message):
  f = attention_functions("retention")
  at = jnp.tile(jnp.arange(6, dtype=jnp.int32), (B, 1))
  mask = Mask(at, at[:, :context], causal=causal)
  with pytest.raises(ValueError, match=message):
    f.apply(f.params, None, inputs(), inputs(length=context), mask)


def test_the_norm_of_retention_does_not_depend_on_the_scale_of_its_state(in_float64):
  """The output is gated by x W_G, which is left as it is."""
  f, x = attention_functions("retention"), inputs()
  at = jnp.tile(jnp.arange(x.shape[1], dtype=jnp.int32), (B, 1))
  mask = Mask(at, at, causal=True)
  smaller = {
    name: jax.tree.map(lambda w: w / 1000, leaves)
    if name.endswith(("query", "key", "value"))
    else leaves
    for name, leaves in f.params.items()
  }
  expected = f.apply(f.params, None, x, x, mask)
  np.testing.assert_allclose(f.apply(smaller, None, x, x, mask), expected, **EXACT)


def test_gated_delta_net_begins_slow_to_forget():
  def call(x, at):
    return make_attention("gated_delta_net")(x, x, Mask(at, at, causal=True))

  at = jnp.tile(jnp.arange(6, dtype=jnp.int32), (B, 1))
  params = jax.jit(hk.transform(call).init)(jax.random.key(0), inputs(), at)
  own = params["gated_delta_net"]
  assert ((own["log_rate"] >= 0) & (own["log_rate"] <= np.log(16))).all()
  step = np.log1p(np.exp(own["decay_offset"]))
  assert ((step > 0.00099) & (step < 0.101)).all()


def test_which_can_look_both_ways():
  assert {name for name in SUMS if "bidirectional" in attentions[name].kinds} == set(
    SUMS
  )
  assert all(attentions[name].kinds == ("causal",) for name in STEPS)
