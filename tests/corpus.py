"""A small synthetic corpus of two languages, with sentences of many lengths."""

import numpy as np

WORDS = "das Haus ist grün und der alte Baum steht am Weg".split()
SIZES = {"train": 90, "valid": 11, "test": 7}


def sentences(split):
  """Return (source, target) of each line of a split: words, and the words reversed."""
  rng = np.random.default_rng(len(split))
  pairs = []
  for number in range(SIZES[split]):
    words = [*rng.choice(WORDS, size=rng.integers(1, 9)), str(number)]
    pairs.append((" ".join(words), " ".join(reversed(words[rng.integers(2) :]))))
  return pairs


def write_corpus(folder):
  """Write {train,valid,test}.{en,de} into a folder."""
  for split in SIZES:
    for side, lines in zip(
      ("en", "de"), zip(*sentences(split), strict=True), strict=True
    ):
      text = "".join(f"{line}\n" for line in lines)
      (folder / f"{split}.{side}").write_text(text, encoding="utf-8")
