"""Generated tokens are those that recomputing everything would give."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention_lab.decode.sampling import choose, left_pad, make_generate
from attention_lab.experiment import assemble
from attention_lab.kernel.mask import default_positions
from tests.parts import fill, tiny_config

LOGITS = jnp.log(jnp.array([[0.1, 0.4, 0.3, 0.15, 0.05]]))


@functools.lru_cache(maxsize=4)
def model(position="rope", architecture="decoder_only"):
  config = tiny_config(position=position, architecture__name=architecture)
  experiment = assemble(config)
  params = fill(jax.eval_shape(lambda: experiment.init(0)), 1.0)
  return experiment.model, params


def drawn(**options):
  """Return the frequencies of sampled tokens."""
  options = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, **options}
  keys = jax.random.split(jax.random.key(0), 2000)
  draw = jax.vmap(lambda key: choose(key, LOGITS, **options)[0])
  return np.bincount(np.asarray(jax.jit(draw)(keys)), minlength=5) / 2000


def test_greedy_decoding_equals_recomputing():
  net, params = model()
  prompt = jnp.array([[1, 2, 3]], jnp.int32)
  generate = make_generate(net, 5, temperature=0)
  tokens = generate(params, jax.random.key(0), prompt, default_positions(prompt))
  text = prompt
  apply = jax.jit(net.apply)
  for _ in range(5):
    logits = apply(params, None, text, default_positions(text))
    text = jnp.concatenate([text, jnp.argmax(logits[:, -1:], axis=-1)], axis=1)
  np.testing.assert_array_equal(tokens, text[:, 3:])


@pytest.mark.parametrize("length", [2, 3, 6, 7, 20])
@pytest.mark.parametrize("prompt", [[1, 2, 3], [1, 2, 3, 4, 5, 6, 7]])
def test_a_full_context_is_renewed_from_its_last_half(prompt, length):
  """Equal to recomputing, for a context of 7 tokens whose last 3 are kept."""
  net, params = model()
  generate = make_generate(net, length, temperature=0, context=7)
  tokens = generate(params, jax.random.key(0), *left_pad([np.array(prompt)]))
  apply = jax.jit(net.apply)
  text = read = prompt
  while len(text) < len(prompt) + length:
    read = read[-3:] if len(read) > 7 else read
    padded = jnp.array([read + [0] * (7 - len(read))], jnp.int32)
    logits = apply(params, None, padded, default_positions(padded))
    token = int(jnp.argmax(logits[0, len(read) - 1]))
    text, read = [*text, token], [*read, token]
  np.testing.assert_array_equal(tokens[0], text[len(prompt) :])


@pytest.mark.parametrize("length", [3, 14])
def test_a_context_is_renewed_with_a_whole_prefix(length):
  """Equal to recomputing, for a context of 7 tokens whose last 5 are the prefix."""
  net, params = model(architecture="decoder_only(prefix=5)")
  generate = make_generate(net, length, temperature=0, context=7, prefix=5)
  text = read = [1, 2, 3, 4, 5, 6]
  tokens = generate(params, jax.random.key(0), *left_pad([np.array(text)]))
  apply = jax.jit(net.apply)
  for _ in range(length):
    read = read[-5:] if len(read) > 7 else read
    padded = jnp.array([read + [0] * (7 - len(read))], jnp.int32)
    token = int(jnp.argmax(apply(params, None, padded, None)[0, len(read) - 1]))
    text, read = [*text, token], [*read, token]
  np.testing.assert_array_equal(tokens[0], text[6:])


def test_a_renewed_context_ignores_padding():
  net, params = model()
  prompts = [np.array([4]), np.array([1, 2, 3, 5])]
  generate = make_generate(net, 30, temperature=0, context=8)
  together = generate(params, jax.random.key(0), *left_pad(prompts))
  alone = generate(params, jax.random.key(0), *left_pad(prompts[1:]))
  np.testing.assert_array_equal(together[1], alone[0])


def test_a_context_that_is_not_filled_changes_nothing():
  net, params = model()
  prompt = left_pad([np.array([1, 2])])
  texts = [
    make_generate(net, 6, context=limit)(params, jax.random.key(0), *prompt)
    for limit in (None, 7)
  ]
  np.testing.assert_array_equal(*texts)


@pytest.mark.parametrize("position", ["rope", "alibi"])
def test_prompts_of_different_length_do_not_disturb_each_other(position):
  net, params = model(position)
  prompts = [np.array([4]), np.array([1, 2, 3, 5])]
  generate = make_generate(net, 6, temperature=0)
  together = generate(params, jax.random.key(0), *left_pad(prompts))
  for prompt, row in zip(prompts, together, strict=True):
    alone = generate(params, jax.random.key(0), *left_pad([prompt]))
    np.testing.assert_array_equal(alone[0], row)


def test_the_same_seed_gives_the_same_text():
  net, params = model()
  generate = make_generate(net, 20)
  prompt = left_pad([np.array([1])])
  texts = [np.asarray(generate(params, jax.random.key(s), *prompt)) for s in (0, 0, 1)]
  np.testing.assert_array_equal(texts[0], texts[1])
  assert not np.array_equal(texts[0], texts[2])


def test_sampling_follows_the_probabilities():
  np.testing.assert_allclose(drawn(), np.exp(LOGITS[0]), atol=0.04)


def test_temperature_sharpens():
  squared = np.exp(2 * np.asarray(LOGITS[0]))
  np.testing.assert_allclose(drawn(temperature=0.5), squared / squared.sum(), atol=0.04)
  assert int(choose(jax.random.key(0), LOGITS, 0, 0, 1.0)[0]) == 1


def test_top_k_keeps_the_k_most_likely():
  np.testing.assert_allclose(drawn(top_k=2), [0, 4 / 7, 3 / 7, 0, 0], atol=0.04)
  assert np.all(drawn(top_k=50) > 0)


def test_top_p_keeps_the_fewest_that_reach_p():
  assert set(np.flatnonzero(drawn(top_p=0.6))) == {1, 2}
  assert set(np.flatnonzero(drawn(top_p=0.75))) == {1, 2, 3}
  assert set(np.flatnonzero(drawn(top_p=0.01))) == {1}


def test_top_k_and_top_p_go_together():
  assert set(np.flatnonzero(drawn(top_k=3, top_p=0.5))) == {1, 2}


def test_padding_comes_first():
  tokens, positions = left_pad([np.array([7]), np.array([1, 2, 3])])
  np.testing.assert_array_equal(tokens, [[0, 0, 7], [1, 2, 3]])
  np.testing.assert_array_equal(positions, [[-1, -1, 0], [0, 1, 2]])
