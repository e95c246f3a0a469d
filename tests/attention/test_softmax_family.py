"""Each attention of the softmax family is its paper's equations, pair by pair."""

import itertools

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention_lab.attention import dilated
from attention_lab.attention.base.attention import attentions
from attention_lab.errors import UserError
from attention_lab.kernel.mask import Mask
from attention_lab.kernel.weights import watch_weights
from attention_lab.position.base.position import positions
from tests.parts import (
  HEADS,
  KEY_SIZE,
  B,
  attention_functions,
  default_positions,
  fill,
  inputs,
  make_attention,
)

MAX_LENGTH = 64  # Of tests.parts.make_attention.
START = np.log2(MAX_LENGTH**2 - MAX_LENGTH)
CLOSE = {"rtol": 1e-10, "atol": 1e-12}
NAMES = """sigmoid softmax_plus_one cosine talking_heads forgetting differential
  leviathan_selective latent sliding_window dilated block_sparse""".split()


def by_name(params):
  """Parameters by the last word of their module: `own` are the attention's."""
  return {
    key.split("/")[-1] if "/" in key else "own": jax.tree.map(np.asarray, value)
    for key, value in params.items()
  }


def split(x, heads=HEADS):
  """[T, N·K] → [N, T, K]."""
  return x.reshape(len(x), heads, -1).swapaxes(0, 1)


def among(scores, allowed):
  """Softmax of each row of scores [N, T, S] over those that are allowed [T, S]."""
  weights = np.zeros_like(scores)
  for n, t in itertools.product(*map(range, scores.shape[:2])):
    seen = np.flatnonzero(allowed[t])
    if len(seen):
      exponentials = np.exp(scores[n, t, seen] - scores[n, t, seen].max())
      weights[n, t, seen] = exponentials / exponentials.sum()
  return weights


def plain(p, x, at, allowed):
  """Weights [N, T, S] of standard attention."""
  return among(dot_products(p, x), allowed)


def dot_products(p, x):
  q, k = split(x @ p["query"]["w"]), split(x @ p["key"]["w"])
  return q @ k.swapaxes(1, 2) / np.sqrt(KEY_SIZE)


def sigmoid(p, x, at, allowed):
  return allowed / (1 + np.exp(-(dot_products(p, x) - np.log(MAX_LENGTH))))


def plus_one(p, x, at, allowed):
  exponentials = np.exp(dot_products(p, x)) * allowed
  sink = np.exp(p["own"]["sink"])[:, None] if "own" in p else 1
  return exponentials / (sink + exponentials.sum(axis=-1))[..., None]


def cosine(p, x, at, allowed, start=START):
  q, k = split(x @ p["query"]["w"]), split(x @ p["key"]["w"])
  q, k = (y / np.sqrt((y**2).sum(axis=-1, keepdims=True) + 1e-6) for y in (q, k))
  g = start + p["own"]["scale"][:, :, None]
  return among(g * (q @ k.swapaxes(1, 2)), allowed)


def cosine_from_3(p, x, at, allowed):
  return cosine(p, x, at, allowed, 3.0)


def talking(p, x, at, allowed):
  own = p["own"]
  scores = np.einsum("hts,hn->nts", dot_products(p, x), own["mix_scores"])
  return np.einsum("hts,hn->nts", among(scores, allowed), own["mix_weights"])


def forgetting(p, x, at, allowed):
  scores = dot_products(p, x)
  gates = 1 / (1 + np.exp(-(x @ p["forget"]["w"] + p["forget"]["b"])))  # [T, N]
  for n, i, j in itertools.product(*map(range, scores.shape)):
    if allowed[i, j]:
      between = [gates[t, n] for t in range(j + 1, i + 1) if at[t] >= 0]
      scores[n, i, j] += np.log(between).sum()
  return among(scores, allowed)


def leviathan(p, x, at, allowed):
  scores = dot_products(p, x)
  hidden = np.zeros_like(scores[0])
  for i, j in itertools.product(*map(range, hidden.shape)):
    for earlier in range(i):
      hides = allowed[earlier, j] and at[j] > 0 and earlier != j
      hidden[i, j] += max(scores[0, earlier, j], 0) if hides else 0
  return among(scores - hidden, allowed)


def window_3(p, x, at, allowed):
  return plain(p, x, at, allowed & (np.abs(at[:, None] - at) < 3))


def every_second_of_5(p, x, at, allowed):
  distance = np.abs(at[:, None] - at)
  return plain(p, x, at, allowed & (distance % 2 == 0) & (distance <= 4))


RULES = {
  "sigmoid": sigmoid,
  "softmax_plus_one": plus_one,
  "softmax_plus_one(sink=learned)": plus_one,
  "cosine": cosine,
  "cosine(scale=3.0)": cosine_from_3,
  "talking_heads": talking,
  "forgetting": forgetting,
  "leviathan_selective": leviathan,
  "sliding_window(window=3)": window_3,
  "dilated(window=3, dilation=2)": every_second_of_5,
}
CAUSAL_ONLY = ("forgetting", "leviathan_selective")


def expected(rule, params, x, at, causal):
  """Apply a rule to one sequence at a time: [B, T, D]."""
  p, rows = by_name(params), []
  for row, places in zip(np.asarray(x), np.asarray(at), strict=True):
    allowed = np.broadcast_to(places >= 0, (len(row), len(row)))
    if causal:
      allowed = allowed & (places <= places[:, None])
    heads = rule(p, row, places, allowed) @ split(row @ p["value"]["w"])
    rows.append(heads.swapaxes(0, 1).reshape(len(row), -1) @ p["output"]["w"])
  return np.stack(rows)


def mask_of(at, causal=True):
  aligned = bool((at == default_positions(*at.shape)).all())
  return Mask(at, at, causal, aligned)


def padded(length, front=2):
  """Positions of a batch of which the first row has padding in front: [B, T]."""
  return default_positions(B, length).at[0].add(-front).clip(-1)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("spec", RULES)
def test_it_is_the_papers_formula(in_float64, spec, causal):
  if spec in CAUSAL_ONLY and not causal:
    assert "bidirectional" not in attentions[spec].kinds
    return
  f, x = attention_functions(spec), inputs(length=7)
  for at in (default_positions(B, 7), padded(7)):
    y = f.apply(f.params, None, x, x, mask_of(at, causal))
    real = np.asarray(at) >= 0
    right = expected(RULES[spec], f.params, x, at, causal)
    np.testing.assert_allclose(np.asarray(y)[real], right[real], **CLOSE)


def rotated(x, at):
  """Rope of x [T, K] by hand."""
  half = x.shape[1] // 2
  angle = at[:, None] * 10_000.0 ** (-np.arange(half) / half)
  a, b, cos, sin = x[:, :half], x[:, half:], np.cos(angle), np.sin(angle)
  return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=1)


def normalised(x, scale, epsilon):
  return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + epsilon) * scale


@pytest.mark.parametrize(
  ("options", "constant"),
  [("", 0.2), ("lambda_init=0.7", 0.7), ("wide_heads=True", 0.2)],
)
def test_differential_is_the_papers_formula(in_float64, options, constant):
  f, x = attention_functions(f"differential({options})", "rope"), inputs()
  heads_of = 2 if "wide" in options else 1  # Heads of `standard` that are joined.
  width = KEY_SIZE * heads_of
  half = width // 2
  at = default_positions()
  p = by_name(f.params)
  of = {key.removeprefix("lambda_"): value for key, value in p["own"].items()}
  factor = np.exp(of["query1"] @ of["key1"]) - np.exp(of["query2"] @ of["key2"])
  factor += constant
  allowed = np.tri(x.shape[1], dtype=bool)
  for b in range(B):
    row, heads = np.asarray(x[b]), []
    for n in range(HEADS // heads_of):
      maps, start = [], n * width
      for first in (start, start + half):
        q, k = (
          rotated(row @ p[name]["w"][:, first : first + half], np.asarray(at[b]))
          for name in ("query", "key")
        )
        maps.append(among((q @ k.T / np.sqrt(half))[None], allowed)[0])
      v = row @ p["value"]["w"][:, start : start + width]
      y = (maps[0] - factor * maps[1]) @ v
      heads.append((1 - constant) * normalised(y, p["norm"]["scale"], 1e-5))
    right = np.concatenate(heads, axis=1) @ p["output"]["w"]
    y = f.apply(f.params, None, x, x, mask_of(at))[b]
    np.testing.assert_allclose(y, right, **CLOSE)


@pytest.mark.parametrize("q_rank", [None, 3])
def test_latent_is_the_papers_formula(in_float64, q_rank):
  f = attention_functions(f"latent(kv_rank=3, q_rank={q_rank}, rope_size=6)", "rope")
  x, at, size = inputs(), default_positions(), KEY_SIZE + 6
  p = by_name(f.params)
  y = f.apply(f.params, None, x, x, mask_of(at))
  for b in range(B):
    row, places, heads = np.asarray(x[b]), np.asarray(at[b]), []
    latent = normalised(row @ p["latent"]["w"], p["latent_norm"]["scale"], 1e-6)
    shared = rotated(row @ p["shared_key"]["w"], places)
    asking = row
    if q_rank:
      asking = row @ p["query_latent"]["w"]
      asking = normalised(asking, p["query_norm"]["scale"], 1e-6)
    for n in range(HEADS):
      q = (asking @ p["query"]["w"])[:, n * size : (n + 1) * size]
      own = slice(n * KEY_SIZE, (n + 1) * KEY_SIZE)
      scores = q[:, :KEY_SIZE] @ (latent @ p["key"]["w"][:, own]).T
      scores += rotated(q[:, KEY_SIZE:], places) @ shared.T
      weights = among((scores / np.sqrt(size))[None], np.tri(len(row), dtype=bool))[0]
      heads.append(weights @ latent @ p["value"]["w"][:, own])
    right = np.concatenate(heads, axis=1) @ p["output"]["w"]
    np.testing.assert_allclose(y[b], right, **CLOSE)


def test_the_pro_block_of_forgetting_is_the_papers(in_float64):
  f, x, at = attention_functions("forgetting(block=pro)", "rope"), inputs(), padded(6)
  p = by_name(f.params)

  def sigma(y):
    return 1 / (1 + np.exp(-y))

  y = f.apply(f.params, None, x, x, mask_of(at))
  for b in range(B):
    real = np.asarray(at[b]) >= 0
    row, places, heads = np.asarray(x[b])[real], np.asarray(at[b])[real], []
    forgotten = np.cumsum(np.log(sigma(row @ p["forget"]["w"] + p["forget"]["b"])), 0)
    gates = split(sigma(row @ p["gate"]["w"]))
    q, k, v = (split(row @ p[name]["w"]) for name in ("query", "key", "value"))
    for n in range(HEADS):
      key, value = (
        share[:, None] * np.concatenate([0 * part[:1], part[:-1]])
        + (1 - share[:, None]) * part
        for share, part in (
          (sigma(row @ p["key_shift"]["w"])[:, n], k[n]),
          (sigma(row @ p["value_shift"]["w"])[:, n], v[n]),
        )
      )
      key = rotated(normalised(key, p["key_norm"]["scale"], 1e-5), places)
      query = rotated(normalised(q[n], p["query_norm"]["scale"], 1e-5), places)
      scores = query @ key.T / np.sqrt(KEY_SIZE)
      scores += forgotten[:, None, n] - forgotten[None, :, n]
      out = among(scores[None], np.tri(len(row), dtype=bool))[0] @ value
      heads.append(normalised(out, p["norm"]["scale"], 1e-5) * gates[n])
    right = np.concatenate(heads, axis=1) @ p["output"]["w"]
    np.testing.assert_allclose(y[b][real], right, **CLOSE)


def state_size(spec, length):
  """Numbers in a decode state of one sequence."""
  make = hk.transform(
    lambda: make_attention(spec).initial_state(1, length, jnp.float32)
  )
  state = jax.eval_shape(lambda: make.apply({}, None))
  return sum(leaf.size for leaf in jax.tree.leaves(state))


def test_latent_keeps_less_than_standard():
  grown = [
    state_size(spec, 65) - state_size(spec, 64) for spec in ("latent", "standard")
  ]
  position, latents, shared = 1, HEADS * KEY_SIZE // 2, 2
  assert grown == [latents + shared + position, 2 * HEADS * KEY_SIZE + position]


@pytest.mark.parametrize(
  ("spec", "reach"), [("sliding_window(window=3)", 2), ("dilated(window=3)", 8)]
)
def test_a_window_keeps_what_it_can_still_see(spec, reach):
  one = 2 * HEADS * KEY_SIZE + 1
  sizes = [state_size(spec, length) for length in (1, reach, reach + 1, 999)]
  assert sizes == [one, reach * one, reach * one, reach * one]


LONG = {
  "sliding_window(window=3)": 11,
  "sliding_window(window=1)": 3,
  "dilated(window=3, dilation=2)": 11,
  "block_sparse(block=2, random_blocks=1)": 16,
}


@pytest.mark.parametrize("spec", LONG)
def test_decoding_equals_the_pass_beyond_the_window(in_float64, spec):
  f, length = attention_functions(spec, "alibi"), LONG[spec]
  x, at = inputs(length=length), default_positions(B, length)
  whole = f.apply(f.params, None, x, x, mask_of(at))
  for chunks in ((1,) * length, (length - 2, 1, 1)):
    np.testing.assert_allclose(f.decode(f.params, x, at, chunks), whole, **CLOSE)


@pytest.mark.parametrize(
  "spec", [*NAMES, "sliding_window(window=3)", "forgetting(block=pro)"]
)
def test_padding_anywhere_changes_nothing_while_decoding(in_float64, spec):
  f, at = attention_functions(spec), [-1, 0, 1, -1, 2, -1, -1, 3, 4]
  real = [i for i, place in enumerate(at) if place >= 0]
  x, at = inputs(length=len(at)), jnp.array([at] * B, jnp.int32)
  chunks = (3, 3, 3)
  tokens = x[:, jnp.array(real)]
  plain = f.apply(f.params, None, tokens, tokens, mask_of(default_positions(B, 5)))
  for other in (x, x + 100.0 * (at < 0)[..., None]):
    y = f.decode(f.params, other, at, chunks)[:, jnp.array(real)]
    np.testing.assert_allclose(y, plain, **CLOSE)


FAST = [
  ("sliding_window(window=4)", True),
  ("sliding_window(window=4)", False),
  ("dilated(window=3, dilation=3)", True),
  ("dilated(window=3, dilation=3)", False),
  ("block_sparse(block=2)", True),
  ("block_sparse(block=2, global_blocks=2, random_blocks=1)", False),
  ("block_sparse(block=3, global_blocks=0, window_blocks=1)", False),
]


@pytest.mark.parametrize(("spec", "causal"), FAST)
def test_the_linear_way_is_the_dense_one(in_float64, monkeypatch, spec, causal):
  monkeypatch.setattr(dilated, "ROWS", 1)
  f = attention_functions(spec, "alibi")
  for length in (1, 23):
    at, x = default_positions(B, length), inputs(length=length)

    def total(params, aligned, at=at, x=x):
      y = f.apply(params, None, x, x, Mask(at, at, causal, aligned))
      return (y * jnp.cos(jnp.arange(y.size)).reshape(y.shape)).sum(), y

    both = jax.jit(jax.value_and_grad(total, has_aux=True), static_argnums=1)
    (_, linear), gradient = both(f.params, True)
    (_, dense), right = both(f.params, False)
    np.testing.assert_allclose(linear, dense, **CLOSE)
    jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11),
      gradient,
      right,
    )


def weights_of(spec, at, causal):
  """The weights of a fresh attention as somebody who watches sees them: [N, T, S]."""

  def run(x):
    with watch_weights() as seen:
      make_attention(spec)(x, x, Mask(at, at, causal, aligned=True))
    return seen[0][0]

  transformed = hk.transform(run)
  x = inputs(1, at.shape[1])
  params = fill(jax.eval_shape(transformed.init, jax.random.key(0), x))
  return np.asarray(jax.jit(transformed.apply)(params, None, x))


@pytest.mark.parametrize("causal", [True, False])
def test_blocks_are_near_first_or_random(causal):
  spec = "block_sparse(block=2, window_blocks=2, global_blocks=1, random_blocks=2)"
  weights = weights_of(spec, default_positions(1, 40), causal)
  tokens = (weights > 0).any(axis=0)
  allowed = np.tri(40, dtype=bool) if causal else np.ones((40, 40), bool)
  blocks = tokens.reshape(20, 2, 20, 2).any(axis=(1, 3))
  pairs = np.kron(blocks, np.ones((2, 2))) > 0
  np.testing.assert_array_equal(tokens, allowed & pairs)
  drawn = []
  for i in range(20):
    reachable = range(i + 1) if causal else range(20)
    fixed = {j for j in reachable if abs(i - j) < 2 or j == 0 or i == 0}
    seen = set(np.flatnonzero(blocks[i]))
    assert fixed <= seen <= set(reachable)
    assert len(seen) == min(len(reachable), len(fixed) + 2)
    drawn.append(frozenset(seen - fixed))
  assert len(set(drawn)) > 8, "the random blocks hardly differ"


def test_random_blocks_depend_on_neither_the_length_nor_anything_but_the_seed():
  spec = "block_sparse(block=2, window_blocks=1, random_blocks=1)"
  short, long = (weights_of(spec, default_positions(1, n), True) > 0 for n in (20, 40))
  np.testing.assert_array_equal(long[:, :20, :20], short)
  other = weights_of(f"{spec[:-1]}, seed=1)", default_positions(1, 40), True) > 0
  assert (other != long).any()


def tiny(spec, position, heads, key_size, d_model):
  """An attention of odd sizes, as hk.transform gives it."""

  def forward(x, at):
    attention = attentions.bind(spec)(
      num_heads=heads,
      key_size=key_size,
      d_model=d_model,
      position=positions.bind(position)(max_length=MAX_LENGTH),
      w_init=None,
      output_init=None,
    )
    return attention(x, x, Mask(at, at, causal=True))

  return hk.transform(forward)


@pytest.mark.parametrize("spec", NAMES)
def test_odd_sizes_and_large_inputs_have_finite_gradients(spec):
  attention = tiny(spec, "none", 3, 1, 5)
  x = 100 * jnp.asarray(np.random.default_rng(0).normal(size=(2, 5, 5)), jnp.float32)
  x, at = x.at[0, 1].set(0.0), padded(5)
  params = fill(jax.eval_shape(attention.init, jax.random.key(0), x, at))

  def total(params, x):
    return (attention.apply(params, None, x, at) ** 2).sum()

  leaves = jax.tree.leaves(jax.jit(jax.value_and_grad(total, (0, 1)))(params, x))
  assert all(np.isfinite(leaf).all() for leaf in leaves)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
@pytest.mark.parametrize("spec", [*NAMES, "softmax_plus_one(sink=learned)"])
def test_the_dtype_is_kept_under_the_narrowest_rope(spec, dtype):
  attention = tiny(spec, "rope", 3, 2, 5)
  x, at = jnp.zeros((2, 5, 5), dtype), padded(5)
  y, _ = jax.eval_shape(
    lambda key: (attention.apply(attention.init(key, x, at), None, x, at), 0),
    jax.random.key(0),
  )
  assert (y.shape, y.dtype) == (x.shape, dtype)


@pytest.mark.parametrize(
  "spec",
  [
    "sliding_window(window=0)",
    "dilated(window=0)",
    "dilated(dilation=0)",
    "latent(kv_rank=0)",
    "latent(q_rank=0)",
    "latent(rope_size=0)",
    "block_sparse(block=0)",
    "block_sparse(window_blocks=0)",
    "block_sparse(global_blocks=-1)",
    "block_sparse(random_blocks=-1)",
  ],
)
def test_what_is_too_small_is_refused(spec):
  with pytest.raises(UserError, match=r"take \d or more"):
    jax.eval_shape(
      tiny(spec, "none", 2, 4, 8).init, jax.random.key(0), inputs(), padded(6)
    )
