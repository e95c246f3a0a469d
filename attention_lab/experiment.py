"""Assembles an experiment: the one place where names become components."""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import jmp
import optax

from attention_lab.architecture.base.architecture import (
  Architecture,
  Model,
  architectures,
  as_functions,
)
from attention_lab.architecture.base.builder import attention_builder
from attention_lab.architecture.base.common_task import common_task
from attention_lab.architecture.base.documents import separator_for
from attention_lab.architecture.base.head import recorded_heads
from attention_lab.architecture.base.prefix import prefix_of, refuse_prefix
from attention_lab.attention.base.attention import Attention, attentions
from attention_lab.block.base import options as model_options
from attention_lab.compatibility import refuse_layers, refuse_once, required_kinds
from attention_lab.config import Config
from attention_lab.dataset.base.dataset import Dataset, datasets
from attention_lab.dataset.base.held_out import hold_out
from attention_lab.dataset.base.order import Order
from attention_lab.dataset.base.pairs import as_pairs
from attention_lab.errors import UserError
from attention_lab.named_parts import named_attentions, position_of
from attention_lab.nn import cross_entropy
from attention_lab.nn.metrics import Measured, Sums, measured, token_sums
from attention_lab.optimizer.base.optimizer import make_optimizer
from attention_lab.plugin import spec as specs
from attention_lab.position.base.position import positions, properties_of
from attention_lab.schedule.base.schedule import Schedule, make_schedule
from attention_lab.tokenizer.base.vocabulary import padding_of
from attention_lab.update import Loss, Measure, TrainState, fresh_state


class Experiment(NamedTuple):
  """Everything that a mode needs: an assembled model, its data and its optimizer."""

  dataset: Dataset
  model: Model
  causal: "Builders"  # Of causal attentions; none if all logits see all tokens.
  # (policy, parameters, random key or None, batch) → logits, or the factors of many.
  output: Callable[[jmp.Policy, Any, Any, Any], Any]
  loss: Loss
  measure: Measure
  schedule: Schedule
  optimizer: optax.GradientTransformation
  policy: jmp.Policy  # Dtypes of parameters, computation and output.
  max_positions: int | None  # Number of distinct positions; None for no limit.
  decodes: bool  # Whether the model can generate text.

  def init(self, seed: Any) -> Any:
    """Return fresh parameters; `seed` is an int, or a uint32 scalar that may be traced."""
    tokens = jnp.zeros((1, self.dataset.sequence_length), jnp.int32)
    source = (tokens,) if self.dataset.task == "pairs" else ()
    return self.model.init(jax.random.key(seed), tokens, None, *source)

  def fresh(self, seed: Any) -> TrainState:
    """Return the state before the first step."""
    return fresh_state(self.init(seed), self.optimizer, seed)


def assemble(
  config: Config, kept: Mapping[str, bytes] = MappingProxyType({})
) -> Experiment:
  """Build the experiment that a configuration names.

  Args:
    config: the configuration.
    kept: files of the run that is resumed, from `run_folder.kept`.

  Raises:
    UserError: names, options or data are unknown or do not go together.
  """
  bound = architectures.bind(config.architecture.name)
  architecture = cast(type[Architecture], bound.func)
  dataset = _dataset(config, kept)
  scheme = positions.bind(position_of(config))
  position = partial(scheme, max_length=dataset.sequence_length)
  options = model_options.from_config(config.model.to_dict())
  refuse_layers(options, architecture)
  train, apart = config.train, config.data.document_mask
  refuse_prefix(config.architecture.name, dataset, apart)
  policy = jmp.get_policy(f"params=float32,compute={train.precision},output=float32")
  patterns = _patterns(config, architecture, options.num_layers)
  placed, causal = _attentions(config, architecture, patterns, options, position)
  model = as_functions(
    partial(
      bound,
      options=options,
      vocabulary_size=dataset.vocabulary.size,
      padding=padding_of(dataset.vocabulary),
      attentions=placed,
      position=position,
      separator=separator_for(apart, architecture, patterns, dataset),
    )
  )
  schedule = make_schedule(train.schedule, train.learning_rate, config.steps)
  rule = train.optimizer, schedule, train.clip_norm
  return Experiment(
    dataset=dataset,
    model=model,
    causal={} if dataset.task == "reconstruction" else causal,
    output=partial(_output, model),
    loss=partial(_loss, model, policy, train.label_smoothing),
    measure=partial(_measure, partial(_output, model, policy), dataset.token_bytes),
    schedule=schedule,
    optimizer=make_optimizer(*rule, model.undecayed),
    policy=policy,
    max_positions=properties_of(position).reach,
    decodes=architecture.decodes,
  )


def assemble_plain(
  config: Config, kept: Mapping[str, bytes] = MappingProxyType({})
) -> Experiment:
  """Build the same experiment with the plain formulas, to count their FLOPs.

  Its attentions form every score, and no activation is recomputed.
  """
  plain = config.copy_and_resolve_references()
  plain.kernel, plain.model.rematerialise = "reference", False
  return assemble(plain, kept)


Builders = dict[str, Callable[..., Attention]]  # By spec.


def _attentions(
  config: Config,
  architecture: type[Architecture],
  patterns: "Patterns",
  options: model_options.Options,
  position: Any,
) -> tuple[Mapping[str, tuple[Callable[..., Attention], ...]], Builders]:
  """Return the builders of each place, one per layer, and of the causal attentions.

  Raises:
    UserError: an attention does not go with the positional scheme, or with its place.
  """
  kernel, prefix = config.kernel, prefix_of(config.architecture.name)
  builders = {
    str(spec): attention_builder(spec, options, position, kernel, prefix)
    for pattern in patterns.values()
    for spec in pattern
  }
  hooks, dtype = properties_of(position).hooks, jnp.dtype(config.train.precision)
  required = required_kinds(patterns, architecture)
  for name, kinds in required.items():
    # Everything that the verdict depends on; a class that is defined anew is another one.
    key = (
      *(name, attentions[specs.parse(name).name], tuple(kinds.items()), dtype),
      *(options.num_heads, options.key_size, options.d_model, kernel, prefix),
      *(position.func, repr(position.keywords)),
    )
    refuse_once(key, name, builders[name], position_of(config), hooks, kinds, dtype)
  causal = {
    name: builders[name]
    for name, kinds in required.items()
    if "causal" in kinds.values()
  }
  placed = {
    place: tuple(builders[str(spec)] for spec in pattern)
    for place, pattern in patterns.items()
  }
  return placed, causal


def _dataset(config: Config, kept: Mapping[str, bytes]) -> Dataset:
  """Return the dataset, in the first form that the architecture learns and it offers.

  Raises:
    UserError: the dataset has no such form.
  """
  task = common_task(config.architecture.name, config.dataset)
  order = Order(config.seed if config.train.data_order == "seed" else None)
  given = {"data_dir": config.data_dir, "task": task, "kept": dict(kept)}
  made: Dataset = datasets.bind(config.dataset)(
    **given, order=order, prefix_length=prefix_of(config.architecture.name)
  )
  if task == "pairs":
    as_pairs(made)  # Refuses a plugin that offers pairs without their contract.
  return hold_out(made, share) if (share := config.train.held_out) else made


def _loss(
  model: Model,
  policy: jmp.Policy,
  label_smoothing: float,
  params: Any,
  key: jax.Array | None,
  batch: Any,
) -> Sums:
  """Return the sums of a batch; labels are smoothed only with a random key, in training."""
  smoothing = 0.0 if key is None else label_smoothing
  output = _output(model, policy, params, key, batch)
  if isinstance(output, cross_entropy.Head):
    return cross_entropy.head_sums(output, batch.targets, batch.weights, smoothing)
  return token_sums(output, batch.targets, batch.weights, smoothing)


def _measure(of: Any, token_bytes: Any, params: Any, batch: Any) -> Measured:
  """Return the sums of a batch over tokens, whole sequences and original text."""
  output = of(params, None, batch)
  if isinstance(output, cross_entropy.Head):
    sums, hits = cross_entropy.head_hits(output, batch.targets, batch.weights)
  else:
    sums = token_sums(output, batch.targets, batch.weights)
    hits = jnp.argmax(output, axis=-1) == batch.targets
  return measured(sums, hits, batch.targets, batch.weights, token_bytes)


def _output(
  model: Model, policy: jmp.Policy, params: Any, key: jax.Array | None, batch: Any
) -> jax.Array | cross_entropy.Head:
  """Return the logits, or their factors if the logits are too large to form at once."""
  params = policy.cast_to_compute(params)
  source = () if batch.source is None else (batch.source,)
  with recorded_heads() as heads:
    logits = model.apply(params, key, batch.inputs, None, *source)
  if cross_entropy.pays(logits.size):
    for unchanged, head in heads:
      if unchanged is logits:  # They are not used now, so XLA does not compute them.
        return head
  return cast(jax.Array, policy.cast_to_output(logits))


Patterns = Mapping[str, tuple[specs.Spec, ...]]  # By place, one spec per layer.


def _patterns(
  config: Config, architecture: type[Architecture], num_layers: int
) -> Patterns:
  """Return the attention of each layer, by the architecture's places.

  Raises:
    UserError: an attention is set for a place that the architecture does not have.
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


def _pattern(text: str, num_layers: int) -> tuple[specs.Spec, ...]:
  """Return the attention of each layer: the pattern, repeated along the layers."""
  pattern = specs.parse_pattern(text)
  if len(pattern) > num_layers:
    raise UserError(
      f"--attention={text} names {len(pattern)} layers, but the model has {num_layers}. "
      f"Set --config.model.num_layers={len(pattern)} or shorten the pattern."
    )
  return tuple(pattern[i % len(pattern)] for i in range(num_layers))
