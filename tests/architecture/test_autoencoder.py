"""Tests of the autoencoder: all that it predicts goes through the last token's vector."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from attention_lab.errors import UserError
from attention_lab.experiment import assemble
from tests.parts import fill, tiny_config

DATASET = "compression(sequence_length=4, alphabet=3, validation_examples=32)"
AUTOENCODER = {"architecture__name": "autoencoder", "dataset": DATASET}
TOKENS = jnp.asarray(np.random.default_rng(0).integers(3, size=(2, 6)), jnp.int32)


@functools.lru_cache
def built(**changes):
  experiment = assemble(tiny_config(**AUTOENCODER, **changes))
  params = fill(jax.eval_shape(lambda: experiment.init(0)))
  return jax.jit(experiment.model.apply), params


def test_leak_check_does_not_apply():
  assert not assemble(tiny_config(**AUTOENCODER)).causal


def test_every_logit_depends_on_every_token():
  apply, params = built()
  logits = apply(params, None, TOKENS, None)
  for t in range(6):
    changed = apply(params, None, TOKENS.at[:, t].set((TOKENS[:, t] + 1) % 3), None)
    assert np.abs(changed - logits).max(axis=2).min() > 1e-4


def test_logits_are_a_function_of_one_vector_and_the_position():
  """Two sequences that the layers cannot tell apart have the same logits everywhere."""
  apply, params = built(attention="sliding_window(window=1)", position="none")
  one = apply(params, None, TOKENS, None)
  other = apply(params, None, TOKENS.at[:, :-1].set((TOKENS[:, :-1] + 1) % 3), None)
  np.testing.assert_array_equal(one, other)
  assert np.abs(one[:, 1:] - one[:, :-1]).max() > 1e-3


def test_padding_does_not_change_logits():
  apply, params = built()
  padded = jnp.concatenate([TOKENS, jnp.zeros((2, 2), jnp.int32)], axis=1)
  positions = jnp.tile(jnp.array([0, 1, 2, 3, 4, 5, -1, -1]), (2, 1))
  np.testing.assert_allclose(
    apply(params, None, padded, positions)[:, :6],
    apply(params, None, TOKENS, None),
    rtol=1e-4,
    atol=1e-5,
  )


def test_compression_is_learnt_better_than_by_chance():
  experiment = assemble(tiny_config(**AUTOENCODER, position="learned"))
  batch = experiment.dataset.batch("train", 0, 64)
  optimizer = optax.adam(0.02)

  def loss(params):
    sums = experiment.loss(params, None, batch)
    return sums.loss / sums.weight

  @jax.jit
  def step(params, state):
    value, gradient = jax.value_and_grad(loss)(params)
    updates, state = optimizer.update(gradient, state)
    return optax.apply_updates(params, updates), state, value

  params = fill(jax.eval_shape(lambda: experiment.init(0)), 0.1)
  state = optimizer.init(params)
  for _ in range(150):
    params, state, value = step(params, state)
  assert value < 0.5 * np.log(3)


def test_other_architectures_are_refused():
  with pytest.raises(UserError, match="Use --architecture=autoencoder, or one of"):
    assemble(tiny_config(dataset=DATASET))
  with pytest.raises(UserError, match="learns reconstruction, but .* compression"):
    assemble(tiny_config(architecture__name="autoencoder"))
