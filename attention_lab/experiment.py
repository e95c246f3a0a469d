"""Assembles an experiment: the one room where names become parts."""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import jmp
import optax
from ml_collections import config_dict

from attention_lab import optimizer as optimizers
from attention_lab.architecture.base import options as model_options
from attention_lab.architecture.base.architecture import (
  Architecture,
  Model,
  architectures,
  as_functions,
)
from attention_lab.architecture.base.head import recorded_heads
from attention_lab.attention.base.attention import Attention, attentions
from attention_lab.compatibility import refuse_incompatible
from attention_lab.dataset.base.dataset import Dataset, datasets
from attention_lab.errors import UserError
from attention_lab.nn import cross_entropy
from attention_lab.nn.metrics import Measured, Sums, measured, token_sums
from attention_lab.plugin import spec as specs
from attention_lab.position.base.position import Position, facts_of, positions
from attention_lab.update import Loss, Measure, TrainState, fresh_state


class Experiment(NamedTuple):
  """Everything that a mode needs; nothing in it knows a flag."""

  dataset: Dataset
  model: Model
  causal: Mapping[str, Callable[[], Attention]]  # What must not see ahead, by its spec.
  loss: Loss
  measure: Measure
  schedule: optimizers.Schedule
  optimizer: optax.GradientTransformation
  policy: jmp.Policy  # What is computed in which dtype.
  max_positions: int | None  # Positions that the model can tell apart; None: no limit.
  decodes: bool  # Whether the model can continue a text.

  def init(self, seed: Any) -> Any:
    """Fresh parameters; the seed is an int, or a uint32 scalar that may be traced."""
    tokens = jnp.zeros((1, self.dataset.sequence_length), jnp.int32)
    source = (tokens,) if self.dataset.task == "pairs" else ()
    return self.model.init(jax.random.key(seed), tokens, None, *source)

  def fresh(self, seed: Any) -> TrainState:
    """The state before the first step."""
    return fresh_state(self.init(seed), self.optimizer, seed)


def assemble(
  config: config_dict.ConfigDict, kept: Mapping[str, bytes] = MappingProxyType({})
) -> Experiment:
  """Builds what the configuration names.

  Args:
    config: the configuration.
    kept: the files of the run that is gone on with (`run_folder.kept`).

  Raises:
    UserError: an unknown name or option, parts that do not go together, or data that is
      not there. Nothing has been compiled or written by then.
  """
  architecture = architectures.bind(config.architecture.name)
  house = cast(type[Architecture], architecture.func)
  dataset = _dataset(config, house, kept)
  max_length = dataset.sequence_length
  position = partial(positions.bind(config.position), max_length=max_length)
  scheme = facts_of(position)
  options = model_options.from_config(config.model.to_dict())
  policy = jmp.get_policy(
    f"params=float32,compute={config.train.precision},output=float32"
  )
  patterns = _patterns(config, house, options.num_layers)
  builders = {
    str(spec): attention_builder(spec, options, position, config.kernel)
    for pattern in patterns.values()
    for spec in pattern
  }
  asked = _asked(patterns, house)
  for name, kinds in asked.items():
    refuse_incompatible(
      name, builders[name], config.position, scheme.hooks, kinds, policy.compute_dtype
    )
  model = as_functions(
    partial(
      architecture,
      options=options,
      vocabulary_size=dataset.vocabulary.size,
      attentions={
        place: tuple(builders[str(spec)] for spec in pattern)
        for place, pattern in patterns.items()
      },
      position=position,
    )
  )
  schedule = optimizers.make_schedule(
    config.train.schedule, config.train.learning_rate, config.steps
  )
  optimizer = optimizers.make_optimizer(
    config.train.optimizer, schedule, config.train.clip_norm
  )
  return Experiment(
    dataset=dataset,
    model=model,
    causal={
      name: builders[name]
      for name, kinds in asked.items()
      if "causal" in kinds.values()
    },
    loss=partial(_loss, model, policy, config.train.label_smoothing),
    measure=partial(_measure, model, policy),
    schedule=schedule,
    optimizer=optimizer,
    policy=policy,
    max_positions=scheme.reach,
    decodes=house.decodes,
  )


def _dataset(
  config: config_dict.ConfigDict,
  architecture: type[Architecture],
  kept: Mapping[str, bytes],
) -> Dataset:
  """The dataset, in the form that the architecture learns.

  Raises:
    UserError: the dataset has no such form.
  """
  dataset = datasets.bind(config.dataset)
  offered, wanted = _tasks(dataset.func), architecture.tasks
  task = next((task for task in wanted if task in offered), None)
  if task is None:
    usable = [name for name in datasets if set(_tasks(datasets[name])) & set(wanted)]
    raise UserError(
      f"--architecture={config.architecture.name} learns {' or '.join(wanted)}, but the "
      f"targets of --dataset={config.dataset} are {' or '.join(offered)}. Use one of: "
      f"{', '.join(usable)}."
    )
  made: Dataset = dataset(data_dir=config.data_dir, task=task, kept=dict(kept))
  return made


def _tasks(dataset: Any) -> tuple[str, ...]:
  """The forms that a registered dataset offers."""
  return cast(type[Dataset], dataset).tasks


def _loss(
  model: Model,
  policy: jmp.Policy,
  label_smoothing: float,
  params: Any,
  key: jax.Array | None,
  batch: Any,
) -> Sums:
  """Training has a random key and smooths the labels; evaluation has neither."""
  smoothing = 0.0 if key is None else label_smoothing
  output = _output(model, policy, params, key, batch)
  if isinstance(output, cross_entropy.Head):
    return cross_entropy.head_sums(output, batch.targets, batch.weights, smoothing)
  return token_sums(output, batch.targets, batch.weights, smoothing)


def _measure(model: Model, policy: jmp.Policy, params: Any, batch: Any) -> Measured:
  output = _output(model, policy, params, None, batch)
  if isinstance(output, cross_entropy.Head):
    sums, hits = cross_entropy.head_hits(output, batch.targets, batch.weights)
  else:
    sums = token_sums(output, batch.targets, batch.weights)
    hits = jnp.argmax(output, axis=-1) == batch.targets
  return measured(sums, hits, batch.weights)


def _output(
  model: Model, policy: jmp.Policy, params: Any, key: jax.Array | None, batch: Any
) -> jax.Array | cross_entropy.Head:
  """The logits, or what they are made of where they are too many to form at once."""
  params = policy.cast_to_compute(params)
  source = () if batch.source is None else (batch.source,)
  with recorded_heads() as heads:
    logits = model.apply(params, key, batch.inputs, None, *source)
  if cross_entropy.pays(logits.size):
    for unchanged, head in heads:
      if unchanged is logits:  # Nobody reads them now, so they are not computed.
        return head
  return cast(jax.Array, policy.cast_to_output(logits))


Patterns = Mapping[str, tuple[specs.Spec, ...]]  # By place, one for each layer.


def named_attentions(config: config_dict.ConfigDict) -> dict[str, str]:
  """The attentions of those places that have another than `--attention`."""
  return {
    place: section.attention
    for place, section in config.architecture.items()
    if place != "name" and section.attention is not None
  }


def _patterns(
  config: config_dict.ConfigDict, architecture: type[Architecture], num_layers: int
) -> Patterns:
  """The attention of each layer in each of the architecture's places.

  Raises:
    UserError: an attention was named for a place that there is not.
  """
  named = named_attentions(config)
  if missing := [place for place in named if place not in architecture.places]:
    raise UserError(
      f"--config.architecture.{missing[0]}.attention={named[missing[0]]}: the "
      f"architecture {config.architecture.name!r} has no such place, only "
      f"{', '.join(architecture.places)}."
    )
  return {
    place: _pattern(named.get(place, config.attention), num_layers)
    for place in architecture.places
  }


def _asked(
  patterns: Patterns, architecture: type[Architecture]
) -> dict[str, dict[str, str]]:
  """What kind each attention has to be, by its spec and then by the places it has."""
  asked: dict[str, dict[str, str]] = {}
  for place, pattern in patterns.items():
    for spec in pattern:
      asked.setdefault(str(spec), {})[place] = architecture.places[place]
  return asked


def _pattern(text: str, num_layers: int) -> tuple[specs.Spec, ...]:
  """The attention of each layer: the pattern, repeated along the layers."""
  pattern = specs.parse_pattern(text)
  if len(pattern) > num_layers:
    raise UserError(
      f"--attention={text} names {len(pattern)} layers, but the model has {num_layers}. "
      f"Set --config.model.num_layers={len(pattern)} or shorten the pattern."
    )
  return tuple(pattern[i % len(pattern)] for i in range(num_layers))


def attention_builder(
  spec: specs.Spec,
  options: model_options.Options,
  position: Callable[[], Position],
  kernel: str,
) -> Callable[[], Attention]:
  """What makes the attention of a spec, inside a transform."""
  attention = attentions.bind(spec)

  def build() -> Attention:
    return attention(
      num_heads=options.num_heads,
      key_size=options.key_size,
      d_model=options.d_model,
      position=position(),
      w_init=options.w_init,
      output_init=options.output_init,
      kernel=kernel,
    )

  return build
