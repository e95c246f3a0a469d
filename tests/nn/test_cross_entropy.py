"""The cross-entropy without logits is the plain one, wherever it is used."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attention_lab.architecture.decoder_only import DecoderOnly
from attention_lab.distributed import devices
from attention_lab.experiment import assemble
from attention_lab.nn import cross_entropy
from attention_lab.nn.cross_entropy import Head, head_hits, head_sums
from attention_lab.nn.metrics import token_sums
from attention_lab.update import make_evaluate, make_step, make_update
from tests.parts import fill, tiny_config


def problem(shape, width, size, bias=True, dtype=None, seed=0):
  """Random vectors, table and bias; uneven weights, some of them 0."""
  rng = np.random.default_rng(seed)
  draw = lambda *shape: jnp.asarray(rng.normal(size=shape), dtype)  # noqa: E731
  head = Head(draw(*shape, width), draw(size, width), draw(size) if bias else None)
  weights = rng.random(shape) * (rng.random(shape) < 0.7)
  targets = jnp.asarray(rng.integers(size, size=shape), jnp.int32)
  return head, targets, jnp.asarray(weights, jnp.result_type(float))


def plain(head, targets, weights, smoothing=0.0):
  logits = head.vectors @ head.table.T
  if head.bias is not None:
    logits += jnp.broadcast_to(head.bias, logits.shape)
  return token_sums(logits, targets, weights, smoothing)


@functools.partial(jax.jit, static_argnums=(0, 4))
def with_gradients(function, head, targets, weights, smoothing=0.0):
  """Sum, and the gradients of a function of all of them."""

  def objective(head, weights):
    sums = function(head, targets, weights, smoothing)
    return 0.3 * sums.loss + 0.7 * sums.correct - sums.weight, sums

  return jax.grad(objective, (0, 1), has_aux=True)(head, weights)


def same(a, b, rtol=1e-12, atol=1e-12):
  jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol, atol), a, b)


@pytest.fixture
def small_blocks(monkeypatch):
  """Block of few rows, whatever the sizes; every loss takes this path."""
  monkeypatch.setattr(cross_entropy, "ROOM_ON_CPU", 1)
  monkeypatch.setattr(cross_entropy, "FEWEST_ROWS", 4)


@settings(max_examples=6, deadline=None, derandomize=True)
@given(
  count=st.integers(1, 23),
  width=st.integers(1, 7),
  size=st.integers(1, 19),
  bias=st.booleans(),
  smoothing=st.sampled_from([0.0, 0.1]),
)
def test_sums_and_gradients_are_the_plain_formulas(count, width, size, bias, smoothing):
  with jax.enable_x64(True), pytest.MonkeyPatch.context() as patch:
    patch.setattr(cross_entropy, "ROOM_ON_CPU", 5 * size)
    patch.setattr(cross_entropy, "FEWEST_ROWS", 1)
    inputs = problem((count,), width, size, bias)
    ours = with_gradients(head_sums, *inputs, smoothing)
    same(ours, with_gradients(plain, *inputs, smoothing))
    alone = jax.jit(functools.partial(head_sums, label_smoothing=smoothing))
    same(alone(*inputs), ours[1])


def test_of_equal_logits_the_first_is_the_prediction(small_blocks):
  head = Head(jnp.zeros((2, 3)), jnp.ones((5, 3)))
  targets, weights = jnp.array([0, 1]), jnp.ones(2)
  assert head_sums(head, targets, weights).correct == 1
  assert plain(head, targets, weights).correct == 1


@pytest.mark.parametrize("function", [head_sums, plain])
def test_what_does_not_count_may_be_any_target(small_blocks, function):
  head, _, _ = problem((5,), 3, 7)
  targets = jnp.array([1, 2**30, -1, 3, 7])
  weights = jnp.array([1.0, 0.0, 0.0, 1.0, 0.0])
  ours = with_gradients(function, head, targets, weights)
  rows = np.array([0, 3])
  gradients, sums = with_gradients(
    plain, head._replace(vectors=head.vectors[rows]), targets[rows], weights[rows]
  )
  same(ours[1], sums, 1e-5)
  same(ours[0][0].table, gradients[0].table, 1e-5, 1e-6)
  assert not ours[0][0].vectors[np.array([1, 2, 4])].any()


def test_halves_are_summed_in_float32(in_float64, small_blocks):
  inputs = problem((40,), 8, 11, dtype=jnp.bfloat16)
  wide = jax.tree.map(lambda x: x.astype(jnp.float64), inputs[0])
  (gradients, _), sums = with_gradients(head_sums, *inputs)
  (expected, _), exact = with_gradients(plain, wide, *inputs[1:])
  np.testing.assert_allclose(sums.loss, exact.loss, rtol=1e-6)
  for ours, like in zip(gradients, expected, strict=True):
    assert ours.dtype == jnp.bfloat16
    np.testing.assert_allclose(ours.astype(float), like, rtol=0.02, atol=0.02)


def test_seeds_can_be_mapped(in_float64, small_blocks):
  inputs = [problem((3, 5), 4, 6, seed=seed) for seed in (1, 2)]
  stacked = jax.tree.map(lambda *xs: jnp.stack(xs), *inputs)
  ours = jax.vmap(functools.partial(with_gradients, head_sums))(*stacked)
  expected = [with_gradients(plain, *each) for each in inputs]
  same(ours, jax.tree.map(lambda *xs: jnp.stack(xs), *expected))


def test_no_more_than_a_block_of_logits_is_held(monkeypatch):
  inputs = problem((256,), 4, 1000, bias=False)
  monkeypatch.setattr(cross_entropy, "ROOM_ON_CPU", 32 * 1000)

  def temporary(function):
    lowered = with_gradients.lower(function, *inputs)
    return lowered.compile().memory_analysis().temp_size_in_bytes

  block = 4 * 32 * 1000
  assert temporary(head_sums) < 5 * block < 4 * 256 * 1000 <= temporary(plain)


def flops(function):
  head, targets, weights = problem((64,), 32, 100, bias=False)
  lowered = jax.jit(function).lower(head, targets, weights)
  return lowered.compile().cost_analysis()["flops"] / (2 * 64 * 32 * 100)


def test_a_value_costs_one_product_and_a_gradient_three():
  grad = jax.grad(lambda head, *rest: head_sums(head, *rest).loss)
  assert 1 <= flops(head_sums) < 1.5
  assert 3 <= flops(grad) < 3.5


CONFIGS = {
  "tied": {
    "model__logits_bias": True,
    "model__rematerialise": True,
    "train__label_smoothing": 0.1,
  },
  "own": {"model__tied_embeddings": False, "model__logits_bias": True},
  "encoder": {
    "architecture__name": "encoder",
    "dataset": "majority(sequence_length=8, validation_examples=8)",
  },
}


def loss_with_gradient(experiment, params):
  """Loss and gradient of a training batch."""
  batch = experiment.dataset.batch("train", 0, 4)
  run = lambda params: experiment.loss(params, jax.random.key(0), batch)  # noqa: E731
  objective = lambda params: (run(params).loss, run(params))  # noqa: E731
  return jax.jit(jax.value_and_grad(objective, has_aux=True))(params)


def count_calls(monkeypatch):
  """List that grows whenever the loss is computed without logits."""
  calls = []

  def counted(*args):
    calls.append(args)
    return head_sums(*args)

  monkeypatch.setattr(cross_entropy, "head_sums", counted)
  return calls


@pytest.mark.parametrize("name", CONFIGS)
def test_a_model_has_the_same_loss_either_way(name, monkeypatch):
  experiment = assemble(tiny_config(model__num_layers=1, **CONFIGS[name]))
  params = fill(jax.eval_shape(lambda: experiment.init(0)))
  expected = loss_with_gradient(experiment, params)
  calls = count_calls(monkeypatch)
  monkeypatch.setattr(cross_entropy, "ROOM_ON_CPU", 1)
  same(loss_with_gradient(experiment, params), expected, 1e-4, 1e-4)
  assert calls


def test_a_model_whose_logits_are_many_does_not_form_them(monkeypatch):
  recall = "associative_recall(sequence_length=16, vocabulary_size=4000)"
  experiment = assemble(tiny_config(dataset=recall, model__num_layers=1))
  params = jax.eval_shape(lambda: experiment.init(0))
  batch = experiment.dataset.batch("train", 0, 64)
  logits = 4 * batch.targets.size * 4000

  def temporary(room):
    monkeypatch.setattr(cross_entropy, "ROOM_ON_CPU", room)
    run = lambda params: experiment.loss(params, jax.random.key(0), batch).loss  # noqa: E731
    compiled = jax.jit(jax.grad(run)).lower(params).compile()
    return compiled.memory_analysis().temp_size_in_bytes

  assert temporary(32 * 4000) < logits / 2 < logits <= temporary(2**30)


def test_a_plugin_may_change_the_logits(monkeypatch):
  whole = DecoderOnly.__call__

  def capped(self, tokens, positions):
    return 5 * jnp.tanh(whole(self, tokens, positions) / 5)

  monkeypatch.setattr(DecoderOnly, "__call__", capped)
  experiment = assemble(tiny_config(model__num_layers=1))
  params = fill(jax.eval_shape(lambda: experiment.init(0)))
  expected = loss_with_gradient(experiment, params)
  calls = count_calls(monkeypatch)
  monkeypatch.setattr(cross_entropy, "ROOM_ON_CPU", 1)
  same(loss_with_gradient(experiment, params), expected, 1e-6)
  assert not calls


def test_hits_are_those_of_the_logits(small_blocks):
  head, targets, weights = problem((6, 8), 5, 3)
  sums, hits = jax.jit(head_hits)(head, targets, weights)
  same(sums, plain(head, targets, weights), 1e-5, 1e-5)
  logits = head.vectors @ head.table.T + jnp.broadcast_to(head.bias, (6, 8, 3))
  counts = np.asarray(weights > 0)
  expected = np.asarray(jnp.argmax(logits, axis=-1) == targets)
  np.testing.assert_array_equal(np.asarray(hits)[counts], expected[counts])
  assert {True, False} == set(expected[counts])


def test_updates_on_devices_are_the_same(monkeypatch, small_blocks):
  experiment = assemble(tiny_config(model__num_layers=1))
  calls = count_calls(monkeypatch)
  places = jax.local_devices()[:2]
  state = jax.tree.map(np.asarray, experiment.fresh(0))
  batches = experiment.dataset.batches("train", 0, 1, 8)
  first = jax.tree.map(lambda x: x[0], batches)
  found = []
  for room in (1, 2**22):
    monkeypatch.setattr(cross_entropy, "ROOM_ON_CPU", room)
    update = make_update(make_step(experiment.loss, experiment.optimizer, 2), places)
    placed = devices.shard(batches, places, axis=1)
    new, metrics = update(devices.replicate(state, places), placed, 1)
    evaluate = make_evaluate(experiment.measure, places)
    sums = evaluate(new.params, devices.shard(first, places))
    found.append(devices.unreplicate((metrics, sums)))
    assert len(calls) == 1  # Traced for training; evaluation has a function of its own.
  same(*found, 1e-4, 1e-4)
