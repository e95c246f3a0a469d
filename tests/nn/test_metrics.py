"""Loss and accuracy are what they are called."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention_lab.experiment import assemble
from attention_lab.nn.metrics import Sums, means, measured, token_sums
from tests.parts import fill, tiny_config


def test_sums_are_the_formulas(in_float64):
  rng = np.random.default_rng(0)
  logits, targets = rng.normal(size=(2, 3, 5)), rng.integers(5, size=(2, 3))
  weights = rng.random((2, 3))
  sums = token_sums(*map(jnp.asarray, (logits, targets, weights)))
  probabilities = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
  picked = np.take_along_axis(probabilities, targets[..., None], -1)[..., 0]
  np.testing.assert_allclose(sums.loss, -(weights * np.log(picked)).sum())
  np.testing.assert_allclose(sums.correct, weights[logits.argmax(-1) == targets].sum())
  np.testing.assert_allclose(sums.weight, weights.sum())


def test_what_does_not_count_does_not_count():
  logits = jnp.array([[[50.0, 0.0], [0.0, 50.0]]])
  sums = token_sums(logits, jnp.array([[0, 0]]), jnp.array([[1.0, 0.0]]))
  np.testing.assert_allclose(sums, (0.0, 1.0, 1.0), atol=1e-6)


def test_large_logits_stay_finite():
  sums = token_sums(
    jnp.full((1, 1, 3), 3e38, jnp.float32), jnp.zeros((1, 1), int), jnp.ones((1, 1))
  )
  assert np.isfinite(sums.loss)


def test_means_divide_by_the_weight():
  sums = Sums(np.array([1.0, 3.0]), np.array([1.0, 1.0]), np.array([2.0, 2.0]))
  assert means(sums) == {"loss": 1.0, "accuracy": 0.5}


def test_smoothing_is_the_cross_entropy_with_the_smoothed_target(in_float64):
  rng = np.random.default_rng(0)
  logits, targets = rng.normal(size=(2, 3, 5)), rng.integers(5, size=(2, 3))
  weights = rng.random((2, 3))
  smoothed = 0.9 * np.eye(5)[targets] + 0.1 / 5  # The target has 0.92.
  log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
  arrays = map(jnp.asarray, (logits, targets, weights))
  sums = token_sums(*arrays, label_smoothing=0.1)
  expected = -(weights[..., None] * smoothed * log_p).sum()
  np.testing.assert_allclose(sums.loss, expected, rtol=1e-12)


def test_labels_are_smooth_in_training_alone():
  batch_of = lambda e: e.dataset.batch("train", 0, 2)  # noqa: E731
  plain, smooth = (
    assemble(tiny_config(train__label_smoothing=share)) for share in (0.0, 0.1)
  )
  params, batch = fill(jax.eval_shape(lambda: plain.init(0))), batch_of(plain)

  def loss(experiment, key):
    return float(experiment.loss(params, key, batch).loss)

  assert loss(smooth, None) == loss(plain, None) == loss(plain, jax.random.key(0))
  assert loss(smooth, jax.random.key(0)) != pytest.approx(loss(smooth, None), rel=1e-3)


def test_a_sequence_is_right_where_all_that_counts_is():
  logits = jnp.eye(3)[jnp.array([[0, 1], [0, 1], [2, 1], [0, 0]])]
  targets = jnp.array([[0, 1], [0, 2], [0, 1], [0, 0]])
  weights = jnp.array([[1.0, 1.0], [1.0, 1.0], [0.0, 1.0], [0.0, 0.0]])
  sums = token_sums(logits, targets, weights)
  found = measured(sums, jnp.argmax(logits, axis=-1) == targets, targets, weights)
  assert (float(found.right), float(found.sequences)) == (2, 3)
  assert found.sums is sums
  assert float(found.size) == 0


def test_bytes_are_those_of_the_targets_that_count():
  """A target that does not count may be any number; a separator has no byte."""
  targets, weights = jnp.array([[0, 1], [2, 9]]), jnp.array([[1.0, 1.0], [1.0, 0.0]])
  zeros = jnp.zeros((2, 2))
  found = measured(None, zeros > 0, targets, weights, np.array([3, 0, 2], np.int32))
  assert float(found.size) == 5
