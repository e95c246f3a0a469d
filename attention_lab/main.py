"""The entrypoint: flags → configuration → mode.

python -m attention_lab.main --attention=standard
"""

import importlib
import os
import pkgutil
import sys
from collections.abc import Sequence
from pathlib import Path

from absl import app, flags, logging

from attention_lab import config as configs
from attention_lab import mode as modes
from attention_lab.compare import grid
from attention_lab.config import Config
from attention_lab.distributed import start as processes
from attention_lab.errors import UserError, nearest, print_error
from attention_lab.plugin import consent, discovery, mistakes
from attention_lab.settings import flags as command_line
from attention_lab.system import compile_cache, signals, stdout, versions

FLAGS = flags.FLAGS
command_line.define()


def read_config(overrides: Sequence[str]) -> Config:
  """Return the configuration of this command.

  It starts from the experiment file, the run in --workdir or the defaults; flags change it.
  """
  from attention_lab.run import branch
  from attention_lab.run import folder as run_folder

  resumed = FLAGS.workdir if FLAGS.mode != "report" else None
  stored = run_folder.stored_config(Path(resumed)) if resumed else None
  if stored is not None and FLAGS.mode == "compare":
    run_folder.refuse_single(FLAGS.workdir)
  source = FLAGS["from"].value
  base = branch.stored_config(source) if stored is None and source else stored
  if FLAGS.config:
    config = configs.load_file(FLAGS.config)
  elif base is not None:
    folder = str(source if stored is None else resumed)
    config = configs.from_stored(base, Path(folder, run_folder.CONFIG))
  else:
    config = configs.get_config()
  pairs = (override.partition("=") for override in overrides)
  assignments = [
    *command_line.named_settings(),
    *((key, text) for key, _, text in pairs),
  ]
  if FLAGS.mode == "compare":
    config.compare.grid = tuple(grid.read(config, assignments).items())
  else:
    for key, text in assignments:
      configs.set_text(config, key, text)
  typed = {key for key, _ in assignments}
  configs.replace_length(config, typed)
  by_user = bool(FLAGS.config) or "plugins" in typed
  config.plugins = consent.merged(
    config.plugins, FLAGS.plugin, run_folder.command(), by_user or FLAGS.trust_plugins
  )
  if base is not None:
    configs.reset(config, configs.NOT_PASSED_ON - typed)
  configs.validate(config)
  if stored is not None:
    from attention_lab.training import changes

    if assignments or FLAGS.config:
      discovery.load(config.plugins)  # The schedule tells whether its steps may change.
    accepted = filter(configs.is_evaluable, typed if FLAGS.mode == "evaluate" else ())
    changes.refuse_other_config(Path(FLAGS.workdir), config, tuple(accepted))
  return config


def mode_names() -> list[str]:
  """Return the values of --mode: the files of the folder mode."""
  return sorted(module.name for module in pkgutil.iter_modules(modes.__path__))


def main(overrides: list[str]) -> int:
  """Run the mode; return the exit status, 2 after a user's mistake."""
  # JAX logs every backend that it does not find.
  logging.set_verbosity(logging.WARNING)
  try:
    if FLAGS.mode not in mode_names():
      raise UserError(f"--mode={FLAGS.mode}: {nearest(FLAGS.mode, mode_names())}")
    versions.refuse_known_bad()
    place = _place()
    os.environ |= versions.quieting(several=place is not None) | os.environ
    config = read_config(overrides)
    compile_cache.enable(config.compile_cache)
    with processes.joined(place, config.processes.join, config.processes.lag) as group:
      discovery.load(config.plugins)
      processes.agree(group, dict(configs.flatten(config.to_dict())))
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
  except (Exception, SystemExit) as error:  # A plugin may call sys.exit.
    if (mistake := mistakes.behind(error)) is None:
      raise
    return complain(mistake)
  finally:
    stdout.settle()


def _place() -> processes.Place | None:
  """Return this process's place among those of one run; None if it is alone."""
  place = processes.place(
    FLAGS.coordinator, FLAGS.num_processes, FLAGS.process_id, os.environ
  )
  if place and FLAGS.mode != "train":
    raise UserError(
      f"--mode={FLAGS.mode} runs in one process, and this is one of {place.num}. Only "
      f"--mode=train runs in several."
    )
  return place


def complain(error: UserError) -> int:
  """Print a user's mistake as one line on standard error; return its exit status."""
  print_error(str(error))
  return 2


def parse(argv: Sequence[str]) -> list[str]:
  """Parse the flags for absl; exit after --help, --version or a mistake."""
  if (text := command_line.answer(argv)) is not None:
    try:
      print(text, flush=True)
    except BrokenPipeError:  # As in `--help | head`.
      stdout.drop_output()
    sys.exit(0)
  try:
    return command_line.parse(argv)
  except UserError as error:
    sys.exit(complain(error))


def command() -> None:
  """Run the command line: `attention_lab`, or `python -m attention_lab`."""
  stdout.prepare()
  signals.end_at_once()
  app.run(main, flags_parser=parse)


if __name__ == "__main__":
  command()
