"""The image of attention maps for boards shows weights, and says which they are."""

import numpy as np
import pytest

from attention_lab.decode import map_image
from attention_lab.decode.map_image import FRAME, INK, attention_image

CELL = 16  # Pixels of a weight of a small map.


@pytest.fixture
def layers():
  """Weights of two layers, the second and the fourth: two heads, 3 x 3."""
  weights = np.random.default_rng(0).uniform(0.1, 0.5, (2, 2, 3, 3)).astype(np.float32)
  return dict(zip((2, 4), weights, strict=True))


@pytest.fixture
def texts(monkeypatch):
  """Collect the texts that are drawn."""
  found, text = [], map_image._text
  monkeypatch.setattr(map_image, "_text", lambda x: found.append(x) or text(x))
  return found


def frames(image):
  """Return the top left corners of all maps in an image, inside their frames."""
  framed = image == np.float32(FRAME)
  corner = framed[:-1, :-1] & framed[1:, :-1] & framed[:-1, 1:] & ~framed[1:, 1:]
  return np.argwhere(corner) + 1


def test_maps_lie_in_rows_of_layers_and_columns_of_heads(layers):
  image = attention_image(layers, "abc", "abc")
  corners = frames(image)
  assert len(corners) == 4
  heads = [head for weights in layers.values() for head in weights]
  for (top, left), head in zip(corners, heads, strict=True):
    shown = image[top : top + 3 * CELL : CELL, left : left + 3 * CELL : CELL]
    np.testing.assert_array_equal(shown, head / head.max(-1, keepdims=True))
  rows, columns = corners[:, 0], corners[:, 1]
  assert rows[0] == rows[1] < rows[2] == rows[3]
  assert columns[0] == columns[2] < columns[1] == columns[3]


def test_layers_heads_axes_and_tokens_are_named(layers, texts):
  attention_image(layers, ["a", "␣", "⏎"], ["‹start›", "é", "twelve_tokens"])
  titles = [f"layer {layer}, head {head}" for layer in (2, 4) for head in (1, 2)]
  assert [text for text in texts if text.startswith("layer")] == titles
  assert texts[-2:] == ["token", "attends to"]
  assert {"a", "·", "\\n", "<start>", "\\xe9", "twelve_to…"} < set(texts)


def test_labels_stand_beside_their_tokens(layers):
  image = attention_image({1: layers[2][:1]}, ["", "m", ""], ["", "", "m"])
  blank = attention_image({1: layers[2][:1]}, ["", "i", ""], ["", "", "i"])
  ((top, left),) = frames(image)
  assert image.shape != blank.shape  # A margin is as wide as its labels.
  ink = image[top - 1 : top + 3 * CELL + 1, : left - 1]
  rows = np.nonzero(ink[:, -10:].any(axis=1))[0] - 1
  assert CELL <= rows.min() < rows.max() < 2 * CELL
  below = image[top + 3 * CELL + 1 : top + 3 * CELL + 12, left : left + 3 * CELL]
  columns = np.nonzero(below.any(axis=0))[0]
  assert 2 * CELL <= columns.min() < columns.max() < 3 * CELL
  assert image.max() == 1
  assert below.max() <= INK


def test_many_tokens_are_labelled_at_intervals_and_cut(layers, texts):
  weights = np.ones((1, 80, 80), np.float32)
  names = [str(i) for i in range(80)]
  image = attention_image({1: weights}, names, names)
  ((top, left),) = frames(image)
  assert (image[top : top + 256, left : left + 256] == 1).all()
  assert (image[top + 256, left : left + 256] == np.float32(FRAME)).all()
  assert "64" not in texts


def test_maps_of_many_heads_are_smaller():
  names = [str(i) for i in range(64)]
  image = attention_image({1: np.ones((32, 64, 64), np.float32)}, names, names)
  assert len(frames(image)) == 32
  assert image.shape[1] < 32 * 128


def test_layers_of_fewer_heads_are_filled_up_with_black(layers):
  image = attention_image({1: layers[2], 2: layers[4][:1]}, "abc", "abc")
  *_, (top, left) = frames(image)
  right = frames(image)[1][1]
  assert left < right
  assert not image[top : top + 3 * CELL, right:].any()


def test_where_nothing_forms_weights_there_is_no_image():
  assert attention_image({}, "abc", "abc") is None


def test_a_fully_masked_query_stays_black(layers):
  layers[2][0, 1] = 0
  image = attention_image({1: layers[2][:1]}, "abc", "abc")
  ((top, left),) = frames(image)
  assert np.isfinite(image).all()
  assert not image[top + CELL : top + 2 * CELL, left : left + 3 * CELL].any()
