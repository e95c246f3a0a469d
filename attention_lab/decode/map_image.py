"""Attention maps as a grey image with labels, for boards: drawn with Pillow alone."""

import functools
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

FRAME = 0.3  # Brightness of the lines around a map.
INK = 0.8  # Brightness of text.
FONT_SIZE, LINE = 10, 12  # Pixels.
PAD = 4  # Pixels between labels and maps.
SIDE, WIDTH = 256, 2048  # Pixels of a map, and of all maps of a layer, at most.
LARGEST = 16  # Pixels of a weight at most; it has at least one.
LONGEST = 10  # Characters of a label.
AXES = ("token", "attends to")  # Titles of the vertical and of the horizontal axis.
# Visible forms of characters that the font lacks; others are escaped.
VISIBLE = {"␣": "·", "⏎": "\\n", "⇥": "\\t", "‹": "<", "›": ">"}


def attention_image(
  layers: Mapping[int, np.ndarray],
  queries: Sequence[str],
  contexts: Sequence[str],
  size: int = 64,
) -> np.ndarray | None:
  """Return attention maps as an image: a row per layer, a column per head.

  Args:
    layers: weights [N, T, S] by number of the layer.
    queries: labels of the T queries.
    contexts: labels of the S context tokens.
    size: number of queries and context tokens to show.

  Returns:
    [height, width] float32 from 0 to 1, each query's largest weight being 1; None if no
    attention forms weights.
  """
  if not layers:
    return None
  names = (
    [_label(each) for each in queries[:size]],
    [_label(each) for each in contexts[:size]],
  )
  side = min(SIDE, WIDTH // max(map(len, layers.values())))
  cell = int(np.clip(side // max(map(len, names)), 1, LARGEST))
  rows = [
    _beside(
      [
        _panel(f"layer {number}, head {head}", weights[:size, :size], cell, *names)
        for head, weights in enumerate(heads, 1)
      ]
    )
    for number, heads in layers.items()
  ]
  maps = _below(rows)
  vertical, horizontal = np.rot90(_text(AXES[0])), _text(AXES[1])
  maps = _below([maps, _centred(horizontal, width=maps.shape[1])])
  return _beside([_centred(vertical, height=maps.shape[0]), maps])


def _panel(
  title: str,
  weights: np.ndarray,
  cell: int,
  queries: Sequence[str],
  contexts: Sequence[str],
) -> np.ndarray:
  """Return the map of one head with its title and labels: [height, width].

  Args:
    title: the title.
    weights: [T, S].
    cell: pixels of a weight.
    queries: labels of the T queries.
    contexts: labels of the S context tokens.
  """
  across, down = [_text(each) for each in contexts], [_text(each) for each in queries]
  left, below = (PAD + max(text.shape[1] for text in texts) for texts in (down, across))
  height, width = (cell * length + 2 for length in weights.shape)
  name = _text(title)
  canvas = np.zeros(
    (LINE + height + below + PAD, left + max(width, name.shape[1]) + PAD), np.float32
  )
  _draw(canvas, name, 0, left)
  largest = np.maximum(weights.max(axis=-1, keepdims=True), 1e-9)
  canvas[LINE : LINE + height, left : left + width] = FRAME
  canvas[LINE + 1 : LINE + height - 1, left + 1 : left + width - 1] = np.kron(
    weights / largest, np.ones((cell, cell))
  )
  every = -(-LINE // cell)
  for index in range(0, len(down), every):
    middle = LINE + 1 + cell * index + (cell - LINE) // 2
    _draw(canvas, down[index], middle, left - PAD // 2 - down[index].shape[1])
  for index in range(0, len(across), every):
    middle = left + 1 + cell * index + (cell - LINE) // 2
    _draw(canvas, np.rot90(across[index]), LINE + height + PAD // 2, middle)
  return canvas


def _draw(canvas: np.ndarray, text: np.ndarray, top: int, left: int) -> None:
  """Draw a text on a canvas that may be too small for its margin."""
  place = canvas[max(top, 0) :, max(left, 0) :][: text.shape[0], : text.shape[1]]
  np.maximum(place, text[: place.shape[0], : place.shape[1]], out=place)


def _text(text: str) -> np.ndarray:
  """Return a line of text: [LINE, width] float32, one pixel wide or more."""
  font = _font()
  width = max(1, int(np.ceil(font.getlength(text))))
  image = Image.new("L", (width, LINE))
  ImageDraw.Draw(image).text((0, 0), text, fill=255, font=font)
  return INK * np.asarray(image, np.float32) / 255


@functools.cache
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
  return ImageFont.load_default(FONT_SIZE)


def _label(token: str) -> str:
  """Return a token in characters that the font has, shortened."""
  for character, visible in VISIBLE.items():
    token = token.replace(character, visible)
  token = "".join(
    c if c.isascii() or c == "·" else c.encode("unicode_escape").decode() for c in token
  )
  return token if len(token) <= LONGEST else token[: LONGEST - 1] + "…"


def _centred(
  image: np.ndarray, *, height: int | None = None, width: int | None = None
) -> np.ndarray:
  """Return an image in the middle of one that is higher or wider."""
  shape = height or image.shape[0], width or image.shape[1]
  canvas = np.zeros(np.maximum(shape, image.shape), np.float32)
  top, left = ((a - b) // 2 for a, b in zip(canvas.shape, image.shape, strict=True))
  _draw(canvas, image, top, left)
  return canvas


def _beside(images: Sequence[np.ndarray]) -> np.ndarray:
  """Return images from left to right, filled up with black below."""
  height = max(image.shape[0] for image in images)
  return np.concatenate(
    [np.pad(image, ((0, height - image.shape[0]), (0, 0))) for image in images], axis=1
  )


def _below(images: Sequence[np.ndarray]) -> np.ndarray:
  """Return images from top to bottom, filled up with black on the right."""
  return _beside([image.T for image in images]).T
