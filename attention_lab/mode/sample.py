"""--mode=sample: text from a trained run, or translations of the lines of a file."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from attention_lab.benchmark.plot import figure_of_maps, save
from attention_lab.config import Config
from attention_lab.dataset.base.lines import user_lines
from attention_lab.decode.attention_maps import Map, of_pair, of_text
from attention_lab.decode.sampler import Sampler, make_sampler
from attention_lab.decode.translator import Translator
from attention_lab.errors import UserError
from attention_lab.experiment import Experiment, assemble
from attention_lab.run import code as run_code
from attention_lab.run import folder as run_folder
from attention_lab.system.files import make_folder
from attention_lab.system.regular import refuse_link
from attention_lab.training.preflight import code_of, sample_options
from attention_lab.training.restoring import restore


class Decoded(NamedTuple):
  """A text, and the texts that a model continues or translates it with."""

  prompt: str
  texts: list[str]  # Continuations, or translations, the best first.


class Decoding(NamedTuple):
  """The results of decoding."""

  decoded: list[Decoded]  # One, or one for each source.
  translates: bool
  note: str  # What the user should know about the prompt.


def run(config: Config, workdir: str | None) -> int:
  """Print the prompt with each continuation, or the translations of each line."""
  folder = run_folder.existing(workdir)
  experiment = assemble(config, run_folder.kept(folder))
  code = code_of(config)
  if changed := run_code.changed_code(folder, code):
    print(f"warning: {run_code.message(folder, changed)}", file=sys.stderr)
  lines = config.sample.input_file
  sampler = sampler_of(experiment, config)
  params = restore(experiment, folder, config, config, code).params
  sources = None if lines is None else user_lines(lines, "input_file")
  decoding = decode(sampler, params, sources)
  if decoding.note:
    print(decoding.note, file=sys.stderr)
  between = "\n\n" if config.sample.count > 1 else "\n"
  for prompt, texts in decoding.decoded:
    if decoding.translates:
      print(*texts, sep="\n", end=between)
    else:
      for text in texts:
        print(f"[{prompt}]{text}", end=between)
  if config.sample.maps:
    maps = (maps_of(experiment, params, each) for each in decoding.decoded)
    _draw(maps, folder / run_folder.MAPS)
  return 0


def sampler_of(experiment: Experiment, config: Config) -> Sampler | Translator:
  """Return what decodes with the settings of `sample`.

  Raises:
    UserError: the model generates no text, or a setting does not fit it.
  """
  sampler = make_sampler(experiment, *sample_options(config))
  if sampler is None:
    raise UserError(
      "This run's architecture is bidirectional, so it generates no text. "
      "Use --mode=evaluate."
    )
  return sampler


def decode(
  sampler: Sampler | Translator, params: Any, sources: list[str] | None = None
) -> Decoding:
  """Return the continuations of the sampler's prompt, or the translations of sources.

  Args:
    sampler: from `sampler_of`.
    params: parameters, on the host.
    sources: texts to translate; None for the sampler's prompt.
  """
  if isinstance(sampler, Sampler):
    decoded = [Decoded(sampler.prompt, sampler.continuations(params))]
    return Decoding(decoded, translates=False, note=sampler.note)
  sources = [sampler.prompt] if sources is None else sources
  found = zip(sources, sampler.answers(params, sources), strict=True)
  return Decoding([Decoded(*each) for each in found], translates=True, note="")


def maps_of(experiment: Experiment, params: Any, decoded: Decoded) -> list[Map]:
  """Return the attention maps of a prompt, or of a source with its best translation."""
  if experiment.dataset.task == "pairs":
    return of_pair(experiment, params, decoded.prompt, decoded.texts[0])
  return of_text(experiment, params, decoded.prompt)


def _draw(texts: Iterable[list[Map]], folder: Path) -> None:
  """Write the maps of each text, numbered from 1."""
  refuse_link(folder)
  make_folder(folder, "workdir")
  for number, maps in enumerate(texts, 1):
    for one in maps:
      path = folder / f"{number}{one.place and '-' + one.place}.png"
      save(figure_of_maps(one.layers, one.queries, one.contexts, one.place), path)
  print(f"Attention maps in {folder}", file=sys.stderr)
