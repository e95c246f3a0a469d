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
  assert len(one.layers) == 2
  for heads in one.layers:
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
    assert [heads.shape for heads in one.layers] == [(2, 4, 4)] * 2


def test_the_maps_are_of_these_tokens(answering):
  """Another last source token moves what looks at the source, not what looks back."""
  _, before, seen = attention_maps.of_pair(*answering, "abcd", "dcba")
  _, after, other = attention_maps.of_pair(*answering, "abca", "dcba")
  np.testing.assert_array_equal(before.layers[0], after.layers[0])
  assert not np.allclose(seen.layers[0][..., -1], other.layers[0][..., -1])


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
    plot.figure_of_maps([np.ones((1, 2, 2))], "ab", "ab")


@pytest.fixture
def layers():
  """Weights of two layers, [L, B, N, T, S]: one image, two heads, 3 x 3."""
  weights = np.random.default_rng(0).uniform(0.1, 0.5, (2, 1, 2, 3, 3))
  return weights.astype(np.float32)


def test_attention_maps_lie_in_rows_of_layers_and_columns_of_heads(layers):
  image = attention_maps.attention_image([(layers[0],), (layers[1],)])
  assert image.shape == (2 * 5, 2 * 5)  # With a grey frame around every map.
  for layer, head in np.ndindex(2, 2):
    expected = layers[layer, 0, head] / layers[layer, 0, head].max(-1, keepdims=True)
    shown = image[5 * layer : 5 * layer + 5, 5 * head : 5 * head + 5]
    np.testing.assert_array_equal(shown[1:-1, 1:-1], expected)
    frame = np.concatenate([shown[0], shown[-1], shown[:, 0], shown[:, -1]])
    np.testing.assert_array_equal(frame, np.float32(attention_maps.FRAME))


def test_stacked_layers_give_the_same_image_as_a_list_of_them(layers):
  np.testing.assert_array_equal(
    attention_maps.attention_image((layers,)),
    attention_maps.attention_image([(layers[0],), (layers[1],)]),
  )


def test_only_the_first_queries_and_contexts_are_shown(layers):
  assert attention_maps.attention_image([(layers[0],)], size=2).shape == (4, 2 * 4)


def test_layers_of_different_width_are_filled_up_with_black(layers):
  image = attention_maps.attention_image([(layers[0],), (layers[1][:, :1],)])
  assert image.shape == (10, 10)
  assert not image[5:, 5:].any()


def test_a_layer_that_formed_no_weights_has_no_row(layers):
  assert attention_maps.attention_image([(), (layers[1],)]).shape == (5, 10)


@pytest.mark.parametrize("nothing", [[], [(), ()], ()])
def test_where_no_attention_formed_weights_there_is_no_image(nothing):
  assert attention_maps.attention_image(nothing) is None


def test_fully_masked_query_stays_black(layers):
  layers[0, 0, 0, 1] = 0
  image = attention_maps.attention_image([(layers[0],)])
  assert np.isfinite(image).all()
  assert not image[2, 1:4].any()
