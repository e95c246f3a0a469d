"""Tests of the equations: against plain loops and against each other."""

import ast
import doctest
import inspect
import math
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention_lab import functional
from attention_lab.functional import (
  AttentionParameters,
  DecoderLayerParameters,
  EncoderLayerParameters,
  FeedForwardParameters,
  NormParameters,
  TransformerParameters,
)

pytestmark = pytest.mark.usefixtures("in_float64")
CLOSE = {"rtol": 1e-12, "atol": 1e-12}
D, H, K, F, V = 6, 3, 2, 5, 7
S, T = 5, 3


def random_arrays(seed=0):
  """Return a function that draws an array of a given shape in each call."""
  rng = np.random.default_rng(seed)
  return lambda *shape: rng.normal(size=shape)


def attention_parameters(draw):
  columns = H * K
  weights = draw(D, columns), draw(D, columns), draw(D, columns), draw(columns, D)
  return AttentionParameters(
    *weights, draw(columns), draw(columns), draw(columns), draw(D)
  )


def feed_forward_sublayer(draw):
  """Return the norm before the feed-forward sublayer, the sublayer and its norm."""
  feed_forward = FeedForwardParameters(draw(D, F), draw(F), draw(F, D), draw(D))
  return (
    NormParameters(draw(D), draw(D)),
    feed_forward,
    NormParameters(draw(D), draw(D)),
  )


def encoder_layer(draw):
  return EncoderLayerParameters(
    attention_parameters(draw), *feed_forward_sublayer(draw)
  )


def decoder_layer(draw):
  cross = NormParameters(draw(D), draw(D)), attention_parameters(draw)
  return DecoderLayerParameters(
    attention_parameters(draw), *cross, *feed_forward_sublayer(draw)
  )


def transformer(draw, layers=2, **changes):
  encoder = tuple(encoder_layer(draw) for _ in range(layers))
  decoder = tuple(decoder_layer(draw) for _ in range(layers))
  whole = TransformerParameters(
    draw(V + 1, D), draw(V, D), encoder, decoder, draw(D, V), draw(V)
  )
  return whole._replace(**changes)


SOURCE = np.array([[1, 7, 3, 0, 0], [4, 2, 5, 1, 6]])
TARGET = np.array([[6, 1, 2], [3, 3, 0]])
SEEN = np.array([[True, True, True, False, False], [True] * 5])
PARAMETERS = transformer(random_arrays())
decode = jax.jit(partial(functional.decoder_layer, h=H))


@jax.jit
def compiled(*arguments):
  return functional.transformer_forward_pass(*arguments[:-1], h=H, eps=arguments[-1])


def forward(source=SOURCE, target=TARGET, seen=SEEN, kept=TARGET >= 0, eps=1e-6):
  """Return logits, from one compiled program for all tests."""
  return np.asarray(compiled(source, target, PARAMETERS, seen, kept, eps))


def weights_by_hand(q, k, mask):
  weights = np.zeros((len(q), len(k)))
  for t in range(len(q)):
    for s in range(len(k)):
      if mask[t, s]:
        score = sum(q[t, i] * k[s, i] for i in range(q.shape[1]))
        weights[t, s] = math.exp(score / math.sqrt(q.shape[1]))
    if mask[t].any():
      weights[t] /= sum(weights[t])
  return weights


def multi_head_by_hand(x, context, p, mask, h):
  q, k, v = x @ p.Wq + p.bq, context @ p.Wk + p.bk, context @ p.Wv + p.bv
  width = q.shape[1] // h
  heads = []
  for i in range(h):
    own = slice(i * width, (i + 1) * width)
    heads.append(weights_by_hand(q[:, own], k[:, own], mask) @ v[:, own])
  return np.concatenate(heads, axis=1) @ p.Wo + p.bo


def norm_by_hand(x, p, eps):
  rows = [(row - np.mean(row)) / math.sqrt(np.var(row) + eps) for row in x]
  return np.array(rows) * p.gamma + p.beta


def feed_forward_by_hand(x, p):
  return np.maximum(x @ p.W1 + p.b1, 0) @ p.W2 + p.b2


def encoder_layer_by_hand(x, p, mask, h, eps):
  attended = multi_head_by_hand(x, x, p.self_attention, mask, h)
  x = norm_by_hand(x + attended, p.self_attention_norm, eps)
  return norm_by_hand(
    x + feed_forward_by_hand(x, p.feed_forward), p.feed_forward_norm, eps
  )


def decoder_layer_by_hand(x, memory, p, memory_mask, h, eps):
  causal = np.array([[s <= t for s in range(len(x))] for t in range(len(x))])
  attended = multi_head_by_hand(x, x, p.self_attention, causal, h)
  x = norm_by_hand(x + attended, p.self_attention_norm, eps)
  attended = multi_head_by_hand(x, memory, p.cross_attention, memory_mask, h)
  x = norm_by_hand(x + attended, p.cross_attention_norm, eps)
  return norm_by_hand(
    x + feed_forward_by_hand(x, p.feed_forward), p.feed_forward_norm, eps
  )


def position_by_hand(length, d):
  table = np.zeros((length, d))
  for p in range(length):
    for i in range(d // 2):
      table[p, 2 * i] = math.sin(p / 10_000 ** (2 * i / d))
      table[p, 2 * i + 1] = math.cos(p / 10_000 ** (2 * i / d))
  return table


def forward_by_hand(source, target, seen, eps=1e-6):
  p = PARAMETERS
  x = math.sqrt(D) * p.source_embedding[source] + position_by_hand(len(source), D)
  for layer in p.encoder:
    x = encoder_layer_by_hand(x, layer, np.tile(seen, (len(source), 1)), H, eps)
  y = math.sqrt(D) * p.target_embedding[target] + position_by_hand(len(target), D)
  for layer in p.decoder:
    y = decoder_layer_by_hand(y, x, layer, np.tile(seen, (len(target), 1)), H, eps)
  return y @ p.output + p.output_bias


@pytest.mark.parametrize("eps", [1e-6, 0.1])
def test_forward_pass_equals_plain_loops(eps):
  examples = zip(SOURCE, TARGET, SEEN, strict=True)
  by_hand = [forward_by_hand(*example, eps) for example in examples]
  np.testing.assert_allclose(forward(eps=eps), by_hand, **CLOSE)


def test_attention_equals_plain_loops():
  draw = random_arrays()
  q, k, v = draw(T, K), draw(S, K), draw(S, 4)
  mask = np.random.default_rng(1).random((T, S)) < 0.6
  mask[1] = False
  output, weights = functional.scaled_dot_product_attention(q, k, v, mask)
  by_hand = weights_by_hand(q, k, mask)
  np.testing.assert_allclose(weights, by_hand, **CLOSE)
  np.testing.assert_allclose(output, by_hand @ v, **CLOSE)


def test_weights_of_each_query_sum_to_one():
  draw = random_arrays()
  q, k = draw(2, T, K), draw(2, S, K)
  _, weights = functional.scaled_dot_product_attention(q, k, k)
  np.testing.assert_allclose(weights.sum(axis=-1), np.ones((2, T)), **CLOSE)
  _, alone = functional.scaled_dot_product_attention(q[:, :1], k, k)
  np.testing.assert_allclose(weights[:, :1], alone, **CLOSE)  # Queries are independent.


def test_multi_head_attention_concatenates_single_heads():
  draw = random_arrays()
  x, context, p = draw(2, T, D), draw(2, S, D), attention_parameters(draw)
  qkv = x, context, context
  mask = SEEN[:, None, :]
  together = functional.multi_head_attention(*qkv, *p[:4], mask, H)
  single = []
  for i in range(H):
    own = slice(i * K, (i + 1) * K)
    weights = p.Wq[:, own], p.Wk[:, own], p.Wv[:, own], np.eye(K)
    single.append(functional.multi_head_attention(*qkv, *weights, mask, 1))
  np.testing.assert_allclose(together, np.concatenate(single, axis=-1) @ p.Wo, **CLOSE)


def test_values_may_be_wider_than_keys():
  draw = random_arrays()
  x = draw(2, T, D)
  weights = draw(D, H * K), draw(D, H * K), draw(D, H * 4), draw(H * 4, D)
  assert functional.multi_head_attention(x, x, x, *weights, h=H).shape == x.shape


def test_feed_forward_uses_the_given_activation():
  draw = random_arrays()
  x, p = draw(2, T, D), FeedForwardParameters(draw(D, F), draw(F), draw(F, D), draw(D))
  np.testing.assert_allclose(
    functional.position_wise_ffn(x, *p, activation=jnp.sin),
    np.sin(x @ p.W1 + p.b1) @ p.W2 + p.b2,
    **CLOSE,
  )


def test_layer_norm_uses_gamma_and_beta_only_if_given():
  draw = random_arrays()
  x, y, gamma, beta = draw(2, T, D), draw(2, T, D), draw(D), draw(D)
  plain = np.asarray(functional.layer_norm(x, eps=0.0))
  np.testing.assert_allclose(plain.mean(axis=-1), 0, **CLOSE)
  np.testing.assert_allclose(plain.var(axis=-1), 1, **CLOSE)
  scaled = functional.layer_norm(x, gamma, beta, 0.0)
  np.testing.assert_allclose(scaled, plain * gamma + beta, **CLOSE)
  np.testing.assert_array_equal(
    functional.add_and_norm(x, y, gamma, beta),
    functional.layer_norm(x + y, gamma, beta),
  )


def test_positional_encoding_equals_plain_loops():
  encoding = functional.positional_encoding(50, 512)
  np.testing.assert_allclose(encoding, position_by_hand(50, 512), **CLOSE)
  # sin 1, cos 1, and the sine of 1 / 10000^(510/512), the longest wavelength.
  figures = [0.8414709848, 0.5403023059, 1.0366329e-4]
  np.testing.assert_allclose(encoding[1, np.array([0, 1, 510])], figures, rtol=1e-7)


def test_gradient_by_future_tokens_is_zero():
  draw = random_arrays()
  x, memory, layer = draw(T, D), draw(S, D), decoder_layer(draw)
  jacobian = jax.jit(jax.jacobian(lambda x: decode(x, memory, layer)))(x)
  seen = np.abs(jacobian).max(axis=(1, 3)) > 0  # [T, T]
  np.testing.assert_array_equal(seen, np.tril(np.ones((T, T), bool)))


def test_padding_is_ignored():
  kept = np.array([[True, True, False], [True] * 3])
  alone = forward_by_hand(SOURCE[0, :3], TARGET[0, :2], SEEN[0, :3])
  for junk in (5, -1, 10**6):
    source, target = np.where(SEEN, SOURCE, junk), np.where(kept, TARGET, junk)
    padded = forward(source, target, SEEN, kept)
    np.testing.assert_allclose(padded[0, :2], alone, **CLOSE)


def two_examples():
  """Return arguments of a decoder layer with two batch axes."""
  draw = random_arrays()
  x, memory, layer = draw(2, 1, T, D), draw(2, 1, S, D), decoder_layer(draw)
  mask = np.array([[False, True, True], [True, True, True]])[:, None, None, :]
  return x, memory, layer, mask, SEEN[:, None, None, :]


def test_decoder_ignores_leading_padding():
  x, *others = two_examples()
  changed = x.copy()
  changed[:, :, 0, 0] += 1
  moved = np.abs(decode(changed, *others) - decode(x, *others)).max(axis=(1, 3)) > 1e-9
  np.testing.assert_array_equal(moved, [[True, False, False], [True, True, True]])


def test_vmap_over_examples_equals_batch():
  arguments = two_examples()
  mapped = jax.jit(jax.vmap(decode, in_axes=(0, 0, None, 0, 0)))(*arguments)
  np.testing.assert_allclose(mapped, decode(*arguments), **CLOSE)


def test_query_that_may_attend_to_no_key_receives_zeros():
  draw = random_arrays()
  x, p = draw(T, D), attention_parameters(draw)
  masked = np.zeros((T, T), bool)

  @jax.jit
  def attend(x):
    return functional.multi_head_attention(x, x, x, *p[:4], masked, H)

  np.testing.assert_array_equal(attend(x), np.zeros((T, D)))
  np.testing.assert_array_equal(jax.jacobian(attend)(x), np.zeros((T, D, T, D)))
  with jax.debug_nans(True):  # Intermediate results have no NaN, either.
    functional.scaled_dot_product_attention(x, x, x, masked)


def test_source_of_padding_alone_gives_finite_logits():
  assert np.isfinite(forward(seen=np.zeros_like(SEEN))).all()


def test_unknown_id_gives_nan():
  assert np.isnan(forward(SOURCE + 2)).any()


def test_output_matrix_defaults_to_target_embedding():
  bare = PARAMETERS._replace(encoder=(), decoder=(), output=None, output_bias=None)
  own = bare._replace(output=random_arrays(1)(D, V))
  shared, other = (
    functional.transformer_forward_pass(SOURCE, TARGET, p) for p in (bare, own)
  )
  table = PARAMETERS.target_embedding
  x = math.sqrt(D) * table[TARGET] + position_by_hand(T, D)
  np.testing.assert_allclose(shared, x @ table.T, **CLOSE)
  np.testing.assert_allclose(other, x @ own.output, **CLOSE)


def test_every_layer_uses_the_given_activation():
  run = partial(functional.transformer_forward_pass, h=H, activation=jnp.tanh)
  program = str(jax.make_jaxpr(run)(SOURCE, TARGET, PARAMETERS))
  layers = len(PARAMETERS.encoder) + len(PARAMETERS.decoder)
  assert program.count(" tanh ") == layers


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_logits_have_dtype_of_parameters(dtype):
  low = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, dtype), PARAMETERS)
  logits = jax.eval_shape(compiled, SOURCE, TARGET, low, SEEN, None, 1e-6)
  assert logits.dtype == dtype


X = np.ones((T, D))


@pytest.mark.parametrize(
  ("call", "message"),
  [
    (
      lambda: functional.multi_head_attention(X, X, X, *4 * [np.eye(D)], h=4),
      "h=4 must divide",
    ),
    (
      lambda: functional.scaled_dot_product_attention(X, X, X, np.zeros((T, T))),
      "A mask must be bool .* not float64",
    ),
    (
      lambda: functional.decoder_layer(
        X, X, decoder_layer(random_arrays()), np.zeros((T, T)), h=H
      ),
      "A mask must be bool",
    ),
    (lambda: functional.positional_encoding(4, 5), r"dim_model must be even .* not 5"),
    (
      lambda: forward(seen=SEEN[:, None, :]),
      r"ids must have shape \(2, 5\), not \(2, 1, 5\)",
    ),
  ],
)
def test_invalid_arguments_raise_value_error(call, message):
  with pytest.raises(ValueError, match=message):
    call()


def public_functions():
  for name, function in inspect.getmembers(functional, inspect.isfunction):
    if function.__module__ == functional.__name__ and not name.startswith("_"):
      yield function


def test_every_function_has_an_example_and_all_of_them_run():
  for function in public_functions():
    name = function.__name__
    examples = doctest.DocTestParser().get_examples(function.__doc__)
    assert any(f"{name}(" in example.source for example in examples), name
  runner, parser = doctest.DocTestRunner(), doctest.DocTestParser()
  # The module's own examples come first: all others share their values.
  values = dict(vars(functional))
  for documented in (functional, *public_functions()):
    name = documented.__name__
    test = parser.get_doctest(documented.__doc__, values, name, None, None)
    assert test.examples
    runner.run(test, clear_globs=False)
    values = test.globs
  assert runner.summarize().failed == 0


def test_functional_imports_nothing_but_jax():
  roots = set()
  for node in ast.walk(ast.parse(Path(functional.__file__).read_text())):
    if isinstance(node, ast.Import):
      roots.update(alias.name.split(".")[0] for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      assert not node.level, "relative imports are imports of attention_lab"
      roots.add(node.module.split(".")[0])
  assert roots == {"collections", "jax", "math", "typing"}
