"""Shares of attention weight on the tokens that answers depend on."""

import jax
import numpy as np
import pytest

from attention_lab.compare import reference
from attention_lab.experiment import assemble
from tests.parts import tiny_config

# Copies of 4 letters: the answer at 4 + i depends on one of the 5 + i tokens up to it.
UNIFORM = np.mean([1 / (5 + i) for i in range(4)])


def measured(**changes):
  """Return the shares of a model whose parameters are 0, so that all scores are equal."""
  experiment = assemble(tiny_config(position="none", **changes))
  shapes = jax.eval_shape(lambda: experiment.init(0))
  return reference.measure(experiment, jax.tree.map(zeros, shapes))


def zeros(leaf):
  return np.zeros(leaf.shape, leaf.dtype)


def test_equal_weights_have_the_share_of_the_wanted_among_the_visible_tokens():
  found = measured(attention="standard,differential,linear", model__num_layers=3)
  assert found.uniform == pytest.approx(UNIFORM)
  assert found.layers == (1, 2)  # Linear attention forms no weights.
  np.testing.assert_allclose(found.shares[0], [UNIFORM, UNIFORM, np.nan, np.nan], 1e-5)
  np.testing.assert_allclose(found.shares[1], 4 * [UNIFORM], 1e-5)


def test_weight_on_the_wanted_tokens_alone_has_share_1(monkeypatch):
  def exact(experiment, params, tokens):
    batch = experiment.dataset.examples("validation", 0, np.arange(len(tokens)))
    wanted = experiment.dataset.reference_attention(batch)
    np.testing.assert_array_equal(tokens, batch.inputs)
    signed = np.stack([wanted, -1.0 * wanted, np.eye(8) + 0 * wanted], axis=1)
    return [(signed,)]

  monkeypatch.setattr(reference, "attention_weights", exact)
  np.testing.assert_allclose(measured().shares, [[1, 1, 0]])


@pytest.mark.parametrize(
  "changes",
  [
    {"attention": "linear"},
    {"dataset": "python_docs(sequence_length=8)"},
    {"dataset": "sort(sequence_length=8)"},
    {"dataset": "copy(sequence_length=1450)"},  # 1,450² pairs are more than 2²¹.
  ],
)
def test_nothing_is_measured_without_weights_reference_or_room(changes):
  assert measured(**changes) is None
