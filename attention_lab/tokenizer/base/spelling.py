"""The bytes that the names of tokens of a `tokenizer.json` stand for."""

import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

# Splits a text without removing any of it, if nothing else is said.
SPLITTERS = ("Split", "Digits", "Punctuation", "UnicodeScripts", "FixedLength")
BYTES = range(256)


class Spelling(NamedTuple):
  """Spelling of the names of tokens."""

  lossless: bool  # Whether every text is what the names of its tokens spell.
  byte_level: bool  # Whether a character stands for a byte.
  space: str  # Character that stands for a space; "" for the space itself.
  byte_names: bool  # Whether names such as <0x0A> stand for bytes.

  def bytes_of(self, name: str) -> bytes:
    """Return the bytes that the name of a token stands for."""
    if self.is_byte(name):
      return bytes([int(name[1:-1], 16)])
    if self.byte_level:
      table = byte_characters()
      return b"".join(
        bytes([table[c]]) if c in table else c.encode("utf-8", "replace") for c in name
      )
    text = name.replace(self.space, " ") if self.space else name
    return text.encode("utf-8", "replace")

  def is_byte(self, name: str) -> bool:
    """Return whether a name is that of a byte, such as <0x0A>."""
    return self.byte_names and bool(re.fullmatch("<0x[0-9A-F]{2}>", name))


@functools.cache
def byte_characters() -> dict[str, int]:
  """Return the byte of each character of a byte-level tokenizer, as of GPT-2.

  A byte that is printable in Latin-1 is its own character; the others follow from U+0100.
  """
  shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
  others = (byte for byte in BYTES if byte not in shown)
  table = {chr(byte): byte for byte in shown}
  return table | {chr(256 + i): byte for i, byte in enumerate(others)}


def spelling_of(tokenizer: Mapping[str, Any], names: Mapping[str, int]) -> Spelling:
  """Return how tokens are spelled.

  Args:
    tokenizer: the content of a valid `tokenizer.json`.
    names: the token of each name.
  """
  model = tokenizer["model"]
  normalizers = list(_parts(tokenizer.get("normalizer"), "normalizers"))
  splitters = list(_parts(tokenizer.get("pre_tokenizer"), "pretokenizers"))
  steps = [*normalizers, *splitters]
  spaces = {space for step in steps if (space := _space(step))}
  byte_level = any(step["type"] == "ByteLevel" for step in steps)
  byte_names = bool(model.get("byte_fallback"))
  needed = byte_characters() if byte_level else map("<0x{:02X}>".format, BYTES)
  lossless = (
    model["type"] in ("BPE", "Unigram")
    and not (model.get("continuing_subword_prefix") or model.get("end_of_word_suffix"))
    and all(_keeps_text(step) for step in steps)
    and (byte_level or byte_names)
    and not (byte_level and (spaces or byte_names))
    and len(spaces) < 2
    and all(name in names for name in needed)
    and not any(x["lstrip"] or x["rstrip"] for x in _plain(tokenizer))
  )
  return Spelling(lossless, byte_level, min(spaces, default=""), byte_names)


def _parts(step: Any, key: str) -> Iterator[Mapping[str, Any]]:
  """Yield the steps of a step that may be a sequence, which holds them under `key`."""
  if step is None:
    return
  if step["type"] != "Sequence":
    yield step
    return
  for each in step[key]:
    yield from _parts(each, key)


def _plain(tokenizer: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
  """Yield the added tokens that are no special ones: they occur in texts."""
  return (x for x in tokenizer.get("added_tokens") or () if not x["special"])


def _space(step: Mapping[str, Any]) -> str:
  """Return the character that a step writes for each space; "" if it writes none."""
  if step["type"] == "Metaspace":
    return str(step["replacement"])
  if step["type"] == "Replace" and step["pattern"] == {"String": " "}:
    return str(step["content"])
  return ""


def _keeps_text(step: Mapping[str, Any]) -> bool:
  """Return whether a step of normalising or splitting loses and adds nothing."""
  kind = step["type"]
  if kind == "ByteLevel":
    return not step.get("add_prefix_space", False)
  if kind == "Metaspace":  # Its form before `tokenizers` 0.19 has add_prefix_space.
    prefix = "always" if step.get("add_prefix_space", True) else "never"
    return step.get("prepend_scheme", prefix) == "never"
  if kind == "Replace":
    return len(_space(step)) == 1
  return kind in SPLITTERS and step.get("behavior") != "Removed"
