"""Measured cost of each row: training step, decoding, and size of the decode state.

All rows are timed in turns in one process that trains nothing else, so that they share the
state of the machine. Compilation and evaluation do not count.
"""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from attention_lab.benchmark.timing import interleaved
from attention_lab.config import Config
from attention_lab.distributed.devices import local_devices, refuse_indivisible
from attention_lab.experiment import Experiment, assemble
from attention_lab.system.memory import bytes_of
from attention_lab.training.seeds import make_stepper
from attention_lab.training.stepper import NonFinite, Stepper

DECODED = 16  # Tokens that are decoded one by one in the program that is timed.
# Tokens at which the size of the decode state is reported.
STATE_LENGTHS = (1_024, 16_384)


def measure(configs: Mapping[str, Config], rounds: int) -> dict[str, dict[str, Any]]:
  """Return the cost of each row, by name.

  Keys: step_seconds and step_quartiles (of one training step), tokens_per_second,
  step_memory_bytes (the training state and the temporaries of the gradient),
  decode_seconds (of one token of one sequence), and state_bytes (of one sequence, by
  length). The last two are of models that continue texts.
  """
  experiments = {name: assemble(config) for name, config in configs.items()}
  steps = time_steps(configs, experiments, rounds)
  for name, experiment in experiments.items():
    steps[name]["step_memory_bytes"] = _step_memory(configs[name], experiment)
  continuing = {
    name: experiment
    for name, experiment in experiments.items()
    if experiment.causal and experiment.dataset.task == "next_token"
  }
  decoders = {name: _decoder(experiment) for name, experiment in continuing.items()}
  timings = interleaved(decoders, rounds) if decoders else {}
  for name, experiment in continuing.items():
    steps[name]["decode_seconds"] = timings[name].median / DECODED
    steps[name]["state_bytes"] = state_bytes(experiment, STATE_LENGTHS)
  return steps


def time_steps(
  configs: Mapping[str, Config], experiments: Mapping[str, Experiment], rounds: int
) -> dict[str, dict[str, Any]]:
  """Return the time of one training step of each configuration, by name."""
  devices, steppers = local_devices(), dict[str, Stepper]()
  for name, config in configs.items():
    refuse_indivisible(config.batch_size, config.train.micro_batches, len(devices))
    steppers[name] = stepper_of(experiments[name], config, devices)
    steppers[name].compile()
    _advance(steppers[name], 1)  # Warm-up.
  seconds: dict[str, list[float]] = {name: [] for name in configs}
  for _ in range(rounds):
    for name, stepper in steppers.items():
      seconds[name].append(_advance(stepper, configs[name].train.steps_per_call))
  tokens = {
    name: configs[name].batch_size * experiment.dataset.sequence_length
    for name, experiment in experiments.items()
  }
  return {
    name: {
      "step_seconds": float(np.median(measured)),
      "rounds_seconds": measured,  # In the order of the rounds, for ratios of rows.
      "step_quartiles": [float(x) for x in np.quantile(measured, [0.25, 0.75])],
      "tokens_per_second": tokens[name] / float(np.median(measured)),
    }
    for name, measured in seconds.items()
  }


def stepper_of(
  experiment: Experiment, config: Config, devices: Sequence[jax.Device]
) -> Stepper:
  """Return a stepper of the configuration's first seed."""
  return make_stepper(
    experiment,
    devices,
    [config.seed],
    config.batch_size,
    config.train.micro_batches,
    config.train.steps_per_call,
  )


def _advance(stepper: Stepper, count: int) -> float:
  """Take up to `count` steps; return the seconds of one.

  A row that diverges has a time, too: a step that is not finite is computed and not taken.
  """
  before, start = stepper.step, time.perf_counter()
  with contextlib.suppress(NonFinite):
    stepper.advance(before + count)
  return (time.perf_counter() - start) / max(stepper.step - before, 1)


def state_bytes(experiment: Experiment, lengths: Sequence[int]) -> dict[str, int]:
  """Return the bytes of a sequence's decode state, by length; nothing is allocated."""
  dtype, room = experiment.policy.compute_dtype, experiment.max_positions
  params = jax.eval_shape(lambda: experiment.init(0))
  found = {}
  for length in lengths:
    if room is not None and length > room:
      continue

    def state(params: Any, length: int = length) -> Any:
      return experiment.model.initial_state(params, None, 1, length, dtype)

    found[str(length)] = bytes_of(jax.eval_shape(state, params))
  return found


def _step_memory(config: Config, experiment: Experiment) -> int:
  """Return the bytes of the training state and of the gradient's temporaries."""
  rows = max(
    1, config.batch_size // (config.train.micro_batches * len(local_devices()))
  )
  batch = experiment.dataset.batch("train", 0, rows)
  state = jax.eval_shape(experiment.fresh, np.uint32(0))

  def total(params: Any, key: jax.Array) -> jax.Array:
    return jnp.sum(experiment.loss(params, key, batch).loss)

  program = jax.jit(jax.grad(total)).lower(state.params, jax.random.key(0)).compile()
  memory: Any = program.memory_analysis()
  own = memory.temp_size_in_bytes + memory.output_size_in_bytes
  return int(own + bytes_of(state))


def _decoder(experiment: Experiment) -> Callable[[], Any]:
  """Return a call that decodes `DECODED` tokens of a sequence one after another."""
  model, dtype = experiment.model, experiment.policy.compute_dtype
  length = experiment.dataset.sequence_length
  params = experiment.policy.cast_to_compute(jax.jit(experiment.init)(0))
  start = max(0, length - DECODED)

  def decode(params: Any, state: Any, tokens: jax.Array) -> Any:
    def step(carry: Any, position: jax.Array) -> Any:
      token, state = carry
      at = jnp.reshape(position, (1, 1))
      logits, state = model.extend(params, None, token, state, at)
      return (jnp.argmax(logits, axis=-1).astype(jnp.int32), state), None

    positions = start + jnp.arange(DECODED, dtype=jnp.int32)
    return jax.lax.scan(step, (tokens, state), positions)[0][0]

  state = jax.jit(model.initial_state, static_argnums=(1, 2, 3, 4))(
    params, None, 1, start + DECODED, dtype
  )
  program = jax.jit(decode)
  tokens = jnp.zeros((1, 1), jnp.int32)
  return lambda: program(params, state, tokens)
