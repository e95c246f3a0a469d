"""BLEU and chrF of a file of translations, by the function that `--mode=evaluate` calls.

python experiments/peers/score.py TRANSLATIONS REFERENCES
"""

import argparse
import re
from pathlib import Path

from attention_lab.decode.bleu import translation_scores

BYTES = re.compile(r"(?:<0x[0-9A-F]{2}>)+")


def joined(text: str) -> str:
  """Text with bytes as characters, where they stand as sentencepiece writes them."""
  return BYTES.sub(
    lambda found: bytes.fromhex(re.sub("[<>]|0x", "", found[0])).decode(
      "utf-8", "replace"
    ),
    text,
  )


def main() -> None:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("translations", type=Path)
  parser.add_argument("references", type=Path)
  parser.add_argument(
    "--byte_pieces",
    action="store_true",
    help="join <0xC3><0xA4> to ä: JoeyNMT restricts sentencepiece's vocabulary, which "
    "then takes the bytes for words",
  )
  flags = parser.parse_args()
  paths = flags.translations, flags.references
  translations, references = (
    path.read_text("utf-8").split("\n")[:-1] for path in paths
  )
  if flags.byte_pieces:
    translations = [joined(line) for line in translations]
  for name, score in translation_scores(translations, references).items():
    print(f"{name} {score.value:.2f}  ({score.signature})")


if __name__ == "__main__":
  main()
