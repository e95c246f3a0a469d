"""Loss and accuracy are what they are called."""

import jax.numpy as jnp
import numpy as np

from attention_lab.metrics import Sums, means, token_sums


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
