"""attention_lab: one file to write an attention, one command to try it.

An attention in your own code:
  attention(name, num_heads=8): a Haiku module, inside a transform.
  functions(name, num_heads=8): pure functions init, apply and decode, for plain JAX.
  flax.Attention, equinox.Attention: modules of these libraries.

Experiments, with the name of an attention or with a class of your own:
  check(Mine): whether the laws that every attention obeys hold.
  train("standard", steps=300): the trained model with its metrics.
  load(folder): the trained model of a run; evaluate and sample measure and use it, and
    harness scores it on tasks of lm-evaluation-harness.
  compare("standard", Mine, seeds=3): differences with confidence intervals.
  benchmark("standard", Mine): time and memory by length.

Parts of your own inherit from Attention, Weighted, MultiHead, Position, Dataset, Text,
Generated, PairDataset, Tokenizer, Architecture, Block or Norm. The functions
register_attention, register_optimizer and so on give them names for settings and for the
command line.

A mistake raises `attention_lab.errors.UserError`, on one line. The public names load what
they need when they are first used, so `import attention_lab` is quick.
"""

import importlib
import sys
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
  from attention_lab.api import equinox as equinox
  from attention_lab.api import flax as flax
  from attention_lab.api.attention import attention as attention
  from attention_lab.api.benchmark import benchmark as benchmark
  from attention_lab.api.check import check as check
  from attention_lab.api.compare import compare as compare
  from attention_lab.api.evaluate import evaluate as evaluate
  from attention_lab.api.functions import functions as functions
  from attention_lab.api.harness import harness as harness
  from attention_lab.api.load import load as load
  from attention_lab.api.sample import sample as sample
  from attention_lab.api.train import train as train
  from attention_lab.architecture.base.architecture import Architecture as Architecture
  from attention_lab.architecture.base.architecture import (
    register_architecture as register_architecture,
  )
  from attention_lab.attention.base.attention import Attention as Attention
  from attention_lab.attention.base.attention import (
    register_attention as register_attention,
  )
  from attention_lab.attention.base.multi_head import MultiHead as MultiHead
  from attention_lab.attention.base.weighted import Weighted as Weighted
  from attention_lab.block.base.block import Block as Block
  from attention_lab.block.base.block import register_block as register_block
  from attention_lab.dataset.base.dataset import Batch as Batch
  from attention_lab.dataset.base.dataset import Dataset as Dataset
  from attention_lab.dataset.base.dataset import register_dataset as register_dataset
  from attention_lab.dataset.base.generated import Generated as Generated
  from attention_lab.dataset.base.pairs import PairDataset as PairDataset
  from attention_lab.dataset.base.text import Text as Text
  from attention_lab.kernel.mask import Mask as Mask
  from attention_lab.kernel.weights import softmax as softmax
  from attention_lab.norm.base.norm import Norm as Norm
  from attention_lab.norm.base.norm import register_norm as register_norm
  from attention_lab.optimizer.base.optimizer import (
    register_optimizer as register_optimizer,
  )
  from attention_lab.position.base.position import Position as Position
  from attention_lab.position.base.position import (
    register_position as register_position,
  )
  from attention_lab.schedule.base.schedule import (
    register_schedule as register_schedule,
  )
  from attention_lab.tokenizer.base.tokenizer import Tokenizer as Tokenizer
  from attention_lab.tokenizer.base.tokenizer import (
    register_tokenizer as register_tokenizer,
  )
  from attention_lab.tokenizer.base.vocabulary import (
    CharacterVocabulary as CharacterVocabulary,
  )
  from attention_lab.tokenizer.base.vocabulary import WordVocabulary as WordVocabulary

_HOMES = {
  "api.check": ("check",),
  "api.evaluate": ("evaluate",),
  "api.harness": ("harness",),
  "api.load": ("load",),
  "api.sample": ("sample",),
  "api.train": ("train",),
  "api": ("equinox", "flax"),
  "api.functions": ("functions",),
  "architecture.base.architecture": ("Architecture", "register_architecture"),
  "attention.base.attention": ("Attention", "register_attention"),
  "block.base.block": ("Block", "register_block"),
  "kernel.mask": ("Mask",),
  "attention.base.multi_head": ("MultiHead",),
  "attention.base.weighted": ("Weighted",),
  "kernel.weights": ("softmax",),
  "dataset.base.dataset": ("Batch", "Dataset", "register_dataset"),
  "dataset.base.generated": ("Generated",),
  "dataset.base.pairs": ("PairDataset",),
  "dataset.base.text": ("Text",),
  "tokenizer.base.tokenizer": ("Tokenizer", "register_tokenizer"),
  "tokenizer.base.vocabulary": ("CharacterVocabulary", "WordVocabulary"),
  "norm.base.norm": ("Norm", "register_norm"),
  "optimizer.base.optimizer": ("register_optimizer",),
  "position.base.position": ("Position", "register_position"),
  "schedule.base.schedule": ("register_schedule",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

_PACKAGES = ("attention", "benchmark", "compare")  # Packages that are functions, too.

__all__ = sorted([*_HOME, *_PACKAGES])  # noqa: PLE0605


def __getattr__(name: str) -> Any:
  if name in _PACKAGES:
    return importlib.import_module(f"{__name__}.{name}")
  if name not in _HOME:
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message, name=name, obj=sys.modules[__name__])
  home = f"{__name__}.{_HOME[name]}"
  if _HOME[name] == "api":
    return importlib.import_module(f"{home}.{name}")
  return getattr(importlib.import_module(home), name)


def __dir__() -> list[str]:
  return [*__all__, "__version__"]
