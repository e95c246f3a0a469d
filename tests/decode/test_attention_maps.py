"""Maps are the weights of the very tokens that stand beside them."""

import sys

import numpy as np
import pytest

from attention_lab.benchmark import plot
from attention_lab.decode import attention_maps
from attention_lab.errors import UserError
from attention_lab.experiment import assemble
from tests.parts import tiny_config


@pytest.fixture(scope="module")
def continuing():
  """A model that continues text, and its parameters."""
  experiment = assemble(tiny_config())
  return experiment, experiment.init(0)


@pytest.fixture(scope="module")
def answering():
  """A model that answers pairs, and its parameters."""
  experiment = assemble(
    tiny_config(architecture__name="encoder_decoder", dataset="copy(sequence_length=8)")
  )
  return experiment, experiment.init(0)


def test_a_text_attends_to_itself_and_to_nothing_later(continuing):
  (one,) = attention_maps.of_text(*continuing, "abc|ab")
  assert one.queries == one.contexts == list("abc|ab")
  assert list(one.layers) == [1, 2]
  for heads in one.layers.values():
    assert heads.shape == (2, 6, 6)
    np.testing.assert_allclose(heads.sum(axis=-1), 1, rtol=1e-5)
    assert not np.triu(heads, 1).any()


def test_a_pair_has_three_maps(answering):
  encoder, decoder, cross = attention_maps.of_pair(*answering, "abcd", "dcba")
  assert encoder.queries == encoder.contexts == list("abcd")
  assert decoder.queries == decoder.contexts == ["‹start›", *"dcb"]
  assert cross.queries == list("dcba")  # What is said, not what is read.
  assert cross.contexts == list("abcd")
  for one in (encoder, decoder, cross):
    assert [heads.shape for heads in one.layers.values()] == [(2, 4, 4)] * 2


def test_the_maps_are_of_these_tokens(answering):
  """Another last source token moves what looks at the source, not what looks back."""
  _, before, seen = attention_maps.of_pair(*answering, "abcd", "dcba")
  _, after, other = attention_maps.of_pair(*answering, "abca", "dcba")
  np.testing.assert_array_equal(before.layers[1], after.layers[1])
  assert not np.allclose(seen.layers[1][..., -1], other.layers[1][..., -1])


def test_where_nothing_forms_weights_nothing_is_drawn():
  experiment = assemble(tiny_config(attention="linear"))
  with pytest.raises(UserError, match="no attention of this run forms weights"):
    attention_maps.of_text(experiment, experiment.init(0), "abc|")


def test_blanks_can_be_seen():
  dataset = assemble(tiny_config(dataset="python_docs(sequence_length=8)")).dataset
  tokens = dataset.vocabulary.encode("a b\n")
  assert attention_maps.labels(dataset, tokens) == ["a", "␣", "b", "⏎"]


def test_drawing_needs_matplotlib(monkeypatch):
  monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
  with pytest.raises(UserError, match=r"pip install matplotlib.*\[plot\]"):
    plot.figure_of_maps({1: np.ones((1, 2, 2))}, "ab", "ab")


def test_layers_have_their_own_numbers_and_heads():
  """One forms no weights, one forms two for each pair of tokens, one forms others."""
  pair, other = np.ones((1, 2, 3, 3)), np.ones((1, 2, 3, 2))
  found = attention_maps.per_layer(
    [(), (pair, 2 * pair), (other,), (pair,)], "abc", "abc"
  )
  assert {number: heads.shape for number, heads in found.items()} == {
    2: (4, 3, 3),
    4: (2, 3, 3),
  }
  assert found[2][:, 0, 0].tolist() == [1, 1, 2, 2]
  assert attention_maps.per_layer([()], "abc", "abc") == {}
  assert attention_maps.per_layer((), "abc", "abc") == {}


def test_scanned_layers_are_those_of_a_list():
  stacked = np.random.default_rng(0).random((2, 1, 2, 3, 3)).astype(np.float32)
  found = attention_maps.per_layer((stacked,), "abc", "abc")
  assert list(found) == [1, 2]
  np.testing.assert_array_equal(found[2], stacked[1, 0])


def test_a_figure_names_layers_heads_axes_and_tokens():
  figure = plot.figure_of_maps(
    {2: np.ones((2, 1, 3)), 5: np.ones((1, 1, 3))}, "q", "abc"
  )
  titles = [axes.get_title() for axes in figure.axes]
  assert titles == ["layer 2, head 1", "layer 2, head 2", "layer 5, head 1", ""]
  assert (figure.get_supxlabel(), figure.get_supylabel()) == ("attends to", "token")
  first = figure.axes[0]
  assert [text.get_text() for text in first.get_xticklabels()] == list("abc")
  assert [text.get_text() for text in first.get_yticklabels()] == ["q"]
