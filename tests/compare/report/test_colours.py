"""Colours of report.html: distinct for colour-blind readers, legible on light and dark.

Differences are those of CIEDE2000 (Sharma, Wu and Dalal, 2005) between colours as seen
with a missing cone type, by the matrices of Machado, Oliveira and Fernandes (2009) for
severity 1, which apply to linear sRGB.
"""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest

from attention_lab.compare.analysis.differences import Verdict
from attention_lab.compare.report.figures import marks

CSS = Path(marks.__file__).parents[1].joinpath("page.css").read_text("utf-8")
VISION = {
  "normal": np.eye(3),
  "protanopia": np.array(
    [
      [0.152286, 1.052583, -0.204868],
      [0.114503, 0.786281, 0.099216],
      [-0.003882, -0.048116, 1.051998],
    ]
  ),
  "deuteranopia": np.array(
    [
      [0.367322, 0.860646, -0.227968],
      [0.280085, 0.672501, 0.047413],
      [-0.011820, 0.042940, 0.968881],
    ]
  ),
  "tritanopia": np.array(
    [
      [1.255528, -0.076749, -0.178779],
      [-0.078411, 0.930809, 0.147602],
      [0.004733, 0.691367, 0.303900],
    ]
  ),
}
XYZ = np.array(  # From linear sRGB, with the white point D65.
  [
    [0.4124564, 0.3575761, 0.1804375],
    [0.2126729, 0.7151522, 0.0721750],
    [0.0193339, 0.1191920, 0.9503041],
  ]
)


def variables(scheme):
  """Return the colours of page.css in a scheme, by name of the variable."""
  blocks = re.findall(r":root \{(.*?)\}", CSS, re.S)[: 2 if scheme == "dark" else 1]
  return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", "".join(blocks)))


def linear(colour):
  """Return linear sRGB of a colour such as "#33383e"."""
  values = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
  return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def contrast(one, other):
  """Return the contrast of WCAG 2."""
  low, high = sorted(linear(colour) @ XYZ[1] for colour in (one, other))
  return (high + 0.05) / (low + 0.05)


def lab(rgb):
  """Return CIELAB of linear sRGB."""
  t = XYZ @ rgb / XYZ.sum(1)
  d = 6 / 29
  f = np.where(t > d**3, np.cbrt(t), t / (3 * d * d) + 4 / 29)
  return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def ciede2000(one, other):
  """Return the colour difference of two CIELAB colours."""
  (l1, a1, b1), (l2, a2, b2) = one, other
  c = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
  g = (1 - np.sqrt(c**7 / (c**7 + 25.0**7))) / 2
  a1, a2 = (1 + g) * a1, (1 + g) * a2
  c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
  h1, h2 = (np.degrees(np.arctan2(b, a)) % 360 for a, b in ((a1, b1), (a2, b2)))
  turn, total = h2 - h1, h1 + h2
  hue = total / 2
  if c1 * c2 == 0:
    turn, hue = 0.0, total
  elif abs(turn) > 180:
    turn -= 360 * np.sign(turn)
    hue += 180 if total < 360 else -180
  mean_l, mean_c = (l1 + l2) / 2, (c1 + c2) / 2
  cosine = lambda factor, shift: np.cos(np.radians(factor * hue + shift))  # noqa: E731
  t = 1 - 0.17 * cosine(1, -30) + 0.24 * cosine(2, 0)
  t += 0.32 * cosine(3, 6) - 0.20 * cosine(4, -63)
  lightness = (l2 - l1) / (
    1 + 0.015 * (mean_l - 50) ** 2 / np.sqrt(20 + (mean_l - 50) ** 2)
  )
  chroma = (c2 - c1) / (1 + 0.045 * mean_c)
  hues = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2)) / (1 + 0.015 * mean_c * t)
  rotation = np.sin(np.radians(60 * np.exp(-(((hue - 275) / 25) ** 2))))
  rotation *= -2 * np.sqrt(mean_c**7 / (mean_c**7 + 25.0**7))
  return np.sqrt(lightness**2 + chroma**2 + hues**2 + rotation * chroma * hues)


@pytest.mark.parametrize(
  ("one", "other", "difference"),
  [  # From the table of Sharma, Wu and Dalal.
    ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
    ((50, -1, 2), (50, 0, 0), 2.3669),
    ((50, 2.49, -0.001), (50, -2.49, 0.0011), 7.2195),
    ((50, 2.5, 0), (73, 25, -18), 27.1492),
    ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ((2.0776, 0.0795, -1.135), (0.9033, -0.0636, -0.5514), 0.9082),
  ],
)
def test_ciede2000_agrees_with_published_values(one, other, difference):
  assert ciede2000(one, other) == pytest.approx(difference, abs=1e-4)


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_series_are_told_apart(scheme, vision):
  found = variables(scheme)
  seen = [
    lab(np.clip(VISION[vision] @ linear(found[f"series-{i}"]), 0, 1))
    for i in range(marks.HUES)
  ]
  assert marks.HUES >= 8
  assert min(ciede2000(*pair) for pair in itertools.combinations(seen, 2)) >= 10


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_series_and_texts_are_visible(scheme):
  """Lines have a contrast of 3 with what is behind them, texts one of 4.5 (WCAG AA)."""
  found = variables(scheme)
  texts = ("ink", "quiet", "accent", "good", "bad", "same", "small")
  for behind in ("paper", "panel"):
    for i in range(marks.HUES):
      assert contrast(found[f"series-{i}"], found[behind]) >= 3
    for name in texts:
      assert contrast(found[name], found[behind]) >= 4.5, name


def test_every_verdict_has_a_colour():
  for verdict in Verdict.__args__:
    name = re.escape(f".verdict.{verdict.replace(' ', '-')}")
    (variable,) = re.findall(name + r"\b[^{]*\{ color: var\(--(\w+)\); \}", CSS)
    assert variable in variables("light")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_of_heatmaps_is_legible(scheme):
  from attention_lab.compare.report.figures.heatmaps import STRONGEST, WEAKEST

  found = variables(scheme)
  levels = [
    np.array([int(found[name][i : i + 2], 16) for i in (1, 3, 5)])
    for name in ("accent", "paper")
  ]
  mixed = levels[0] * (WEAKEST + STRONGEST) + levels[1] * (1 - WEAKEST - STRONGEST)
  colour = "#" + "".join(f"{round(level):02x}" for level in mixed)
  assert contrast(found["ink"], colour) >= 4.5


def test_series_have_different_dashes_and_markers_from_the_first_on():
  first = range(marks.HUES)
  assert len({tuple(marks.dashes(i)) for i in first}) == marks.HUES
  assert len({tuple(marks.marker(i)) for i in first}) == marks.HUES
  every = {
    (marks.colour(i), tuple(marks.dashes(i)), tuple(marks.marker(i))) for i in range(64)
  }
  assert len(every) == 64
  same = range(0, 8 * marks.HUES, marks.HUES)
  assert len({tuple(marks.dashes(i)) for i in same}) == 8
