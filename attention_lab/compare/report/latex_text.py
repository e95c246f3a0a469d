"""Text for LaTeX: escaped, and with nothing that pdflatex cannot show in any font."""

import unicodedata
from collections.abc import Iterator

_ESCAPES = {
  "\\": r"\textbackslash{}",
  "~": r"\textasciitilde{}",
  "^": r"\textasciicircum{}",
  "<": r"\textless{}",
  ">": r"\textgreater{}",
  "|": r"\textbar{}",
} | {character: f"\\{character}" for character in "&%$#_{}"}
_SYMBOLS = {
  "–": "--",
  "—": "---",
  "…": r"\ldots{}",
  "‘": "`",
  "’": "'",
  "“": "``",
  "”": "''",
  "ß": r"\ss{}",
  "æ": r"\ae{}",
  "Æ": r"\AE{}",
  "œ": r"\oe{}",
  "Œ": r"\OE{}",
  "ø": r"\o{}",
  "Ø": r"\O{}",
  "ł": r"\l{}",
  "Ł": r"\L{}",
  "−": "$-$",
}
_MATH = (
  ("↑↓→×±·≤≥≈∞", "uparrow downarrow rightarrow times pm cdot leq geq approx infty"),
  (
    "αβγδεζηθικλμµ",
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu mu",
  ),
  ("νξπρστυφχψω", "nu xi pi rho sigma tau upsilon varphi chi psi omega"),
  ("ΓΔΘΛΞΠΣΥΦΨΩ", "Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"),
)
for _characters, _names in _MATH:
  _SYMBOLS |= {
    c: rf"$\{name}$" for c, name in zip(_characters, _names.split(), strict=True)
  }
# Combining characters with LaTeX's command for the accent.
_ACCENTS = {
  "\u0300": "`",
  "\u0301": "'",
  "\u0302": "^",
  "\u0303": "~",
  "\u0304": "=",
  "\u0306": "u",
  "\u0307": ".",
  "\u0308": '"',
  "\u030a": "r",
  "\u030b": "H",
  "\u030c": "v",
  "\u0327": "c",
}
_SIGNS = set("_(),=*/")  # A word may be broken after them.
_LONGEST = 12  # Characters without such a sign that are not broken.


def escape(text: str) -> str:
  """Return text on one line with LaTeX's special characters escaped.

  Accents, Greek letters and usual signs become commands that every font has. Of other
  scripts, which pdflatex refuses, the code points are written, as U+6CE8.
  """
  composed = unicodedata.normalize("NFC", " ".join(text.split()))
  return "".join(map(_character, composed))


def breakable(text: str) -> str:
  """Return escaped text on one line, in which long words may be broken too."""
  words = unicodedata.normalize("NFC", text).split()
  return " ".join(r"\allowbreak{}".join(_pieces(word)) for word in words)


def width(text: str) -> int:
  """Return the number of characters that LaTeX shows for text."""
  shown = map(_character, unicodedata.normalize("NFC", text))
  return sum(len(each) if each.startswith("U+") else 1 for each in shown)


def _pieces(word: str) -> Iterator[str]:
  """Yield the escaped pieces of a word, between which it may be broken."""
  piece, size = "", 0
  for character, following in zip(word, [*word[1:], ""], strict=True):
    text, own = _character(character), width(character)
    if piece and size + own > _LONGEST:
      yield piece
      piece, size = "", 0
    piece, size = piece + text, size + own
    if character in _SIGNS and following not in _SIGNS:
      yield piece
      piece, size = "", 0
  if piece:
    yield piece


def _character(character: str) -> str:
  for known in (_ESCAPES, _SYMBOLS):
    if character in known:
      return known[character]
  if " " <= character <= "~":
    return character
  base, *marks = list(unicodedata.normalize("NFD", character))
  if len(marks) == 1 and marks[0] in _ACCENTS and base.isascii():
    return rf"\{_ACCENTS[marks[0]]}{{{base}}}"
  return f"U+{ord(character):04X}"
