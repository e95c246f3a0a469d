"""The equations are the paper's, and PyTorch's where both say the same."""

import ast
import doctest
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention_lab import functional as f

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def wide(in_float64):
  """Everything here is compared in float64."""


def random(*shape):
  return jnp.asarray(RNG.normal(size=shape))


def test_the_examples_say_what_is_so():
  with jax.enable_x64(False):
    result = doctest.testmod(f)
  assert (result.failed, result.attempted > 20) == (0, True)


def test_nothing_else_is_needed_to_read_it():
  tree = ast.parse(Path(f.__file__).read_text())
  modules = {
    alias.name.split(".")[0]
    for node in ast.walk(tree)
    if isinstance(node, ast.Import)
    for alias in node.names
  } | {
    node.module.split(".")[0]
    for node in ast.walk(tree)
    if isinstance(node, ast.ImportFrom)
  }
  assert modules == {"math", "collections", "typing", "jax"}


def attention_by_loops(q, k, v, mask):
  output = np.zeros((len(q), v.shape[1]))
  weights = np.zeros((len(q), len(k)))
  for t in range(len(q)):
    seen = [s for s in range(len(k)) if mask[t, s]]
    exponentials = [np.exp(q[t] @ k[s] / np.sqrt(len(q[t]))) for s in seen]
    for s, e in zip(seen, exponentials, strict=True):
      weights[t, s] = e / sum(exponentials)
      output[t] += weights[t, s] * v[s]
  return output, weights


def test_attention_is_equation_1():
  q, k, v = random(3, 4), random(5, 4), random(5, 2)
  mask = RNG.random((3, 5)) < 0.6
  mask[1] = False
  expected = attention_by_loops(*map(np.asarray, (q, k, v)), mask)
  actual = f.scaled_dot_product_attention(q, k, v, jnp.asarray(mask))
  for a, b in zip(actual, expected, strict=True):
    np.testing.assert_allclose(a, b, atol=1e-12)
  everywhere = f.scaled_dot_product_attention(q, k, v)
  expected = attention_by_loops(*map(np.asarray, (q, k, v)), np.ones((3, 5)))
  np.testing.assert_allclose(everywhere[0], expected[0], atol=1e-12)


def test_weights_sum_to_one_over_the_keys():
  weights = f.scaled_dot_product_attention(random(3, 4), random(5, 4), random(5, 2))[1]
  np.testing.assert_allclose(weights.sum(axis=-1), np.ones(3), atol=1e-12)
  assert not np.allclose(weights.sum(axis=-2), 1)  # The earlier system's mistake.


def test_a_query_that_sees_nobody_has_a_finite_gradient():
  def total(q):
    return f.scaled_dot_product_attention(q, q, q, jnp.zeros((3, 3), bool))[0].sum()

  value, gradient = jax.value_and_grad(total)(random(3, 4))
  assert value == 0
  np.testing.assert_array_equal(gradient, 0)


def test_heads_are_attentions_side_by_side():
  x, context = random(2, 3, 6), random(2, 5, 6)
  Wq, Wk, Wv, Wo = random(6, 8), random(6, 8), random(6, 8), random(8, 6)
  mask = jnp.asarray(RNG.random((2, 3, 5)) < 0.7)
  heads = []
  for i in range(4):
    part = slice(2 * i, 2 * i + 2)
    heads.append(
      f.scaled_dot_product_attention(
        x @ Wq[:, part], context @ Wk[:, part], context @ Wv[:, part], mask
      )[0]
    )
  expected = jnp.concatenate(heads, axis=-1) @ Wo
  actual = f.multi_head_attention(x, context, context, Wq, Wk, Wv, Wo, mask, h=4)
  np.testing.assert_allclose(actual, expected, atol=1e-12)


def test_layer_norm_has_mean_0_and_variance_1():
  y = f.layer_norm(random(4, 50), eps=0)
  np.testing.assert_allclose(y.mean(axis=-1), np.zeros(4), atol=1e-12)
  np.testing.assert_allclose(y.var(axis=-1), np.ones(4), atol=1e-12)
  scaled = f.layer_norm(y, jnp.full(50, 3.0), jnp.full(50, 2.0), eps=0)
  np.testing.assert_allclose(scaled, 3 * y + 2, atol=1e-12)


def test_positions_are_sines_and_cosines_of_the_papers_wavelengths():
  encoding = np.asarray(f.positional_encoding(7, 6))
  for pos in range(7):
    for i in range(3):
      angle = pos / 10_000 ** (2 * i / 6)
      expected = [np.sin(angle), np.cos(angle)]
      np.testing.assert_allclose(encoding[pos, 2 * i : 2 * i + 2], expected)


# What PyTorch 2.15 makes of the same, in float64: `nn.TransformerEncoderLayer` and
# `nn.TransformerDecoderLayer` with d_model=4, nhead=2, dim_feedforward=6, dropout=0 and
# batch_first=True. Every parameter was set to `filled` of its shape, weights of norms to
# that plus 1, biases of attentions to 0. The encoder read 3 · filled(1, 3, 4) with the
# last token as padding; the decoder read filled(1, 2, 4) with a causal mask and the
# encoder's output with the same padding.
TORCH_ENCODER = [
  [1.913513630929, -0.82079263191, -1.099561889597, 1.534217293795],
  [1.660906121989, -1.004100710478, -0.985499797082, 1.742058125971],
]
TORCH_DECODER = [
  [1.621140570338, -0.940025553107, -1.021413448604, 1.766986345625],
  [1.379204861588, -1.011452255534, -0.954165049091, 1.914664628576],
]


def filled(*shape):
  return jnp.asarray(np.sin(np.arange(1, np.prod(shape) + 1) * 1.7).reshape(shape) / 2)


def test_a_layer_of_each_kind_is_pytorchs():
  in_proj = filled(12, 4)  # PyTorch keeps the three matrices below each other, turned.
  attention = f.Attention(*(in_proj[i : i + 4].T for i in (0, 4, 8)), filled(4, 4).T)
  ffn = f.FeedForward(filled(6, 4).T, filled(6), filled(4, 6).T, filled(4))
  norm = f.Norm(1 + filled(4), filled(4))
  encoder = f.EncoderLayer(attention, norm, ffn, norm)
  decoder = f.DecoderLayer(attention, norm, attention, norm, ffn, norm)

  real = jnp.array([True, True, False])
  mask, memory_mask = jnp.tile(real, (3, 1)), jnp.tile(real, (2, 1))
  memory = f.encoder_layer(3 * filled(3, 4), encoder, mask, h=2, eps=1e-5)
  np.testing.assert_allclose(memory[:2], TORCH_ENCODER, atol=1e-11)
  causal = jnp.tril(jnp.ones((2, 2), bool))
  y = f.decoder_layer(filled(2, 4), memory, decoder, causal, memory_mask, 2, 1e-5)
  np.testing.assert_allclose(y, TORCH_DECODER, atol=1e-11)


def random_transformer(width=4, inner=6, size=7, layers=2):
  def attention():
    return f.Attention(*(random(width, width) for _ in range(4)))

  def ffn():
    return f.FeedForward(
      random(width, inner), None, random(inner, width), random(width)
    )

  def norm():
    return f.Norm(random(width), None)

  return f.Transformer(
    random(size, width),
    random(size, width),
    tuple(f.EncoderLayer(attention(), norm(), ffn(), norm()) for _ in range(layers)),
    tuple(
      f.DecoderLayer(attention(), norm(), attention(), norm(), ffn(), norm())
      for _ in range(layers)
    ),
    random(width, size),
  )


def test_the_whole_model_is_causal_and_reads_no_padding():
  parameters = random_transformer()
  source, target = jnp.array([[1, 2, 3, 0], [4, 5, 6, 1]]), jnp.array([[0, 3, 1]] * 2)
  mask = jnp.array([[True, True, True, False], [True] * 4])
  run = jax.jit(lambda s, t, m: f.transformer_forward_pass(s, t, parameters, m, h=2))
  logits = run(source, target, mask)
  assert logits.shape == (2, 3, 7)
  later = run(source, target.at[:, 2].set(5), mask)
  np.testing.assert_array_equal(later[:, :2], logits[:, :2])
  assert not np.allclose(later[:, 2], logits[:, 2])
  other = run(source.at[:, 3].set(2), target, mask)
  np.testing.assert_array_equal(other[0], logits[0])
  assert not np.allclose(other[1], logits[1])
  alone = run(source[:1, :3], target[:1], mask[:1, :3])
  np.testing.assert_allclose(alone[0], logits[0], atol=1e-12)


def test_it_maps_over_examples():
  parameters = random_transformer()
  source, target = jnp.array([[1, 2, 3], [4, 5, 6]]), jnp.array([[0, 3], [0, 2]])
  each = jax.vmap(lambda s, t: f.transformer_forward_pass(s, t, parameters, h=2))
  together = f.transformer_forward_pass(source, target, parameters, h=2)
  np.testing.assert_allclose(each(source, target), together, atol=1e-12)
