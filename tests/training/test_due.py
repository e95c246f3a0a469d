"""Pictures that a board gets are of the first validation example, by place."""

from types import SimpleNamespace

import pytest

from attention_lab.experiment import assemble
from attention_lab.training import due
from tests.parts import tiny_config

PAIRS = {"architecture__name": "encoder_decoder", "dataset": "copy(sequence_length=8)"}


@pytest.mark.parametrize(
  ("settings", "expected"),
  [
    ({}, {"attention": ([1, 2], "inputs", "inputs")}),
    (
      PAIRS,
      {
        "attention/encoder": ([1, 2], "source", "source"),
        "attention/decoder": ([1, 2], "inputs", "inputs"),
        "attention/cross": ([1, 2], "targets", "source"),
      },
    ),
  ],
)
def test_maps_are_labelled_with_the_tokens_of_their_place(
  settings, expected, monkeypatch
):
  experiment = assemble(tiny_config(**settings))
  monkeypatch.setattr(due, "attention_image", lambda *words: words)
  run = SimpleNamespace(experiment=experiment, attention_weights=None)
  found = due.attention_images(run, experiment.init(0))
  assert set(found) == set(expected)
  dataset = experiment.dataset
  example = dataset.examples("validation", 0, due.np.zeros(1, int))
  for name, (layers, queries, contexts) in expected.items():
    weights, *axes = found[name]
    assert list(weights) == layers
    tokens = (getattr(example, each)[0] for each in (queries, contexts))
    assert axes == [due.labels(dataset, row) for row in tokens]
