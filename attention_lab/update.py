"""The training step: jitted, pmapped over devices, checked with chex.

One call runs up to K steps in a loop on the devices, to amortise the cost of Python. The
number of steps is an argument and not a shape: the same compiled program runs for every
number, and the bits of the result do not depend on how steps are grouped into calls.
"""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax

from attention_lab.distributed.devices import AXIS, assert_placed
from attention_lab.nn.metrics import Sums

# (parameters, random key, batch) → sums over the batch's positions.
Loss = Callable[[Any, jax.Array | None, Any], Sums]

# (parameters, batch) → sums, of any tree.
Measure = Callable[[Any, Any], Any]


class TrainState(NamedTuple):
  """Everything that a training step changes."""

  params: Any
  opt_state: Any
  step: jax.Array  # [] int32: number of steps taken.
  key: jax.Array  # [2] uint32: random key of the run; each step folds its number in.


class StepMetrics(NamedTuple):
  """Metrics of one step []; of a call, one entry per step [K]."""

  sums: Sums  # Over the whole batch, on all devices.
  grad_norm: jax.Array  # Norm of the gradient before clipping.
  taken: jax.Array  # 1, or 0 if the step was not taken.


# (state, batch) → the state after the step, metrics of the step.
Step = Callable[[Any, Any], tuple[Any, StepMetrics]]

# (state, batches [n, K, B/n, ...], count) → state, metrics of the first `count` steps.
# With count = -1, the metrics are those of a step that is not taken.
Update = Callable[[Any, Any, int], tuple[Any, StepMetrics]]


def fresh_state(
  params: Any, optimizer: optax.GradientTransformation, seed: Any
) -> TrainState:
  """Return the state before the first step; `seed` is an int or a uint32 scalar."""
  key = jax.random.key_data(jax.random.key(seed))
  return TrainState(params, optimizer.init(params), jnp.zeros((), jnp.int32), key)


def count_parameters(params: Any) -> int:
  """Return the number of parameters in a tree of arrays or of their shapes."""
  return sum(leaf.size for leaf in jax.tree.leaves(params))


def make_step(
  loss: Loss, optimizer: optax.GradientTransformation, micro_batches: int = 1
) -> Step:
  """Build one training step on one device's share of a batch.

  The gradient is that of the mean loss over all positions of the whole batch, however
  the batch is split over devices and micro-batches.

  Args:
    loss: computes sums over a batch.
    optimizer: turns the gradient into an update of the parameters.
    micro_batches: parts into which each device splits its share of a batch; their
      gradients are summed.
  """
  return functools.partial(_step, loss, optimizer, micro_batches)


def make_update(step: Step, devices: Sequence[jax.Device], shapes: int = 1) -> Update:
  """Build the pmapped update, which takes up to K steps per call.

  A step whose loss, gradient or new parameters are not finite on any device is taken on
  no device: the call ends before it with the last finite state.

  Args:
    step: takes one step, from `make_step`.
    devices: hold the state and the batches.
    shapes: the number of shapes that batches have at most; each is traced once.
  """

  mapped = map_update(step, devices, shapes)

  def update(state: Any, batches: Any, count: int) -> tuple[Any, StepMetrics]:
    assert_placed(state, batches, devices)
    return mapped(state, batches, np.asarray(count, np.int32))

  return update


def map_update(step: Step, devices: Sequence[jax.Device], shapes: int = 1) -> Any:
  """Return the pmapped function of `make_update`, which has the same arguments."""

  def run(state: Any, batches: Any, count: jax.Array) -> tuple[Any, StepMetrics]:
    _assert_trace(batches, devices)
    return _run_steps(step, state, batches, count)

  return jax.pmap(
    _limit_traces(run, shapes),
    axis_name=AXIS,
    in_axes=(0, 0, None),
    donate_argnums=0,
    devices=list(devices),
  )


def _run_steps(
  step: Step, state: Any, batches: Any, count: jax.Array
) -> tuple[Any, StepMetrics]:
  """Take `count` steps, or fewer if a step is not finite; compute one if it is -1."""
  length = jax.tree.leaves(batches)[0].shape[0]
  zeros = jnp.zeros((length, *state.step.shape), jnp.float32)
  metrics = StepMetrics(Sums(zeros, zeros, zeros), zeros, zeros)

  def unfinished(carry: Any) -> jax.Array:
    i, finite, _, _ = carry
    return (i < jnp.abs(count)) & finite

  def body(carry: Any) -> Any:
    i, _, state, metrics = carry
    batch = jax.tree.map(lambda x: x[i], batches)
    new, now = step(state, batch)
    finite = jnp.all(now.taken > 0)
    _assert_same_shapes(state, new)
    take = finite & (count > 0)
    state = jax.tree.map(lambda a, b: jnp.where(take, a, b), new, state)
    metrics = jax.tree.map(lambda all, x: all.at[i].set(x), metrics, now)
    return i + 1, finite, state, metrics

  carry = (jnp.zeros((), jnp.int32), jnp.array(True), state, metrics)
  _, _, state, metrics = jax.lax.while_loop(unfinished, body, carry)
  return state, metrics


def make_evaluate(
  measure: Measure, devices: Sequence[jax.Device], shapes: int = 1
) -> Measure:
  """Build the pmapped evaluation: parameters [n, ...], batch [n, B/n, ...] → sums [n].

  Args:
    measure: computes sums over a batch.
    devices: hold the parameters and the batches.
    shapes: the number of shapes that batches have at most; each is traced once.
  """

  def run(params: Any, batch: Any) -> Any:
    _assert_trace(batch, devices)
    return jax.lax.psum(measure(params, batch), AXIS)

  mapped = jax.pmap(_limit_traces(run, shapes), axis_name=AXIS, devices=list(devices))

  def evaluate(params: Any, batch: Any) -> Any:
    assert_placed(params, batch, devices)
    return mapped(params, batch)

  return evaluate


def _step(
  loss: Loss,
  optimizer: optax.GradientTransformation,
  micro_batches: int,
  state: TrainState,
  batch: Any,
) -> tuple[TrainState, StepMetrics]:
  """Take one step on one device's share of a batch, finite or not."""
  key = jax.random.fold_in(jax.random.wrap_key_data(state.key), state.step)
  key = jax.random.fold_in(key, jax.lax.axis_index(AXIS))
  # The mean of the devices' gradients equals the gradient of the whole batch if each device
  # divides its sum by the mean weight over the devices, not by its own weight.
  weight = jax.lax.pmean(jnp.sum(batch.weights), AXIS)
  scale = 1 / jnp.where(weight == 0, 1, weight)
  sums, grads = _accumulate(loss, state.params, key, batch, micro_batches, scale)
  grads = jax.lax.pmean(grads, AXIS)
  sums = jax.lax.psum(sums, AXIS)
  _assert_same_shapes(state.params, grads)
  norm = optax.tree.norm(grads)
  updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
  params = optax.apply_updates(state.params, updates)
  new = TrainState(params, opt_state, state.step + 1, state.key)
  # Loss and gradient are the same on all devices, but the parameters of one device may be
  # damaged. If devices disagreed, some would wait for the others for ever.
  finite = jnp.isfinite(sums.loss) & jnp.isfinite(norm)
  finite &= jnp.isfinite(optax.tree.norm(params))
  taken = jax.lax.pmin(finite.astype(jnp.float32), AXIS)
  return new, StepMetrics(sums, norm, taken)


def _accumulate(
  loss: Loss,
  params: Any,
  key: jax.Array,
  batch: Any,
  micro_batches: int,
  scale: jax.Array,
) -> tuple[Sums, Any]:
  """Return the sums and the gradient of `scale` · loss, summed over micro-batches."""

  def objective(params: Any, key: jax.Array, batch: Any) -> tuple[jax.Array, Sums]:
    sums = loss(params, key, batch)
    return scale * sums.loss, sums

  differentiate = jax.grad(objective, has_aux=True)
  if micro_batches == 1:
    grads, sums = differentiate(params, key, batch)
    return sums, grads

  def add(carry: Any, numbered: Any) -> tuple[Any, None]:
    i, batch = numbered
    grads, sums = differentiate(params, jax.random.fold_in(key, i), batch)
    return jax.tree.map(jnp.add, carry, (sums, grads)), None

  split = jax.tree.map(lambda x: x.reshape(micro_batches, -1, *x.shape[1:]), batch)
  zeros = jax.tree.map(jnp.zeros_like, params)
  zero = jnp.zeros((), jnp.float32)
  start = (Sums(zero, zero, zero), zeros)
  total, _ = jax.lax.scan(add, start, (jnp.arange(micro_batches), split))
  return total


def _limit_traces(function: Callable[..., Any], shapes: int) -> Callable[..., Any]:
  """Return `function` with an assertion that it is traced at most `shapes` times.

  chex identifies a function by its name and place of definition, so every function that
  is built here gets a name of its own while it is wrapped.
  """
  name = function.__name__
  function.__name__ = f"{name}_{next(_built)}"
  checked: Callable[..., Any] = chex.assert_max_traces(function, n=shapes)
  checked.__name__ = name  # The compilation cache depends on the name of the program.
  return checked


_built = itertools.count()


def _assert_trace(batch: Any, devices: Sequence[jax.Device]) -> None:
  """Assert the size of the device axis, and the placement and shapes of the batch."""
  chex.assert_devices_available(len(devices), devices[0].platform, not_less_than=True)
  if jax.lax.axis_size(AXIS) != len(devices):
    raise AssertionError(
      f"The axis {AXIS!r} has size {jax.lax.axis_size(AXIS)}, not {len(devices)}."
    )
  mesh = jax.typeof(batch.inputs).sharding.mesh.shape
  if dict(mesh) != {AXIS: len(devices)}:
    raise AssertionError(f"The batch lies on the mesh {dict(mesh)}, not {AXIS!r}.")
  chex.assert_equal_shape([batch.inputs, batch.targets, batch.weights])
  chex.assert_type([batch.inputs, batch.targets, batch.weights], [int, int, float])


def _assert_same_shapes(expected: Any, actual: Any) -> None:
  """Assert that two trees have the same structure, shapes and dtypes."""
  chex.assert_trees_all_equal_structs(expected, actual)
  chex.assert_trees_all_equal_shapes_and_dtypes(expected, actual)
