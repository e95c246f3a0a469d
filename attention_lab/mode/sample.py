"""--mode=sample: text from a trained run, or translations of the lines of a file."""

import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from attention_lab.benchmark.plot import plot_maps
from attention_lab.config import Config
from attention_lab.dataset.base.lines import user_lines
from attention_lab.decode.attention_maps import Map, of_pair, of_text
from attention_lab.decode.sampler import make_sampler
from attention_lab.decode.translator import Translator
from attention_lab.errors import UserError
from attention_lab.experiment import assemble
from attention_lab.run import code as run_code
from attention_lab.run import folder as run_folder
from attention_lab.run.restore import restore_params
from attention_lab.system.files import make_folder
from attention_lab.system.regular import refuse_link
from attention_lab.training.identity import refuse_foreign
from attention_lab.training.preflight import code_of, sample_options


def run(config: Config, workdir: str | None) -> int:
  """Print the prompt with each continuation, or the translations of each line."""
  folder = run_folder.existing(workdir)
  experiment = assemble(config, run_folder.kept(folder))
  code = code_of(config)
  if changed := run_code.changed_code(folder, code):
    print(f"warning: {run_code.message(folder, changed)}", file=sys.stderr)
  lines = config.sample.input_file
  sampler = make_sampler(experiment, *sample_options(config))
  if sampler is None:
    raise UserError(
      "This run's architecture is bidirectional, so it generates no text. "
      "Use --mode=evaluate."
    )
  params = restore_params(
    experiment,
    folder,
    config.evaluation.checkpoint,
    config.evaluation.average,
    config.checkpoint.keep,
    partial(refuse_foreign, folder, config, code),
  ).params
  between = "\n\n" if config.sample.count > 1 else "\n"
  if isinstance(sampler, Translator):
    sources = [sampler.prompt] if lines is None else user_lines(lines, "input_file")
    found = sampler.answers(params, sources)
    for answers in found:
      print(*answers, sep="\n", end=between)
    pairs = zip(sources, (answers[0] for answers in found), strict=True)
    maps = (of_pair(experiment, params, *pair) for pair in pairs)
  else:
    if sampler.note:
      print(sampler.note, file=sys.stderr)
    for text in sampler(params):
      print(text, end=between)
    maps = (of_text(experiment, params, text) for text in [sampler.prompt])
  if config.sample.maps:
    _draw(maps, folder / run_folder.MAPS)
  return 0


def _draw(texts: Iterable[list[Map]], folder: Path) -> None:
  """Write the maps of each text, numbered from 1."""
  refuse_link(folder)
  make_folder(folder, "workdir")
  for number, maps in enumerate(texts, 1):
    for one in maps:
      path = folder / f"{number}{one.place and '-' + one.place}.png"
      plot_maps(path, one.layers, one.queries, one.contexts, one.place)
  print(f"Attention maps in {folder}", file=sys.stderr)
