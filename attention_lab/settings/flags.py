"""The flags: defined from the table of settings, parsed, and described by --help."""

import os
import re
import shutil
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any, NamedTuple

from absl import flags

import attention_lab
from attention_lab.errors import UserError
from attention_lab.settings.table import LISTED, SETTINGS

FLAGS = flags.FLAGS
OVERRIDE = "--config."
WRITTEN = "Settings are written --config.section.key=value."
HELP = ("-h", "--h", "-help", "--help", "--helpshort", "--helpfull", "--helpxml")
VERSION = ("-version", "--version")

# Settings that have a flag of their own: flag → setting.
NAMED = {setting.flag: key for key, setting in SETTINGS.items() if setting.flag}


class Flag(NamedTuple):
  """A flag that sets no setting."""

  default: Any
  help: str
  choices: str = ""


OTHERS: Mapping[str, Flag] = {
  "mode": Flag(
    "train",
    "What to do.",
    "train, prepare, compare, report, evaluate, sample, check, benchmark or list",
  ),
  "config": Flag(None, "Experiment file; --config.section.key=value sets one setting."),
  "plugin": Flag(
    [], "Module or .py file that registers components; may be given several times."
  ),
  "trust_plugins": Flag(False, "Load the plugins that the run in --workdir names."),
  "workdir": Flag(
    None, "Folder of the run; one that holds a run resumes it. Default: new, in runs/."
  ),
  "coordinator": Flag(None, "Address of process 0, HOST:PORT."),
  "num_processes": Flag(None, "Number of processes that train one run."),
  "process_id": Flag(None, "Number of this process, from 0."),
}

LONGEST = 100  # Characters of a flag's name; absl compares longer ones for minutes.

# Flags that have an effect with --mode=report.
OF_REPORT = ("--mode", "--workdir", "--config.compare.margin", "--config.compare.stale")

GROUPS: Mapping[str, tuple[str, ...]] = {
  "Experiment": (
    *("mode", "attention", "position", "dataset", "architecture"),
    *("steps", "batch_size", "seed", "seeds", "config", "from", "plugin"),
    *("skip_checks", "dry_run"),
  ),
  "Folders and logging": ("workdir", "data_dir", "trust_plugins", "wandb"),
  "With --mode=sample": ("prompt", "input_file"),
  "With --mode=compare": ("match", "tune", "launcher"),
  "With --mode=benchmark": ("lengths",),
  "Several processes": ("coordinator", "num_processes", "process_id"),
}

EXAMPLES = """\
  python -m attention_lab.main --attention=standard
  python -m attention_lab.main --mode=check --plugin=mine.py --attention=mine
  python -m attention_lab.main --mode=compare --position=rope,alibi --seeds=3"""


def define() -> None:
  """Define the absl flags. Settings are None unless their flag is given."""
  for name, flag in OTHERS.items():
    if isinstance(flag.default, bool):
      flags.DEFINE_bool(name, flag.default, flag.help)
    elif isinstance(flag.default, list):
      flags.DEFINE_multi_string(name, flag.default, flag.help)
    else:
      flags.DEFINE_string(name, flag.default, flag.help)
  for name, key in NAMED.items():
    kind = flags.DEFINE_bool if SETTINGS[key].type is bool else flags.DEFINE_string
    kind(name, None, SETTINGS[key].help)


def parse(argv: Sequence[str]) -> list[str]:
  """Parse the flags; return the words --config.key=value as "key=value".

  With --mode=report, the other words are folders, and set `compare.folders`.

  Raises:
    UserError: an unknown flag, a value of another type, or a word that is no flag.
  """
  overrides = [word.removeprefix(OVERRIDE) for word in argv[1:] if _overrides(word)]
  for override in overrides:
    if "=" not in override:
      raise UserError(f"Write --config.{override}=value.")
  others = [word for word in argv if not _overrides(word)]
  for word in others[1:]:
    if word.startswith("-") and len(name := word.partition("=")[0]) > LONGEST:
      raise UserError(f"There is no flag {name[:40]}…, of {len(name)} characters.")
  try:
    surplus = FLAGS(others)[1:]
  except flags.UnrecognizedFlagError as error:
    raise _unknown(error.flagname, others) from None
  except flags.Error as error:
    raise _malformed(error) from None
  _settle_paths()
  if FLAGS.dry_run and FLAGS.mode not in ("train", "compare"):
    raise UserError("--dry_run is for --mode=train and --mode=compare; omit it.")
  if FLAGS.mode == "report":
    _refuse_unused([override.partition("=")[0] for override in overrides])
    # The margin is that of the comparisons unless it is set.
    return ["compare.margin=", f"compare.folders={tuple(surplus)!r}", *overrides]
  if surplus:
    raise UserError(f"{surplus[0]!r} is no flag; flags are written --name=value.")
  return overrides


def named_settings() -> Iterator[tuple[str, str]]:
  """Yield (setting, text) for each flag of a setting that is given."""
  for name, key in NAMED.items():
    value: object = FLAGS[name].value
    if value is not None:
      of_sample = name == "seed" and FLAGS.mode == "sample"
      yield "sample.seed" if of_sample else key, str(value)


def _settle_paths() -> None:
  """Expand "~" in flags of paths; raise `UserError` at what is no path."""
  for name in ("workdir", "config", "from"):
    path = FLAGS[name].value
    if path is None:
      continue
    if not path or "\0" in path:
      raise UserError(f"--{name}={path!r} is not a path; name one, or omit the flag.")
    FLAGS[name].value = os.path.expanduser(path)


def _refuse_unused(keys: Sequence[str]) -> None:
  """Raise `UserError` at a flag or setting that has no effect with --mode=report.

  Args:
    keys: the settings that are given by --config.key=value.
  """
  given = [f"--{name}" for name in (*OTHERS, *NAMED) if FLAGS[name].present]
  given += [f"{OVERRIDE}{key}" for key in keys if key in SETTINGS]
  for flag in given:
    if flag not in OF_REPORT:
      raise UserError(f"{flag} has no effect with --mode=report; omit it.")


def _overrides(word: str) -> bool:
  return word.startswith(OVERRIDE)


def _malformed(error: flags.Error) -> UserError:
  """Return absl's error about a flag that exists, with what to type."""
  text = " ".join(str(error).split())
  if isinstance(error, flags.IllegalFlagValueError):  # Only Booleans refuse a value.
    written = text.partition(": (")[0].removeprefix("flag ")
    return UserError(f"{written}: expected true or false.")
  if text.startswith("Missing value for flag "):
    return UserError(f"{text}. Flags are written --name=value.")
  return UserError(text)


def _unknown(name: str, argv: Sequence[str]) -> UserError:
  """Return what to type instead of a flag that does not exist."""
  typed = [word.lstrip("-").partition("=") for word in argv]
  value = next((text for flag, _, text in typed if flag == name), "")
  advice = _advice(name.removeprefix("config."), value)
  return UserError(f"There is no flag --{name}. {advice}")


def _advice(key: str, value: str) -> str:
  """Return what to type to set `key`, the last component of a setting, to `value`."""
  known = [k for k in SETTINGS if k == key or k.rpartition(".")[2] == key]
  typed = [f"--config.{k}={value or 'value'}" for k in known]
  if len(typed) == 1:
    return f"Type {typed[0]}."
  if typed:
    return f"Type one of {', '.join(typed)}."
  inside = [k for k in SETTINGS if k.startswith(f"{key}.")]
  if inside:
    return f"{key} is a section: {', '.join(inside)}. {WRITTEN}"
  option = re.compile(rf"\b{re.escape(key)}=[^,)]*")
  for k, setting in SETTINGS.items():
    if found := option.search(str(setting.default)):
      assignment = f"{key}={value}" if value else found[0]
      example = setting.default.replace(found[0], assignment)
      return f"{key} is an option: --config.{k}={example!r}, for example."
  return f"{_nearest(key)} {WRITTEN}"


def _nearest(name: str) -> str:
  """Return the nearest flag or setting as a question; flags come first."""
  names = {flag: (f"--{flag}", 0.1) for flag in (*OTHERS, *NAMED)}
  for key in SETTINGS:
    names.setdefault(key.rpartition(".")[2], (f"--config.{key}", 0.0))
    names.setdefault(key, (f"--config.{key}", 0.0))

  def similarity(known: str) -> float:
    abbreviated = 0.5 if len(name) > 1 and known.startswith(name) else 0.0
    return SequenceMatcher(None, name, known).ratio() + names[known][1] + abbreviated

  best = max(names, key=similarity)
  return f"Did you mean {names[best][0]}?" if similarity(best) > 0.6 else "See --help."


def answer(argv: Sequence[str]) -> str | None:
  """Return the text that --help or --version prints; None without either."""
  names = {word.partition("=")[0] for word in argv[1:]}
  if not names.isdisjoint(HELP):
    return help_text(shutil.get_terminal_size().columns)
  if not names.isdisjoint(VERSION):
    return f"attention_lab {attention_lab.__version__}"
  return None


def help_text(columns: int) -> str:
  """Return the text of --help: every flag, by group, with its default and choices."""
  width = max(60, min(columns, 100))
  lines = [
    "Train, check, compare and time attention mechanisms.",
    "",
    "usage: python -m attention_lab.main [--flag=value …] [--config.key=value …]",
    "",
    "Examples:",
    EXAMPLES,
  ]
  for group, names in GROUPS.items():
    lines += ["", f"{group}:"]
    for name in names:
      lines += _described(name, width)
  ends = (
    "--mode=list shows every attention, positional scheme, dataset, architecture, "
    "optimizer and schedule with its options.",
    "--mode=report FOLDER… joins the folders of finished runs and comparisons into one "
    "report; --workdir names its folder.",
    f"--config.section.key=value sets any other setting, for example "
    f"--config.train.learning_rate=1e-3. {LISTED}",
  )
  for text in ends:
    lines += ["", *textwrap.wrap(text, width)]
  return "\n".join(lines)


def _described(name: str, width: int) -> list[str]:
  """Return the lines of one flag."""
  if name in OTHERS:
    default, text, choices = OTHERS[name]
  else:
    setting = SETTINGS[NAMED[name]]
    default, text, choices = setting.default, setting.help, setting.accepts()
  notes = [f"Accepts: {choices}."] if choices else []
  if default not in (None, [], ""):
    notes.append(f"Default: {_shown(default)}.")
  text = " ".join([text, *notes])
  indent = " " * 20
  wrapped = textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=indent)
  first = f"  --{name}"
  if len(first) < len(indent):
    return [first + wrapped[0][len(first) :], *wrapped[1:]]
  return [first, *wrapped]


def _shown(default: Any) -> str:
  if isinstance(default, tuple):
    return ",".join(map(str, default))
  return str(default).lower() if isinstance(default, bool) else str(default)
