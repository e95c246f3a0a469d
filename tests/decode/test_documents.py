"""Decoding with documents equals the whole pass, whatever the attention keeps."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention_lab.decode.documents import batch_axes, extend_by_one, last_document
from attention_lab.decode.sampling import left_pad, make_generate
from attention_lab.experiment import assemble
from attention_lab.kernel.mask import default_positions
from tests.parts import fill, tiny_config

SEPARATOR = 0
# Two documents and more in each row, which begin at different tokens; the last are short.
ROWS = [[3, 1, 2, 0, 4, 1, 3, 2, 1, 1, 0, 2], [0, 2, 1, 3, 3, 1, 4, 2, 2, 0, 0, 1]]
SPECS = ("standard,sliding_window(window=3)", "gated_delta_net,forgetting")


@functools.cache
def model(attention, folder):
  """A tiny model that keeps the documents of token files apart, and its parameters."""
  data = f"train='{folder}/a.npy', validation='{folder}/b.npy', sequence_length=8"
  dataset = f"tokens({data}, separator=0)"
  config = tiny_config(
    attention=attention, position="learned", dataset=dataset, data__document_mask=True
  )
  experiment = assemble(config)
  params = fill(jax.eval_shape(lambda: experiment.init(0)), 1.0)
  return experiment.model, params


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """A folder with token files."""
  path = tmp_path_factory.mktemp("tokens")
  np.save(path / "a.npy", np.arange(60) % 5)
  np.save(path / "b.npy", np.arange(40) % 3)
  return str(path)


def in_steps(net, params, tokens):
  """Return the logits [B, T, V] of tokens that are read one by one."""
  empty = net.initial_state(params, None, *tokens.shape, jnp.float32)

  def step(carry, token):
    logits, *carry = extend_by_one(net, params, token, *carry, empty)
    return tuple(carry), logits

  start = empty, jnp.full(len(tokens), -1, jnp.int32)
  return jnp.moveaxis(jax.lax.scan(step, start, tokens.T)[1], 0, 1)


@pytest.mark.parametrize("attention", SPECS)
def test_single_steps_equal_the_whole_pass(attention, folder):
  """With learned positions, which begin anew, and states of several kinds."""
  net, params = model(attention, folder)
  tokens = jnp.array(ROWS, jnp.int32)
  whole = jax.jit(net.apply)(params, None, tokens, None)
  actual = jax.jit(functools.partial(in_steps, net))(params, tokens)
  np.testing.assert_allclose(actual, whole, atol=2e-5 * float(jnp.abs(whole).max()))
  without = jax.jit(functools.partial(in_steps, net._replace(separator=None)))
  assert not np.allclose(without(params, tokens), whole, atol=0.01)


@pytest.mark.parametrize("attention", SPECS)
def test_a_generated_separator_begins_a_document(attention, folder):
  """Equal to the most likely tokens of the whole pass; the prompts hold separators."""
  net, params = model(attention, folder)
  tokens = np.random.default_rng(1).integers(0, 5, (16, 5))
  prompt = jnp.asarray(tokens, jnp.int32)
  generate = make_generate(net, 7, temperature=0.0)
  new = generate(params, jax.random.key(0), prompt, default_positions(prompt))
  text = jnp.concatenate([prompt, new], axis=1)
  assert (new == SEPARATOR).any()
  logits = jax.jit(net.apply)(params, None, text, None)
  np.testing.assert_array_equal(new, jnp.argmax(logits, axis=-1)[:, 4:-1])


def test_what_stands_before_the_last_document_is_padding():
  tokens, at = left_pad(
    [np.array(row[:length]) for row, length in zip(ROWS, (8, 11), strict=True)]
  )
  own = last_document(jnp.asarray(at), jnp.asarray(tokens) == SEPARATOR)
  assert own[0].tolist() == [-1] * 6 + [0, 1, 2, 3, 4]
  assert own[1].tolist() == [-1] * 10 + [0]


def test_a_state_without_one_axis_of_rows_is_refused():
  with pytest.raises(TypeError, match="no one axis"):
    batch_axes(lambda rows: jnp.zeros((rows, rows)), 3)
