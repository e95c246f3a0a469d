"""The model's own operations are those of its formulas."""

import pytest

from attention_lab.experiment import assemble
from attention_lab.training.preflight import training_flops
from tests.parts import tiny_config

BATCH, LENGTH, D, LAYERS = 8, 8, 8, 2


def expected(vocabulary):
  """A forward pass by hand; the gradient asks for twice as much again."""
  token = LAYERS * (4 * D * D + 2 * D * 4 * D) + D * vocabulary
  scores = LAYERS * 2 * LENGTH * D
  return 3 * 2 * BATCH * LENGTH * (token + scores)


def test_a_step_is_counted_as_by_hand():
  config = tiny_config(position="none")
  assert training_flops(config) == expected(assemble(config).dataset.vocabulary.size)


@pytest.mark.parametrize(
  "changes",
  [
    {"kernel": "blocked"},
    {"model__rematerialise": True},
    {"model__layer_stack": "always"},
    {"train__micro_batches": 4},
  ],
)
def test_how_it_is_computed_does_not_count(changes):
  config = tiny_config(position="none", **changes)
  assert training_flops(config) == training_flops(tiny_config(position="none"))
