"""The configuration: every setting with its default, and how flags change it.

This module imports neither jax nor anything else that is slow: flags are read first.
"""

import ast
import functools
import math
import os
import runpy
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ml_collections import config_dict

from attention_lab.errors import UserError, nearest, one_line

Config = config_dict.ConfigDict


def get_config() -> config_dict.ConfigDict:
  """The defaults. An experiment file starts from these and changes what it needs."""
  return config_dict.ConfigDict(
    {
      # The parts, as specs: name(option=value).
      "attention": "standard",  # Or a pattern along the layers: 'a*3,b'.
      "position": "rope",
      "dataset": "python_docs",
      "architecture": {
        "name": "decoder_only",
        # The attention of one place, where it is another than `attention`.
        "encoder": {"attention": config_dict.placeholder(str)},
        "decoder": {"attention": config_dict.placeholder(str)},
        "cross": {"attention": config_dict.placeholder(str)},
      },
      "kernel": "auto",  # Of attention: auto, reference, blocked, xla or cudnn.
      "plugins": (),  # What --plugin named.
      "data_dir": "",  # Where data is looked for; "" for the user's cache.
      "profile": False,  # Whether a trace of some steps is written to the run's folder.
      "skip_checks": False,  # Whether to train what may see the future.
      "compile_cache": "",  # Where compiled programs are kept; "off" for nowhere.
      "seed": 0,  # Of initialisation and dropout; data and samples have their own.
      "seeds": 1,  # Runs that differ in their seed alone: `seed`, `seed` + 1, …
      "steps": 1400,  # Training steps.
      "batch_size": 16,  # Examples in a step, over all devices.
      "model": {
        "num_layers": 4,
        "num_heads": 4,
        "d_model": 64,
        "d_ff": config_dict.placeholder(int),  # None: 4 · d_model.
        "key_size": config_dict.placeholder(int),  # None: d_model / num_heads.
        "norm": "pre",  # pre or post.
        "activation": "gelu",  # relu, gelu or swiglu.
        "init": "gpt2",  # gpt2 or fan_in.
        "dropout": 0.0,  # Of embeddings and sublayers' outputs.
        "feed_forward_bias": False,
        "norm_offset": False,  # Whether LayerNorm adds a bias.
        "logits_bias": False,
        "tied_embeddings": True,  # Whether input and output share the embedding.
        "layer_stack": "auto",  # Compile one layer for all that are the same: if > 8.
        "rematerialise": False,  # Recompute activations: less memory, more time.
      },
      "train": {
        "optimizer": "adamw(b2=0.99, weight_decay=0.1, decay_all=False)",
        "schedule": "cosine(warmup=0.05)",
        "learning_rate": 6e-3,  # At the schedule's peak.
        # The share of the target that all tokens share alike, in training alone: the
        # training loss that is logged has it, the validation loss has not.
        "label_smoothing": 0.0,
        "clip_norm": 1.0,  # Of the gradient, over all parameters; 0: no clipping.
        "precision": "float32",  # Of the computation; parameters stay in float32.
        # At a loss or gradient that is not finite: stop; skip the step; or rollback: skip
        # it and go on from the parameters of the last step that `checkpoint.every` divides.
        "on_nonfinite": "stop",
        "nonfinite_limit": 10,  # Steps of a run that are skipped before it stops.
        "micro_batches": 1,  # Parts of a device's batch, one after another.
        "steps_per_call": 64,  # At most so many steps run without Python.
      },
      "evaluation": {
        "every": 400,
        "checkpoint": "newest",  # Or best.
        "average": 1,  # Newest checkpoints whose mean is evaluated or samples; 1: one.
        "lengths": (),  # Tokens of a sequence: validate at these lengths too.
        "scores": False,  # BLEU and chrF of the validation split when training ends.
        "files": (),  # Of pairs: ('source', 'answers'), to be scored by --mode=evaluate.
      },
      "checkpoint": {"every": 400, "keep": 3},
      "log": {"every": 50, "tensorboard": True, "wandb": "off"},  # offline, online.
      "benchmark": {
        "lengths": (128, 256, 512, 1024, 2048),  # Tokens of a sequence.
        "batch_size": 1,  # Sequences; the training step has its own batch_size.
        "rounds": 7,  # How often everything is timed.
        "step": True,  # Whether the whole training step is timed too.
      },
      "sample": {
        "prompt": config_dict.placeholder(str),  # None: the dataset's own.
        "length": 300,  # Tokens; of answers at most so many.
        "input_file": config_dict.placeholder(str),  # Sources, one a line; - for stdin.
        "count": 1,  # Continuations of the prompt; of pairs the best answers.
        "beam_size": 4,  # Of pairs: hypotheses; 1 takes the likeliest token each time.
        "length_penalty": 0.6,  # Of pairs: α of arXiv:1609.08144, eq. 14.
        "temperature": 0.8,
        "top_k": 0,  # 0: all tokens.
        "top_p": 1.0,
        "seed": 0,
        "maps": False,  # Whether to draw what the prompt's tokens attend to.
      },
      "processes": {  # Of several that train as one.
        "join": 25,  # Seconds that they wait for each other at the start.
        # Seconds that one may be silent, or late where the others wait for it, before
        # all end. Compiling, evaluating and saving do not count.
        "lag": 20,
      },
      "compare": {
        "grid": (),  # (setting, (value, …)), …: what lists of values in flags said.
        "match": "parameters",  # What further rows share with the baseline: flops, none.
        "lengths": (
          128,
          256,
          512,
        ),  # Tokens at which attentions are timed; (): nowhere.
        "launcher": "local",  # Or slurm.
        "jobs": 0,  # Of the launcher local, at a time; 0: one a device.
        "vmap_seeds": "auto",  # Whether seeds train in one program: always, never.
        "dry_run": False,  # Whether to tell what would be run, and stop.
        "slurm": {
          "partition": "",  # "" for the cluster's own.
          "minutes": 1440,  # Of one job.
          "cpus": 8,  # Of one job; and so are
          "gpus": 1,
          "memory_gb": 32,
        },
      },
    }
  )


# Settings with a flag of their own.
FLAGS = {
  name: name
  for name in """
  attention position dataset data_dir seed seeds steps batch_size
  skip_checks
""".split()
} | {
  "architecture": "architecture.name",
  "input_file": "sample.input_file",
  "prompt": "sample.prompt",
  "wandb": "log.wandb",
  "lengths": "benchmark.lengths",
  "match": "compare.match",
  "launcher": "compare.launcher",
  "dry_run": "compare.dry_run",
}

# What older runs and commands call a setting.
RENAMED = {"architecture": "architecture.name"}

# What a run may change when it goes on: nothing that its numbers depend on.
FREE = (
  "plugins",
  "data_dir",
  "compile_cache",
  "skip_checks",
  "profile",
  "evaluation.",
  "checkpoint.",
  "log.",
  "sample.",
  "benchmark.",
  "compare.",
  "processes.",
  "seeds",
  "train.steps_per_call",
  "train.on_nonfinite",
  "train.nonfinite_limit",
)

# What no run could use is refused before it starts.
POSITIVE = """
  steps batch_size model.num_layers model.num_heads model.d_model model.d_ff
  model.key_size train.micro_batches train.steps_per_call train.learning_rate
  evaluation.every evaluation.average checkpoint.every checkpoint.keep log.every
  sample.count sample.length sample.beam_size benchmark.batch_size benchmark.rounds
  train.nonfinite_limit seeds compare.slurm.minutes compare.slurm.cpus
  compare.slurm.memory_gb processes.join processes.lag
""".split()
NOT_NEGATIVE = """
  seed train.clip_norm train.label_smoothing model.dropout sample.temperature
  sample.top_k sample.length_penalty sample.seed compare.jobs compare.slurm.gpus
""".split()
BELOW = {
  "model.dropout": 1.0,
  "train.label_smoothing": 1.0,
  "seed": 2**32,
  "sample.seed": 2**32,
  # Lists of so many are made.
  "model.num_layers": 10_001,
  "seeds": 10_001,
  "compare.jobs": 10_001,
  "sample.count": 10_001,
  "sample.beam_size": 1_001,
  "sample.length": 1_000_001,
}
LARGEST = {int: 2**31, float: 2.0**127}  # What every other number stays below.
# 128 says the same as 128,.
LENGTHS = ("benchmark.lengths", "evaluation.lengths", "compare.lengths")
CHOICES = {
  "log.wandb": ("off", "offline", "online"),
  "kernel": ("auto", "reference", "blocked", "xla", "cudnn"),
  "train.on_nonfinite": ("stop", "skip", "rollback"),
  "train.precision": ("float32", "bfloat16"),
  "evaluation.checkpoint": ("newest", "best"),
  "compare.match": ("parameters", "flops", "none"),
  "compare.launcher": ("local", "slurm"),
  "compare.vmap_seeds": ("auto", "always", "never"),
}


def flatten(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
  """Every setting as ("section.key", value)."""
  for key, value in config.items():
    if isinstance(value, (dict, config_dict.ConfigDict)):
      yield from flatten(value, f"{prefix}{key}.")
    else:
      yield f"{prefix}{key}", value


def load_file(path: str) -> config_dict.ConfigDict:
  """What `get_config()` of an experiment file returns."""
  if not os.path.isfile(path):
    raise UserError(f"--config={path}: there is no such file.")
  try:
    module = runpy.run_path(path)
    config = module["get_config"]() if "get_config" in module else None
  except UserError as error:
    raise UserError(f"--config={path}: {error}") from None
  except (Exception, SystemExit) as error:
    raise UserError(f"--config={path}: {one_line(error, within=path)}.") from error
  if not isinstance(config, (dict, config_dict.ConfigDict)):
    raise UserError(f"--config={path}: it must define get_config() returning a config.")
  return from_stored(config)


def from_stored(stored: Mapping[str, Any]) -> config_dict.ConfigDict:
  """A configuration from values such as those in a run's config.json."""
  config = get_config()
  for key, value in flatten(stored):
    set_value(config, str(key), tuple(value) if isinstance(value, list) else value)
  return config


def set_value(config: config_dict.ConfigDict, key: str, value: Any) -> None:
  """Sets "section.key"; raises UserError if there is none or the type is another."""
  key = RENAMED.get(key, key)
  _refuse_unknown(key)
  try:
    if value is None and _defaults()[key] is not None:
      raise TypeError
    config.update_from_flattened_dict({key: value})
  except (TypeError, ValueError):
    expected = _type(config, key).__name__
    raise UserError(f"--config.{key}={value!r}: expected {expected}.") from None


def set_text(config: config_dict.ConfigDict, key: str, text: str) -> None:
  """Sets "section.key" from the text of a flag, read as the setting's type."""
  key = RENAMED.get(key, key)
  _refuse_unknown(key)
  kind = _type(config, key)
  value: Any = text
  try:
    if kind is bool:
      value = {"true": True, "1": True, "false": False, "0": False}[text.lower()]
    elif kind is tuple:
      read = ast.literal_eval(text)
      single = key in LENGTHS and not isinstance(read, (tuple, list))
      value = (read,) if single else tuple(read)
    elif kind in (int, float):
      value = kind(text)
  except (KeyError, ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
    raise UserError(f"--config.{key}={text}: expected {kind.__name__}.") from None
  set_value(config, key, value)


@functools.cache
def _defaults() -> dict[str, Any]:
  """Every setting's default: None is a value only where it is one here."""
  return dict(flatten(get_config()))


def _refuse_unknown(key: str) -> None:
  if key not in _defaults():
    raise UserError(f"There is no setting --config.{key}. {nearest(key, _defaults())}")


def _type(config: config_dict.ConfigDict, key: str) -> type:
  section, _, name = key.rpartition(".")
  holder = config[section] if section else config
  kind = holder.get_type(name)
  return kind if isinstance(kind, type) else str


def flag_of(key: str) -> str:
  """What to type for a setting."""
  return next((f"--{flag}" for flag in FLAGS if FLAGS[flag] == key), f"--config.{key}")


def _all_lengths(value: tuple[Any, ...]) -> bool:
  return all(type(length) is int and 0 < length < LARGEST[int] for length in value)


def validate(config: config_dict.ConfigDict) -> None:
  """Raises UserError at the first value that no run could use."""
  for key, value in flatten(config):
    flag = flag_of(key)
    if isinstance(value, float) and not math.isfinite(value):
      raise UserError(f"{flag}={value}: take a finite number.")
    if value is None:
      continue
    if key in LENGTHS and not _all_lengths(value):
      raise UserError(f"{flag}={value}: take whole numbers of 1 or more: 128,256.")
    if key in POSITIVE and value <= 0:
      raise UserError(f"{flag}={value}: take a number above 0.")
    if key in NOT_NEGATIVE and value < 0:
      raise UserError(f"{flag}={value}: take 0 or more.")
    below = BELOW.get(key, LARGEST.get(type(value)))
    if below is not None and value >= below:
      raise UserError(f"{flag}={value}: take less than {below}.")
    if key in CHOICES and value not in CHOICES[key]:
      raise UserError(f"{flag}={value}: {nearest(value, CHOICES[key])}")
  evaluation = config.evaluation
  if evaluation.average > 1 and evaluation.checkpoint == "best":
    raise UserError(
      f"--config.evaluation.average={evaluation.average} is of the newest checkpoints, "
      f"and cannot go with --config.evaluation.checkpoint=best; drop one of the two."
    )
  if not 0 < config.sample.top_p <= 1:
    raise UserError(f"--config.sample.top_p={config.sample.top_p}: take 0 < p <= 1.")


def differences(
  stored: Mapping[str, Any], config: Mapping[str, Any], free: Iterable[str] = FREE
) -> dict[str, tuple[Any, Any]]:
  """Settings that a run's numbers depend on and that differ: key → (stored, new)."""
  free = tuple(free)
  old, new = dict(flatten(stored)), dict(flatten(config))
  return {
    key: (old.get(key), new[key])
    for key in new
    if not key.startswith(free) and old.get(key) != new[key]
  }
