"""--mode=sample: text from a trained run, or its answers to the lines of a file."""

import sys
from collections.abc import Iterable

from ml_collections import config_dict

from attention_lab import run_folder
from attention_lab.errors import UserError
from attention_lab.evaluation import make_sampler
from attention_lab.experiment import assemble
from attention_lab.restore import restore_params
from attention_lab.translate import Translator


def run(config: config_dict.ConfigDict, workdir: str | None) -> int:
  """Prints the prompt with each of its continuations, or the answers to each line."""
  folder = run_folder.existing(workdir)
  experiment = assemble(config, run_folder.kept(folder))
  lines = config.sample.input_file
  sampler = make_sampler(experiment, config.sample)
  if sampler is None:
    raise UserError(
      "This run's architecture sees both sides of a token, so it continues no text. "
      "Use --mode=evaluate."
    )
  params = restore_params(experiment, config, folder).params
  if lines is not None and isinstance(sampler, Translator):
    for answers in sampler.answers(params, list(_read(lines))):
      print(*answers, sep="\n", end="\n\n" if config.sample.count > 1 else "\n")
    return 0
  for text in sampler(params):
    print(text, end="\n\n" if config.sample.count > 1 else "\n")
  return 0


def _read(path: str) -> Iterable[str]:
  """The lines of a file, or of standard input for "-"."""
  try:
    if path == "-":
      return sys.stdin.read().splitlines()
    with open(path, encoding="utf-8") as file:
      return file.read().splitlines()
  except UnicodeDecodeError as error:
    raise UserError(f"{path} is not UTF-8 text (byte {error.start}).") from None
  except OSError as error:
    raise UserError(f"--input_file={path}: {error.strerror}.") from None
