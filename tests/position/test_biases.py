"""T5, KERPLE and FIRE against plain loops of their papers' formulas."""

import functools
import math

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention_lab.errors import UserError
from attention_lab.experiment import assemble
from attention_lab.kernel import bands
from attention_lab.position.base.position import positions
from tests.parts import fill, tiny_config
from tests.position.schemes import call

HEADS = 3
QUERY = [-1, 0, 1, 15, 16, 17, 31, 63, 64, 200, 1000]
CONTEXT = [-1, 0, 2, 16, 48, 100, 999, 2000]
RNG = np.random.default_rng(0)


def bias(spec, params=None, query=QUERY, context=CONTEXT):
  """[N, T, S]."""
  params = None if params is None else jax.tree.map(jnp.asarray, params)
  at = jnp.array([query]), jnp.array([context])
  return np.asarray(call(spec, "bias", *at, HEADS, params=params))[0]


def by_loop(formula):
  pairs = [[formula(i, j) for j in CONTEXT] for i in QUERY]
  return np.moveaxis(np.array(pairs), -1, 0)


def bucket(distance, buckets, max_distance):
  """Return the bucket of a distance ≥ 0, in whole numbers, without rounding."""
  exact = buckets // 2
  if distance < exact:
    return distance
  steps = buckets - exact
  # The k-th logarithmic bucket begins where (d / exact)^steps ≥ (max / exact)^k.
  k = 0
  while k < steps - 1 and (
    distance**steps * exact ** (k + 1) >= max_distance ** (k + 1) * exact**steps
  ):
    k += 1
  return exact + k


@pytest.mark.parametrize(
  ("buckets", "max_distance"), [(32, 128), (8, 64), (2, 3), (7, 1500), (5, 3)]
)
def test_t5_bias_is_that_of_the_bucket_of_the_distance(
  in_float64, buckets, max_distance
):
  table = RNG.normal(size=(buckets, HEADS))
  spec = f"t5(buckets={buckets}, max_distance={max_distance})"
  expected = by_loop(lambda i, j: table[bucket(max(i - j, 0), buckets, max_distance)])
  np.testing.assert_array_equal(bias(spec, {"table": table}), expected)
  every = bias(spec, {"table": table}, range(max_distance + 2), [0])[0, :, 0]
  assert len(set(every)) == len({bucket(d, buckets, max_distance) for d in range(9999)})


def test_bidirectional_t5_has_separate_buckets_for_the_future(in_float64):
  table = RNG.normal(size=(32, HEADS))

  def formula(i, j):
    return table[bucket(abs(i - j), 16, 128) + (16 if j > i else 0)]

  actual = bias("t5(bidirectional=True)", {"table": table})
  np.testing.assert_array_equal(actual, by_loop(formula))


def logits(spec, architecture, dataset):
  """Return the logits of a tiny model whose parameters are all filled."""
  config = tiny_config(position=spec, architecture__name=architecture, dataset=dataset)
  experiment = assemble(config)
  params = fill(jax.eval_shape(lambda: experiment.init(0)))
  batch = experiment.dataset.examples("validation", 0, np.arange(2))
  source = () if batch.source is None else (jnp.asarray(batch.source),)
  return jax.jit(experiment.model.apply)(params, None, batch.inputs, None, *source)


@pytest.mark.parametrize(
  ("architecture", "dataset", "same", "other"),
  [
    ("encoder", "majority(sequence_length=9)", True, False),
    ("decoder_only", "copy(sequence_length=8)", False, True),
  ],
)
def test_t5_has_buckets_for_what_the_mask_shows(architecture, dataset, same, other):
  found = logits("t5(buckets=8)", architecture, dataset)
  expected, wrong = (
    logits(f"t5(buckets=8, bidirectional={each})", architecture, dataset)
    for each in (same, other)
  )
  np.testing.assert_array_equal(found, expected)
  assert not np.allclose(found, wrong)


def test_t5_follows_the_mask_of_each_place():
  """The encoder's and the decoder's layers have the same spec."""
  found = [
    logits(f"t5(buckets=8{more})", "encoder_decoder", "reverse(sequence_length=8)")
    for more in ("", ", bidirectional=True", ", bidirectional=False")
  ]
  assert not np.allclose(found[0], found[1])
  assert not np.allclose(found[0], found[2])


@pytest.mark.parametrize(
  ("variant", "formula"),
  [
    ("log", lambda r1, r2, d: -r1 * math.log(1 + r2 * d)),
    ("power", lambda r1, r2, d: -r1 * d**r2),
  ],
)
def test_kerple_equals_its_kernel(in_float64, variant, formula):
  raw = {"r1": RNG.normal(size=HEADS), "r2": RNG.normal(size=HEADS)}
  r1, r2 = np.exp(raw["r1"]), np.exp(raw["r2"])
  if variant == "power":
    r2 = 2 / (1 + np.exp(-raw["r2"]))

  def heads(i, j):
    return [formula(a, b, abs(i - j)) for a, b in zip(r1, r2, strict=True)]

  actual = bias(f"kerple(variant={variant})", raw)
  np.testing.assert_allclose(actual, by_loop(heads), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("variant", ["log", "power"])
def test_kerple_is_initialised_within_its_ranges(variant):
  at = jnp.array([[1, 2]]), jnp.array([[0]])
  y = -call(f"kerple(variant={variant})", "bias", *at, 500)[0, :, :, 0]
  if variant == "log":  # Below 2 log(1 + 1).
    assert y[:, 0].min() > 0
    assert 0.9 < y[:, 0].max() < 2 * math.log(2)
  else:
    r1, r2 = y[:, 0], np.log2(y[:, 1] / y[:, 0])
    assert 0 < r1.min() < 0.1
    assert 0.9 < r1.max() < 1
    assert 0 < r2.min() < 0.2
    assert 1.8 < r2.max() < 2


def fire_params(width):
  shapes = {"w1": (1, width), "b1": (width,), "w2": (width, HEADS), "b2": (HEADS,)}
  params = {name: RNG.normal(size=shape) for name, shape in shapes.items()}
  return {**params, "c": np.array(0.3), "threshold": np.array(-1.5)}


@pytest.mark.parametrize("width", [1, 32])
def test_fire_equals_its_formula(in_float64, width):
  params = fire_params(width)

  def psi(x):
    return math.log(1 + 0.3 * x)

  def heads(i, j):
    x = psi(abs(i - j)) / (psi(max(i, j, 1.5 * 40)) + 1e-6)
    assert min(i, j) < 0 or 0 <= x <= 1
    hidden = np.maximum(x * params["w1"][0] + params["b1"], 0)
    return hidden @ params["w2"] + params["b2"]

  actual = bias(f"fire(width={width}, threshold=40)", params)
  np.testing.assert_allclose(actual, by_loop(heads), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
  ("spec", "names"),
  [
    ("t5", ["table"]),
    ("kerple", ["r1", "r2"]),
    ("kerple(variant=power)", ["r1", "r2"]),
    ("fire", ["b1", "b2", "c", "threshold", "w1", "w2"]),
  ],
)
def test_every_parameter_of_a_bias_has_a_gradient(spec, names):
  """Gradients are finite at initialisation, at distance 0 too."""
  at, weights = jnp.arange(8)[None], jnp.asarray(RNG.normal(size=(1, 2, 8, 8)))

  def run():
    return (positions.bind(spec)(max_length=8).bias(at, at, 2) * weights).sum()

  transformed = hk.transform(run)
  params = jax.jit(transformed.init)(jax.random.key(0))
  (found,) = jax.jit(jax.grad(transformed.apply))(params, None).values()
  assert sorted(found) == names
  for name, gradient in found.items():
    assert np.isfinite(gradient).all(), name
    assert np.abs(gradient).max() > 0, name


@pytest.mark.parametrize(
  ("spec", "message"),
  [
    ("t5(buckets=1)", "at least 2"),
    ("t5(buckets=5, bidirectional=True)", "at least 4, and an even number"),
    ("t5(max_distance=16)", "more than the 16 distances"),
    ("fire(width=0)", "at least 1"),
    ("fire(threshold=0)", "above 0"),
    ("kerple(variant=exp)", "expected"),
  ],
)
def test_invalid_options_are_rejected_in_one_line(spec, message):
  with pytest.raises(UserError, match=message) as error:
    assemble(tiny_config(position=spec))
  assert "\n" not in str(error.value)


@pytest.mark.parametrize("layer_stack", ["never", "always"])
def test_blocked_kernel_with_bias_has_the_gradients_of_the_reference(
  monkeypatch, layer_stack
):
  """The backward pass calls the scheme after the transform that built it has ended."""
  monkeypatch.setattr(bands, "BLOCK", 4)
  tokens = jnp.asarray(RNG.integers(9, size=(2, 8)), jnp.int32)
  gradients = []
  for kernel in ("blocked", "reference"):
    changes = {"model__num_layers": 1, "model__layer_stack": layer_stack}
    experiment = assemble(tiny_config(position="alibi", kernel=kernel, **changes))
    params = fill(jax.eval_shape(lambda e=experiment: e.init(0)))

    def total(params, model=experiment.model):
      return (model.apply(params, None, tokens, None) ** 2).sum()

    gradients.append(jax.jit(jax.grad(total))(params))
  close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-3)
  jax.tree.map(close, *gradients)
