"""The entrypoint: flags → configuration → mode.

python -m attention_lab.main --attention=standard
"""

import importlib
import os
import pkgutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from absl import app, flags, logging
from ml_collections import config_dict

from attention_lab import config as configs
from attention_lab import mode as modes
from attention_lab.compare import grid
from attention_lab.distributed import start as processes
from attention_lab.errors import UserError, nearest
from attention_lab.plugin import attribution, consent, discovery
from attention_lab.system import compile_cache, memory, signals, stdout, versions

FLAGS = flags.FLAGS

flags.DEFINE_string(
  "mode", "train", "train, compare, evaluate, sample, check, benchmark or list."
)
flags.DEFINE_string(
  "attention", None, "Attention, or a pattern of them along the layers."
)
flags.DEFINE_string("position", None, "Positional scheme.")
flags.DEFINE_string("dataset", None, "Dataset.")
flags.DEFINE_string("architecture", None, "Architecture.")
flags.DEFINE_string(
  "config", None, "An experiment file; --config.key=value sets one value."
)
flags.DEFINE_multi_string(
  "plugin", [], "A module, or a .py file, that registers parts."
)
flags.DEFINE_bool(
  "trust_plugins", False, "Load the plugins that the run in --workdir names."
)
flags.DEFINE_string(
  "workdir", None, "The run's folder; a new one under runs/ by default."
)
flags.DEFINE_string("data_dir", None, "Where data is looked for and kept.")
flags.DEFINE_string("prompt", None, "What --mode=sample continues or translates.")
flags.DEFINE_string(
  "input_file", None, "With --mode=sample: sources, one a line; - for standard input."
)
flags.DEFINE_string("seed", None, "Of the run, or with --mode=sample of the sample.")
flags.DEFINE_string("seeds", None, "Runs that differ in their seed alone.")
flags.DEFINE_string("steps", None, "Training steps.")
flags.DEFINE_string("wandb", None, "offline or online: log to Weights & Biases too.")
flags.DEFINE_string("lengths", None, "With --mode=benchmark: tokens, as 128,256.")
flags.DEFINE_bool("skip_checks", None, "Train what may see the future.")
flags.DEFINE_string("batch_size", None, "Examples in a step, over all devices.")

flags.DEFINE_string("coordinator", None, "Of several processes: process 0's HOST:PORT.")
flags.DEFINE_string("num_processes", None, "How many processes train as one.")
flags.DEFINE_string("process_id", None, "This process's number among them, from 0.")
flags.DEFINE_string(
  "match", None, "With --mode=compare: add rows of equal parameters, or flops; or none."
)
flags.DEFINE_string("launcher", None, "With --mode=compare: local or slurm.")
flags.DEFINE_bool("dry_run", None, "With --mode=compare: tell what would be run.")

OVERRIDE = "--config."


def read_flags(argv: Sequence[str]) -> list[str]:
  """Parses flags; those of the form --config.key=value are kept for `read_config`.

  Returns:
    The overrides, as "key=value".
  """
  overrides = [word for word in argv[1:] if word.startswith(OVERRIDE)]
  others = [word for word in argv if not word.startswith(OVERRIDE)]
  try:
    surplus = FLAGS(others)[1:]
  except flags.UnrecognizedFlagError as error:
    raise UserError(
      f"There is no flag --{error.flagname}. {nearest(error.flagname, FLAGS)} Settings "
      f"are written --config.section.key=value."
    ) from None
  except flags.Error as error:
    raise UserError(" ".join(str(error).split())) from None
  if surplus:
    raise UserError(f"{surplus[0]!r} is no flag; flags are written --name=value.")
  return [word.removeprefix(OVERRIDE) for word in overrides]


def read_config(overrides: Sequence[str]) -> config_dict.ConfigDict:
  """The run's own configuration, the experiment file's or the defaults; then flags."""
  from attention_lab.run import folder as run_folder

  _refuse_idle_flags()
  stored = run_folder.stored_config(Path(FLAGS.workdir)) if FLAGS.workdir else None
  if FLAGS.config:
    config = configs.load_file(FLAGS.config)
  elif stored is not None:
    config = configs.from_stored(stored)
  else:
    config = configs.get_config()
  assignments = [*_named(), *map(_assignment, overrides)]
  if FLAGS.mode == "compare":
    config.compare.grid = tuple(grid.read(config, assignments).items())
  else:
    for key, text in assignments:
      configs.set_text(config, key, text)
  typed = {key for key, _ in assignments}
  by_user = bool(FLAGS.config) or "plugins" in typed
  config.plugins = consent.merged(
    config.plugins, FLAGS.plugin, run_folder.command(), by_user or FLAGS.trust_plugins
  )
  if stored is not None and "compile_cache" not in typed:
    # What is kept there is machine code, and would be run.
    config.compile_cache = configs.get_config().compile_cache
  configs.validate(config)
  if stored is not None:
    from attention_lab.training import preflight

    preflight.refuse_other_config(Path(FLAGS.workdir), config)
  return config


def _refuse_idle_flags() -> None:
  """Raises UserError at a flag that says nothing, or nothing here."""
  for name in ("workdir", "config"):
    path = FLAGS[name].value
    if path is not None and (not path or "\0" in path):
      raise UserError(f"--{name}={path!r} is no path; name one, or leave it out.")
  if FLAGS.dry_run and FLAGS.mode != "compare":
    raise UserError("--dry_run tells what --mode=compare would run; leave it out.")


def _named() -> Iterator[tuple[str, str]]:
  """Settings that have a flag of their own, where it is given: (setting, text)."""
  for name, key in configs.FLAGS.items():
    value: object = FLAGS[name].value
    if value is not None:
      of_sample = name == "seed" and FLAGS.mode == "sample"
      yield "sample.seed" if of_sample else key, str(value)


def _assignment(override: str) -> tuple[str, str]:
  key, equals, text = override.partition("=")
  if not equals:
    raise UserError(f"Write --config.{key}=value.")
  return key, text


def mode_names() -> list[str]:
  """What --mode may name: the files of the folder mode."""
  return sorted(module.name for module in pkgutil.iter_modules(modes.__path__))


def main(overrides: list[str]) -> int:
  """Runs the mode; returns the exit status, 2 after a user's mistake."""
  logging.set_verbosity(logging.WARNING)  # jax tells of every backend it did not find.
  try:
    if FLAGS.mode not in mode_names():
      raise UserError(f"--mode={FLAGS.mode}: {nearest(FLAGS.mode, mode_names())}")
    versions.refuse_known_bad()
    os.environ |= versions.quieting() | os.environ
    config, among = read_config(overrides), place()
    compile_cache.enable(config.compile_cache)
    with processes.joined(among, config) as group:
      discovery.load(config.plugins)
      processes.agree(group, config)
      mode = importlib.import_module(f"attention_lab.mode.{FLAGS.mode}")
      status = int(mode.run(config, FLAGS.workdir))
    sys.stdout.flush()
    return status
  except UserError as error:
    return complain(error)
  except BrokenPipeError:
    if stdout.is_read():
      raise
    return 1
  except Exception as error:
    mistake = (
      stdout.no_room(error)
      or memory.out_of_memory(error)
      or attribution.of_plugin(error)
    )
    if mistake is None:
      raise
    return complain(mistake)
  finally:
    stdout.settle()


def place() -> processes.Place | None:
  """This process's place among several that train as one; None if it is alone."""
  found = processes.place(
    FLAGS.coordinator, FLAGS.num_processes, FLAGS.process_id, os.environ
  )
  if found and FLAGS.mode != "train":
    raise UserError(
      f"--mode={FLAGS.mode} is for one process, and this is one of {found.num}. Only "
      f"--mode=train runs in several."
    )
  return found


def complain(error: UserError) -> int:
  """Prints a user's mistake on one line of standard error; returns its exit status."""
  print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
  return 2


def parse(argv: Sequence[str]) -> list[str]:
  """`read_flags` for absl: exits with one line where it cannot go on."""
  try:
    return read_flags(argv)
  except UserError as error:
    sys.exit(complain(error))


def command() -> None:
  """What the shell command `attention_lab` runs."""
  signals.end_at_once()
  app.run(main, flags_parser=parse)


if __name__ == "__main__":
  command()
