"""Equations of docstrings as MathML, which browsers render without JavaScript or fonts.

The notation is that of the docstrings, so that source, terminal and page have one text:

  q_i  F_{a_j}  x^2  Σ_{l<i}   subscripts, superscripts, and limits of a sum
  √K  √(T D)                    roots
  a b / (c d)                   a slash between spaces is a fraction, others stay
  ᵀ ² x' q̂ K̃                   transposed, squared, prime, accents
  softmax  max_bias             a word of several letters is a name

A fraction reaches to the next spaced operator, comma or bracket on either side.
"""

import re
import unicodedata
from html import escape

LARGE = "ΣΠ"
# Spaced operators that end a fraction.
BREAKS = set("=+-±<≤>≥≈∝∈→↦,;:·")
OPERATORS = BREAKS | set("∘×|…∂!/*")
OPENING, CLOSING = "([{", ")]}"
RAISED = {"ᵀ": "T", "²": "2", "³": "3"}
ACCENTS = {"\u0302": "^", "\u0303": "~", "\u0304": "¯"}
LETTER = r"[^\W\d_ᵀ²³ΣΠ]"
TOKEN = re.compile(
  r"(?P<space>\s*)"
  rf"(?P<text>\d+(?:\.\d+)?|{LETTER}{LETTER}+(?:_{LETTER}{LETTER}+)*"
  rf"|{LETTER}[\u0302\u0303\u0304]?|.)",
  re.DOTALL,
)
GAP = '<mspace width="0.17em"/>'  # Beside the name of a function.


class Notation(ValueError):
  """An equation that the notation does not allow."""


def mathml(equation: str) -> str:
  """Return one equation as a block of MathML.

  Raises:
    Notation: a bracket is not closed, or an operand is missing.
  """
  body = _Parser(equation).row(end=None)
  return f'<math display="block" alttext="{escape(equation)}">{body}</math>'


class _Parser:
  """Reads tokens from left to right."""

  def __init__(self, equation: str):
    text = unicodedata.normalize("NFD", equation)
    self._tokens = [
      (found["text"], len(found["space"])) for found in TOKEN.finditer(text.strip())
    ]
    self._next, self._equation = 0, equation
    self._in_script = False

  def row(self, end: str | None) -> str:
    """Return the elements up to a closing bracket, which is read, or to the end."""
    done: list[str] = []  # Elements before the operand that is being read.
    operand: list[str] = []
    numerator: list[str] | None = None

    def finish() -> None:
      nonlocal operand, numerator
      if numerator is not None:
        if not operand:
          raise Notation(f"A fraction has no denominator: {self._equation}")
        both = _inside(numerator), _inside(operand)
        operand = [f"<mfrac>{both[0]}{both[1]}</mfrac>"]
      done.extend(operand)
      operand, numerator = [], None

    while (token := self._peek()) != end:
      if token is None:
        raise Notation(f"{end!r} is missing: {self._equation}")
      spaced = self._spaced()
      if token == "/" and spaced:
        self._read()
        if not operand or numerator is not None:
          raise Notation(f"A fraction has no numerator: {self._equation}")
        numerator, operand = operand, []
      elif token in BREAKS and (spaced or token in ",;:"):
        finish()
        done.append(self._operator(self._read()))
      elif _is_name(token):
        operand += [GAP] * bool(operand) + [self._scripted()]
        if (
          after := self._peek()
        ) is not None and after not in OPENING + CLOSING + ",;":
          operand.append(GAP)
      else:
        operand.append(self._scripted())
    finish()
    if end is not None:
      self._read()
    return "<mrow>" + "".join(done) + "</mrow>"

  def _operator(self, token: str) -> str:
    shown = escape("−" if token == "-" else token)
    apart = token == "," and self._gap() > 1  # Two spaces part two equations.
    space = ' rspace="1.5em"' if apart else ""
    return f"<mo{space}>{shown}</mo>"

  def _scripted(self) -> str:
    """Return an element with its subscript and superscript."""
    token = self._peek()
    base = self._element()
    below = above = ""
    while (mark := self._peek()) in ("_", "^", "'", *RAISED):
      self._read()
      if mark == "_":
        below = self._script()
      elif mark == "^":
        above = self._script()
      else:
        raised = "<mo>′</mo>" if mark == "'" else f"<mi>{RAISED[str(mark)]}</mi>"
        above = f"<mrow>{raised}{above}</mrow>" if above else raised
    if token and token in LARGE:
      return _with("munder", "mover", "munderover", base, below, above)
    return _with("msub", "msup", "msubsup", base, below, above)

  def _script(self) -> str:
    """Return what is raised or lowered: a group in braces, or a run of symbols."""
    if self._peek() == "{":
      self._read()
      self._in_script = True
      content = self.row(end="}")
      self._in_script = False
      return content
    token = self._read()
    return f"<mo>{token}</mo>" if token in OPERATORS else _indices(token)

  def _element(self) -> str:
    """Return a symbol, a number, a root, or a group in brackets."""
    token = self._read()
    if token == "√":
      return f"<msqrt>{self._radicand()}</msqrt>"
    if token in OPENING:
      close = CLOSING[OPENING.index(token)]
      return f"<mrow><mo>{token}</mo>{self.row(end=close)}<mo>{close}</mo></mrow>"
    if token in CLOSING:
      raise Notation(f"{token!r} closes nothing: {self._equation}")
    if token == "|":
      return '<mo stretchy="false" lspace="0" rspace="0">|</mo>'
    if token in OPERATORS:
      return self._operator(token)
    return _indices(token) if self._in_script else _symbol(token)

  def _radicand(self) -> str:
    if self._peek() == "(":
      self._read()
      return self.row(end=")")
    return self._scripted()

  def _peek(self) -> str | None:
    return self._tokens[self._next][0] if self._next < len(self._tokens) else None

  def _spaced(self) -> bool:
    """Return whether the next token stands between spaces."""
    after = self._tokens[self._next + 1 : self._next + 2]
    return self._gap() > 0 and all(spaces > 0 for _, spaces in after)

  def _gap(self) -> int:
    """Return the number of spaces in front of the next token."""
    return self._tokens[self._next][1] if self._next < len(self._tokens) else 0

  def _read(self) -> str:
    token = self._peek()
    if token is None:
      raise Notation(f"An operand is missing: {self._equation}")
    self._next += 1
    return token


def _is_name(token: str) -> bool:
  return len(token) > 1 and token[:2].isalpha()


def _indices(token: str) -> str:
  """Return a run of one-letter indices, such as ij, or else a symbol."""
  if token.isalpha() and len(token) == 2:
    return "".join(f"<mi>{letter}</mi>" for letter in token).join(("<mrow>", "</mrow>"))
  return _symbol(token)


def _inside(elements: list[str]) -> str:
  """Return elements as one; brackets around all of them are dropped."""
  first, last = "<mrow><mo>(</mo>", "<mo>)</mo></mrow>"
  if len(elements) == 1 and elements[0].startswith(first):
    return elements[0].removeprefix(first).removesuffix(last)
  return "<mrow>" + "".join(elements) + "</mrow>"


def _with(sub: str, sup: str, both: str, base: str, below: str, above: str) -> str:
  """Return an element with what stands below and above it."""
  if below and above:
    return f"<{both}>{base}{below}{above}</{both}>"
  if below:
    return f"<{sub}>{base}{below}</{sub}>"
  return f"<{sup}>{base}{above}</{sup}>" if above else base


def _symbol(token: str) -> str:
  """Return a number, a letter (with an accent), the name of a function, or a sign."""
  if token[0].isdigit():
    return f"<mn>{token}</mn>"
  if len(token) == 2 and token[1] in ACCENTS:
    accent = ACCENTS[token[1]]
    return f'<mover accent="true"><mi>{token[0]}</mi><mo>{accent}</mo></mover>'
  if token in LARGE:
    return f'<mo largeop="true">{token}</mo>'
  if token[0].isalpha():
    return f"<mi>{token}</mi>"  # Upright if it has several letters.
  return f"<mo>{escape(token)}</mo>"
