"""The training step: jitted, pmapped over devices, its claims asserted with chex.

Several seeds of one experiment are one program: the step, vmapped over their states.

One call runs up to K steps in a loop on the devices, so that Python costs little. How
many it runs is an argument and not a shape: whatever number is asked for, the same
compiled step runs, and the bits of the result do not depend on it.
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
  """All that changes while training."""

  params: Any
  opt_state: Any
  step: jax.Array  # [] int32: steps taken.
  key: jax.Array  # [2] uint32: the random key of the run; each step folds its own.


class StepMetrics(NamedTuple):
  """One entry for each of the K steps of a call: [K], or of several seeds [K, seeds]."""

  sums: Sums  # Over the whole batch, all devices.
  grad_norm: jax.Array  # Before clipping.
  taken: jax.Array  # 1, or 0 of a step that was not taken.


# (state, batches [n, K, B/n, ...], count) → state, metrics of the first `count` steps.
Update = Callable[[TrainState, Any, int], tuple[TrainState, StepMetrics]]


def fresh_state(
  params: Any, optimizer: optax.GradientTransformation, seed: Any
) -> TrainState:
  """The state before the first step; the seed is an int or a uint32 scalar."""
  key = jax.random.key_data(jax.random.key(seed))
  return TrainState(params, optimizer.init(params), jnp.zeros((), jnp.int32), key)


def make_update(
  loss: Loss,
  optimizer: optax.GradientTransformation,
  devices: Sequence[jax.Device],
  micro_batches: int = 1,
  shapes: int = 1,
  seeds: int = 1,
) -> Update:
  """Builds the update.

  A step whose loss, gradient or new parameters are not finite, on any device, is taken
  on none: the call ends before it with the last good state, whose `step` says how far it
  came. Several seeds stop together.

  Args:
    loss: sums over a batch. The gradient is that of the mean over all positions of the
      whole batch, however it is split over devices and micro-batches.
    optimizer: what turns the gradient into an update.
    devices: where state and batches lie.
    micro_batches: how many parts each device cuts its share of a batch into; the
      gradients of the parts add up.
    shapes: how many shapes batches have at most: each is traced once.
    seeds: how many states are trained on the same batches. Above 1 every array of the
      state leads with an axis of them, behind that of the devices.
  """
  step = functools.partial(_step, loss, optimizer, micro_batches)
  if seeds > 1:
    step = jax.vmap(step, in_axes=(0, None), axis_size=seeds)

  def run(
    state: TrainState, batches: Any, count: jax.Array
  ) -> tuple[TrainState, StepMetrics]:
    _assert_trace(batches, devices)
    length = jax.tree.leaves(batches)[0].shape[0]
    zeros = jnp.zeros((length, seeds) if seeds > 1 else (length,), jnp.float32)
    metrics = StepMetrics(Sums(zeros, zeros, zeros), zeros, zeros)

    def unfinished(carry: Any) -> jax.Array:
      i, finite, _, _ = carry
      return (i < count) & finite

    def body(carry: Any) -> Any:
      i, _, state, metrics = carry
      batch = jax.tree.map(lambda x: x[i], batches)
      new, now = step(state, batch)
      finite = jnp.all(now.taken > 0)
      _assert_alike(state, new)
      state = jax.tree.map(lambda a, b: jnp.where(finite, a, b), new, state)
      metrics = jax.tree.map(lambda all, x: all.at[i].set(x), metrics, now)
      return i + 1, finite, state, metrics

    carry = (jnp.zeros((), jnp.int32), jnp.array(True), state, metrics)
    _, _, state, metrics = jax.lax.while_loop(unfinished, body, carry)
    return state, metrics

  mapped = jax.pmap(
    _traced_once(run, shapes),
    axis_name=AXIS,
    in_axes=(0, 0, None),
    donate_argnums=0,
    devices=list(devices),
  )

  def update(
    state: TrainState, batches: Any, count: int
  ) -> tuple[TrainState, StepMetrics]:
    assert_placed(state, batches, devices)
    return mapped(state, batches, np.asarray(count, np.int32))

  return update


def make_evaluate(
  measure: Measure, devices: Sequence[jax.Device], shapes: int = 1
) -> Measure:
  """Builds the evaluation: (parameters [n, ...], batch [n, B/n, ...]) → sums [n].

  Args:
    measure: sums over a batch.
    devices: where parameters and batches lie.
    shapes: how many shapes batches have at most: each is traced once.
  """

  def run(params: Any, batch: Any) -> Any:
    _assert_trace(batch, devices)
    return jax.lax.psum(measure(params, batch), AXIS)

  mapped = jax.pmap(_traced_once(run, shapes), axis_name=AXIS, devices=list(devices))

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
  """One step on one device's share of a batch, as if it could be taken."""
  key = jax.random.fold_in(jax.random.wrap_key_data(state.key), state.step)
  key = jax.random.fold_in(key, jax.lax.axis_index(AXIS))
  # The mean of the devices' gradients is the whole batch's when each device divides its
  # sum by the devices' mean weight, and not by its own.
  weight = jax.lax.pmean(jnp.sum(batch.weights), AXIS)
  scale = 1 / jnp.where(weight == 0, 1, weight)
  sums, grads = _accumulate(loss, state.params, key, batch, micro_batches, scale)
  grads = jax.lax.pmean(grads, AXIS)
  sums = jax.lax.psum(sums, AXIS)
  _assert_alike(state.params, grads)
  norm = optax.tree.norm(grads)
  updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
  params = optax.apply_updates(state.params, updates)
  new = TrainState(params, opt_state, state.step + 1, state.key)
  # Loss and gradient are the same on all devices; a copy of the parameters can be damaged
  # on one. Where devices disagreed, some would wait for the others for ever.
  finite = jnp.isfinite(sums.loss) & jnp.isfinite(norm)
  finite &= jnp.isfinite(optax.tree.norm(params))
  taken = jax.lax.pmin(finite.astype(jnp.float32), AXIS)
  return new, StepMetrics(sums, norm, taken)


def _accumulate(
  loss: Loss, params: Any, key: jax.Array, batch: Any, parts: int, scale: jax.Array
) -> tuple[Sums, Any]:
  """Sums, and the gradient of `scale` · loss, added up over micro-batches."""

  def objective(params: Any, key: jax.Array, batch: Any) -> tuple[jax.Array, Sums]:
    sums = loss(params, key, batch)
    return scale * sums.loss, sums

  differentiate = jax.grad(objective, has_aux=True)
  if parts == 1:
    grads, sums = differentiate(params, key, batch)
    return sums, grads

  def add(carry: Any, part: Any) -> tuple[Any, None]:
    i, batch = part
    grads, sums = differentiate(params, jax.random.fold_in(key, i), batch)
    return jax.tree.map(jnp.add, carry, (sums, grads)), None

  split = jax.tree.map(lambda x: x.reshape(parts, -1, *x.shape[1:]), batch)
  zeros = jax.tree.map(jnp.zeros_like, params)
  nothing = jnp.zeros((), jnp.float32)
  start = (Sums(nothing, nothing, nothing), zeros)
  total, _ = jax.lax.scan(add, start, (jnp.arange(parts), split))
  return total


def _traced_once(function: Callable[..., Any], shapes: int) -> Callable[..., Any]:
  """`function`, which asserts that it is traced once for each of so many shapes.

  chex tells functions apart by name and place of definition; every function built here
  counts for itself.
  """
  name = function.__name__
  function.__name__ = f"{name}_{next(_built)}"
  checked: Callable[..., Any] = chex.assert_max_traces(function, n=shapes)
  checked.__name__ = name  # The same program has the same name, whenever it is built.
  return checked


_built = itertools.count()


def _assert_trace(batch: Any, devices: Sequence[jax.Device]) -> None:
  """What must hold of the device axis and the batch inside the trace."""
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


def _assert_alike(expected: Any, actual: Any) -> None:
  """Same tree, same shapes, same dtypes."""
  chex.assert_trees_all_equal_structs(expected, actual)
  chex.assert_trees_all_equal_shapes_and_dtypes(expected, actual)
