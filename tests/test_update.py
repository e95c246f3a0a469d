"""The update trains the same on any devices, and refuses what does not belong there."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from attention_lab.dataset.base.dataset import Batch
from attention_lab.distributed.devices import AXIS, replicate, shard, unreplicate
from attention_lab.nn.metrics import Sums
from attention_lab.update import (
  _assert_trace,
  fresh_state,
  make_evaluate,
  make_step,
  make_update,
)

K, B, T, V = 3, 16, 4, 5


def loss(params, key, batch):
  """A bigram model: enough to train, and quick to compile."""
  logits = jax.nn.log_softmax(params["table"][batch.inputs])
  at_target = jnp.take_along_axis(logits, batch.targets[..., None], axis=-1)[..., 0]
  noise = 0.0 if key is None else 0.0 * jax.random.normal(key)
  correct = jnp.argmax(logits, axis=-1) == batch.targets
  return Sums(
    jnp.sum(-batch.weights * at_target) + noise,
    jnp.sum(batch.weights * correct),
    jnp.sum(batch.weights),
  )


def batches(seed=0):
  """K batches of B examples; some rows count less than others."""
  rng = np.random.default_rng(seed)
  tokens = rng.integers(V, size=(2, K, B, T)).astype(np.int32)
  weights = (rng.random((K, B, T)) < np.linspace(0.2, 1, B)[:, None]).astype(np.float32)
  return Batch(*tokens, weights)


OPTIMIZER = optax.adamw(0.1)


def state(optimizer=OPTIMIZER):
  """A fresh state on the host."""
  table = jnp.asarray(np.random.default_rng(1).normal(size=(V, V)), jnp.float32)
  return jax.tree.map(np.asarray, fresh_state({"table": table}, optimizer, 0))


@functools.lru_cache(maxsize=8)
def update_on(num_devices, micro_batches=1):
  """An update, compiled once for all tests here."""
  devices = jax.local_devices()[:num_devices]
  return devices, make_update(make_step(loss, OPTIMIZER, micro_batches), devices)


def train(num_devices, micro_batches=1, counts=(K,)):
  """State, losses and norms after the first batches, `counts` steps a call."""
  devices, update = update_on(num_devices, micro_batches)
  current, start, reports = replicate(state(), devices), 0, []
  for count in counts:
    rolled = jax.tree.map(lambda x, s=start: np.roll(x, -s, axis=0), batches())
    placed = shard(rolled, devices, axis=1)
    current, metrics = update(current, placed, count)
    reports.append(jax.tree.map(lambda x, c=count: x[:c], unreplicate(metrics)))
    start += count
  merged = jax.tree.map(lambda *parts: np.concatenate(parts), *reports)
  return unreplicate(current), merged


@pytest.mark.parametrize(("num_devices", "micro_batches"), [(8, 1), (2, 4), (1, 8)])
def test_any_split_of_the_batch_trains_the_same(num_devices, micro_batches):
  expected, expected_metrics = train(1)
  actual, metrics = train(num_devices, micro_batches)
  close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
  jax.tree.map(close, metrics, expected_metrics)
  jax.tree.map(close, actual.params, expected.params)
  assert actual.step == K


@pytest.mark.parametrize("counts", [(1, 1, 1), (2, 1), (1, 2)])
def test_bits_do_not_depend_on_the_steps_a_call(counts):
  expected, actual = train(2), train(2, counts=counts)
  jax.tree.map(np.testing.assert_array_equal, actual, expected)


def test_a_call_of_no_steps_changes_nothing():
  devices, update = update_on(2)
  after, _ = update(replicate(state(), devices), shard(batches(), devices, axis=1), 0)
  jax.tree.map(np.testing.assert_array_equal, unreplicate(after), state())


def test_the_step_is_that_of_plain_optax():
  first = jax.tree.map(lambda x: x[0], batches())
  before = state()

  def mean(params):
    sums = loss(params, None, first)
    return sums.loss / sums.weight

  value, grads = jax.value_and_grad(mean)(before.params)
  updates, _ = OPTIMIZER.update(grads, before.opt_state, before.params)
  expected = optax.apply_updates(before.params, updates)
  after, metrics = train(8, counts=(1,))
  np.testing.assert_allclose(after.params["table"], expected["table"], rtol=1e-5)
  np.testing.assert_allclose(
    metrics.sums.loss / metrics.sums.weight, [value], rtol=1e-6
  )
  np.testing.assert_allclose(metrics.grad_norm, [optax.tree.norm(grads)], rtol=1e-5)


@pytest.mark.parametrize("num_devices", [1, 2])
def test_a_step_that_is_not_finite_is_not_taken(num_devices):
  devices, update = update_on(num_devices)
  bad = batches()
  bad.weights[1, B - 1, 0] = np.nan  # On one device, in the second step.
  good, _ = train(num_devices, counts=(1,))
  after, metrics = update(replicate(state(), devices), shard(bad, devices, axis=1), K)
  after, metrics = unreplicate(after), unreplicate(metrics)
  jax.tree.map(np.testing.assert_array_equal, after, good)
  assert after.step == 1
  assert np.isnan(metrics.sums.loss[1])
  assert metrics.sums.weight[2] == 0  # Nothing was tried after it.


def test_each_device_and_step_has_its_own_key():
  devices = jax.local_devices()[:2]

  def noisy(params, key, batch):
    sums = loss(params, None, batch)
    chance = jax.random.uniform(key)
    return sums._replace(loss=sums.loss * 0 + chance + 0 * params["table"].sum())

  update = make_update(make_step(noisy, OPTIMIZER), devices)
  _, metrics = update(replicate(state(), devices), shard(batches(), devices, axis=1), K)
  totals = unreplicate(metrics).sums.loss
  assert len(set(totals.tolist())) == K
  single = make_update(make_step(noisy, OPTIMIZER), devices[:1])
  placed = shard(batches(), devices[:1], axis=1)
  _, alone = single(replicate(state(), devices[:1]), placed, K)
  first = unreplicate(alone).sums.loss[0]
  assert totals[0] != pytest.approx(2 * first)  # The second device drew another number.


def provoke(change, match, error=AssertionError):
  devices, update = update_on(2)
  parts = {
    "state": replicate(state(), devices),
    "batches": batches(),
    "devices": devices,
  }
  placed, current = change(**parts)
  with pytest.raises(error, match=match):
    update(current, placed, K)


def test_too_few_leading_slices_are_refused():
  provoke(
    lambda state, batches, devices: (jax.tree.map(lambda x: x[None], batches), state),
    "(?s)prefix",
  )


def test_state_on_one_device_is_refused():
  def change(state, batches, devices):
    host = jax.tree.map(np.asarray, state)
    return shard(batches, devices, axis=1), jax.device_put(host, devices[0])

  provoke(change, "(?s)sharded|shard")


def test_a_reversed_device_order_is_refused():
  def change(state, batches, devices):
    return shard(batches, devices[::-1], axis=1), state

  provoke(change, "(?s)sharded|shard")


def fresh_update(num_devices=2):
  devices = jax.local_devices()[:num_devices]
  return devices, make_update(make_step(loss, OPTIMIZER), devices)


@pytest.mark.parametrize(
  ("change", "match"),
  [
    (lambda b: b._replace(weights=b.weights[..., :2]), "(?s)[Ss]hape"),
    (lambda b: b._replace(inputs=b.inputs.astype(np.float32)), "(?s)type"),
    (lambda b: b._replace(weights=b.weights.astype(np.int32)), "(?s)type"),
  ],
)
def test_a_batch_of_another_form_is_refused_inside_the_trace(change, match):
  devices, update = fresh_update()
  placed = shard(change(batches()), devices, axis=1)
  with pytest.raises(AssertionError, match=match):
    update(replicate(state(), devices), placed, K)


def test_the_device_axis_is_checked_inside_the_trace():
  two, four = jax.local_devices()[:2], jax.local_devices()[:4]
  first = jax.tree.map(lambda x: x[0], batches())

  def check(batch):
    _assert_trace(batch, four)
    return batch

  with pytest.raises(AssertionError, match="'device' has size 2, not 4"):
    jax.pmap(check, axis_name=AXIS, devices=two)(shard(first, two))
  quarters = jax.tree.map(lambda x: jnp.stack(jnp.split(x, 4)), first)
  with pytest.raises(AssertionError, match="lies on the mesh {}, not 'device'"):
    jax.vmap(check, axis_name=AXIS)(quarters)


def test_an_optimizer_that_changes_a_dtype_is_refused():
  devices = jax.local_devices()[:1]
  half = optax.stateless(lambda grads, _: grads)
  broken = optax.GradientTransformation(
    lambda params: jnp.zeros((), jnp.float32),
    lambda grads, state, params=None: (
      half.update(grads, ())[0],
      jnp.zeros((), jnp.int32),
    ),
  )
  update = make_update(make_step(loss, broken), devices)
  with pytest.raises(AssertionError, match="(?s)dtype"):
    update(replicate(state(broken), devices), shard(batches(), devices, axis=1), K)


def test_a_second_trace_is_refused():
  devices, update = fresh_update()
  current = replicate(state(), devices)
  current, _ = update(current, shard(batches(), devices, axis=1), K)
  longer = jax.tree.map(lambda x: np.concatenate([x, x]), batches())
  with pytest.raises(AssertionError, match="traced > 1 times"):
    update(current, shard(longer, devices, axis=1), K)


def test_evaluation_sums_over_all_devices():
  first = jax.tree.map(lambda x: x[0], batches())
  expected = loss(state().params, None, first)
  for n in (1, 8):
    devices = jax.local_devices()[:n]
    run = make_evaluate(lambda params, batch: loss(params, None, batch), devices)
    sums = unreplicate(run(replicate(state().params, devices), shard(first, devices)))
    np.testing.assert_allclose(sums, expected, rtol=1e-6)


def test_a_batch_of_no_weight_gives_no_gradient():
  devices, update = update_on(1)
  empty = batches()._replace(weights=np.zeros((K, B, T), np.float32))
  _, metrics = update(replicate(state(), devices), shard(empty, devices, axis=1), 1)
  assert unreplicate(metrics).grad_norm[0] == 0


def test_the_state_is_donated():
  devices, update = update_on(2)
  before = replicate(state(), devices)
  update(before, shard(batches(), devices, axis=1), K)
  assert before.params["table"].is_deleted()


def test_chex_assertions_are_on():
  with pytest.raises(AssertionError):
    chex.assert_shape(jnp.ones(2), (3,))
