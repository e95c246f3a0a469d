"""--mode=prepare: writes the token files of a text, which training otherwise does first.

python -m attention_lab.main --mode=prepare --dataset="text(path='books/')"
"""

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from attention_lab.config import Config
from attention_lab.dataset.base.dataset import Dataset, datasets
from attention_lab.dataset.base.text import Text
from attention_lab.dataset.base.wrapped import Wrapped
from attention_lab.errors import UserError
from attention_lab.run import folder as run_folder


def run(config: Config, workdir: str | None) -> int:
  """Write the token files of every text of the dataset, and print their sizes.

  With the run in `workdir`, the tokens are those of the run's tokenizer.
  """
  kept = run_folder.kept(Path(workdir)) if workdir else {}
  dataset: Dataset = datasets.bind(config.dataset)(data_dir=config.data_dir, kept=kept)
  texts = list(texts_of(dataset))
  if not texts:
    raise UserError(
      f"--mode=prepare writes the tokens of a text, and --dataset={config.dataset} has "
      f"none. Name one: --dataset=\"text(path='…')\"."
    )
  for text in texts:
    print_sizes(text)
  return 0


def texts_of(dataset: Dataset) -> Iterator[Text]:
  """Yield the texts that a dataset is made of."""
  if isinstance(dataset, Text):
    yield dataset
  elif isinstance(dataset, Wrapped):
    for source in dataset.sources:
      yield from texts_of(source)


def print_sizes(text: Text) -> None:
  """Print the sizes of each split, of the vocabulary, and the folder of the files."""
  columns = ("split", "documents", "tokens", "bytes", "bytes per token")
  table = Table(box=None)
  for name in columns:
    table.add_column(name, justify="left" if name == "split" else "right")
  for split, facts in text.encoded.facts.items():
    row = (facts.documents, facts.tokens, facts.bytes)
    ratio = f"{facts.bytes / facts.tokens:.3f}"
    table.add_row(split, *(f"{number:,}" for number in row), ratio)
  console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
  console.print(table)
  if note := text.described(1):
    console.print(note)
  console.print(
    f"{text.vocabulary.size:,} tokens in the vocabulary of {text.tokenizer}"
  )
  folder = text.encoded.folder
  if folder is None:
    console.print("No file is written: this text is encoded at each start.")
  else:
    console.print(f"Written to {folder}")
