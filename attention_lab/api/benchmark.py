"""Times and memory of attentions in this process: `attention_lab.benchmark`."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jmp

from attention_lab import config as configs
from attention_lab.api.components import classes_among, held, named
from attention_lab.api.display import Display, new_display
from attention_lab.api.process import api_call, jax_settings_kept
from attention_lab.api.results.benchmark import Benchmark, Timing
from attention_lab.api.settings import assign, by_key
from attention_lab.attention.base.attention import Attention
from attention_lab.benchmark.timing import matmul_peak
from attention_lab.config import Config
from attention_lab.errors import UserError
from attention_lab.mode import benchmark as mode
from attention_lab.plugin import spec as specs

# Settings that a benchmark does not use, with what to do instead.
UNUSED = {
  "attention": "name the attentions first, without a keyword",
  "plugins": "import the module instead",
  "compare.": "use compare",
  "evaluation.": "omit it",
  "checkpoint.": "omit it",
  "log.": "omit it",
  "sample.": "omit it",
  "check.": "use check",
  "processes.": "omit it",
}


@api_call()
def benchmark(
  *attentions: str | type[Attention],
  workdir: str | Path | None = None,
  progress: bool = True,
  **settings: Any,
) -> Benchmark:
  """Time attentions by sequence length, and whole training steps; print nothing.

  The programs are timed in turns, after their outputs have been verified.

  Args:
    *attentions: names, with options as in "sliding_window(window=64)", or classes; ratios
      are to the first.
    workdir: folder for benchmark.json and benchmark.png; None for no files.
    progress: whether to show a bar, on a terminal or in a notebook.
    **settings: as flags, such as lengths=(128, 256), or as the name of a setting with two
      underscores for each dot: model__d_model=64, benchmark__step=False.

  Raises:
    UserError: a name or setting is unknown, or an attention is incompatible with its
      settings or computes a wrong output.
  """
  if not attentions:
    raise UserError('Name an attention: benchmark("standard", Mine).')
  config = configs.get_config()
  values = by_key(settings, UNUSED)
  with contextlib.ExitStack() as stack:
    names = [stack.enter_context(named(each, "benchmark")) for each in attentions]
    values |= stack.enter_context(held(classes_among(values)))
    assign(config, values | {"attention": ",".join(names)})
    names = specs.distinct(config.attention)
    mode.refuse_untrainable(config, names)
    stack.enter_context(jax_settings_kept(config.compile_cache))
    show = stack.enter_context(contextlib.closing(new_display(progress)))
    record = _measure(config, names, show)
  if workdir is not None:
    mode.write(Path(workdir).expanduser(), record)
  return Benchmark(
    timings=tuple(Timing.of(each) for each in record["records"]),
    sentences=tuple(mode.sentences(record["trends"])),
    device=record["device"],
    record=record,
  )


def _measure(config: Config, names: Sequence[str], show: Display) -> dict[str, Any]:
  """Return what benchmark.json holds, and show what has been measured."""
  total = len(config.benchmark.sequence_lengths) + bool(config.benchmark.step)
  done = 0

  def measured(title: str, found: list[dict[str, Any]]) -> None:
    nonlocal done
    done += 1
    show.show(done, total, title)

  peak = matmul_peak(jmp.get_policy(config.train.precision).compute_dtype)
  return mode.measure(config, names, peak, measured)
