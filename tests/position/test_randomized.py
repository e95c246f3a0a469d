"""Randomized positions: in range, new for each key, the same in all layers."""

import functools

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention_lab.conformance.functions import in_chunks
from attention_lab.errors import UserError
from attention_lab.experiment import assemble
from attention_lab.kernel import bands, choose
from attention_lab.position.base.position import positions, properties_of, shared_sample
from tests.parts import default_positions, fill, tiny_config

T, LONGEST = 8, 50
TOKENS = jnp.asarray(np.random.default_rng(0).integers(9, size=(2, T)), jnp.int32)
AT = default_positions(2, T)


def build(spec="randomized(longest=50)", max_length=T):
  return positions.bind(spec)(max_length=max_length)


@functools.cache
def draw(seed):
  """Return the sample of a forward pass with this key."""
  run = hk.transform(lambda: build().draw())
  return np.asarray(jax.jit(run.apply)({}, jax.random.key(seed)))


def moved(at, key=None, spec="randomized(longest=50)"):
  """Return the positions given to the inner scheme."""

  def run():
    with shared_sample(build(spec)):
      return build(spec)._moved(jnp.asarray(at))

  return np.asarray(hk.transform(run).apply({}, key))


def sampled(seed, length=T):
  """Return the positions of a row of some tokens, by numpy."""
  return np.sort(draw(seed)[:length])


def test_sample_is_distinct_and_within_range():
  samples = np.stack([draw(seed) for seed in range(40)])
  assert samples.shape == (40, T)
  assert all(len(set(one)) == T for one in samples)
  assert samples.min() == 0
  assert samples.max() == LONGEST - 1
  assert len({tuple(one) for one in samples}) == 40
  assert set(samples.flat) == set(range(LONGEST))


def test_a_row_takes_as_many_positions_as_it_has_tokens():
  at = [[-1, -1, 0, 1, 2], [0, 1, 2, 3, 4], [-1, -1, -1, -1, -1]]
  found = moved(at, jax.random.key(0))
  np.testing.assert_array_equal(found[0], [-1, -1, *sampled(0, 3)])
  np.testing.assert_array_equal(found[1], sampled(0, 5))
  np.testing.assert_array_equal(found[2], at[2])


def test_positions_of_short_rows_cover_the_range_evenly():
  """The first ones of a sorted sample of a longer row would be small."""
  found = [moved([[0, 1]], jax.random.key(seed))[0] for seed in range(400)]
  below, above = np.mean(found, axis=0)
  # The mean order statistics of 2 of the numbers 0 to 49 are 16 and 33, with a standard
  # deviation below 12: the mean of 400 is within 3 of them.
  assert below == pytest.approx((LONGEST + 1) / 3 - 1, abs=3)
  assert above == pytest.approx(2 * (LONGEST + 1) / 3 - 1, abs=3)


def test_positions_past_the_training_length_continue_by_one():
  found = moved([[6, 7, 8, 10]], jax.random.key(0))
  last = sampled(0)[-1]
  expected = [[sampled(0)[-2], last, last + 1, last + 3]]
  np.testing.assert_array_equal(found, expected)


def test_without_a_key_positions_are_multiples_of_the_stride():
  at = [[-1, 0, 1, 9]]
  np.testing.assert_array_equal(moved(at), at)
  spec = "randomized(stride=3)"
  np.testing.assert_array_equal(moved(at, spec=spec), [[-1, 0, 3, 27]])


@pytest.mark.parametrize(
  ("of", "layer_stack"),
  [
    ("rope", "never"),
    ("'rope(share=0.5)'", "always"),
    ("sinusoidal", "always"),
    ("alibi", "never"),
  ],
)
def test_all_layers_share_one_sample(of, layer_stack):
  """The model equals that of the inner scheme at the sampled positions."""
  changes = {"model__layer_stack": layer_stack, "model__rematerialise": True}
  experiment = assemble(
    tiny_config(position=f"randomized(of={of}, longest=50)", **changes)
  )
  inside = assemble(tiny_config(position=of.strip("'"), **changes))
  params = fill(jax.eval_shape(lambda: inside.init(0)))
  apply = jax.jit(experiment.model.apply)
  at = jnp.asarray(np.tile(sampled(3), (2, 1)))
  np.testing.assert_allclose(
    apply(params, jax.random.key(3), TOKENS, None),
    jax.jit(inside.model.apply)(params, None, TOKENS, at),
    rtol=1e-5,
    atol=1e-5,
  )
  if of == "rope":
    other = apply(params, jax.random.key(4), TOKENS, None)
    assert not np.allclose(other, apply(params, jax.random.key(3), TOKENS, None))


@pytest.mark.parametrize(
  ("attention", "of", "layer_stack", "kernel"),
  [
    ("selective", "rope", "never", "blocked"),
    ("standard", "alibi", "always", "auto"),
  ],
)
def test_gradient_equals_that_of_the_inner_scheme(
  monkeypatch, attention, of, layer_stack, kernel
):
  """With blocks too, whose backward pass is traced after the forward pass has ended."""
  monkeypatch.setattr(bands, "BLOCK", 4)
  monkeypatch.setattr(choose, "BLOCKED_FROM", 4)
  changes = {
    "model__layer_stack": layer_stack,
    "attention": attention,
    "kernel": kernel,
  }
  experiment = assemble(
    tiny_config(position=f"randomized(of={of}, longest=50)", **changes)
  )
  inside = assemble(tiny_config(position=of, **changes))
  params = fill(jax.eval_shape(lambda: inside.init(0)))
  at = jnp.asarray(np.tile(sampled(3), (2, 1)))

  def gradient(apply, *given):
    return jax.grad(jax.jit(lambda params: (apply(params, *given) ** 2).sum()))(params)

  jax.tree.map(
    functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-3),
    gradient(experiment.model.apply, jax.random.key(3), TOKENS, None),
    gradient(inside.model.apply, None, TOKENS, at),
  )


@pytest.mark.parametrize("of", ["xpos", "t5"])
def test_decoding_equals_the_full_pass(of):
  experiment = assemble(tiny_config(position=f"randomized(of={of}, stride=3)"))
  model = experiment.model
  params = fill(jax.eval_shape(lambda: experiment.init(0)))
  whole = jax.jit(model.apply)(params, None, TOKENS, None)
  state = model.initial_state(params, None, 2, T, jnp.float32)
  extend = functools.partial(jax.jit(model.extend), params, None)
  parts = in_chunks(extend, state, TOKENS, AT, (3, 1, 4))
  np.testing.assert_allclose(parts, whole, rtol=1e-4, atol=1e-4)


def test_loss_is_random_in_training_only():
  experiment = assemble(tiny_config(position="randomized"))
  params = fill(jax.eval_shape(lambda: experiment.init(0)))
  batch = experiment.dataset.examples("train", 0, np.arange(2))
  loss = jax.jit(experiment.loss)
  keys = [None, None, jax.random.key(0), jax.random.key(0), jax.random.key(1)]
  found = [float(loss(params, key, batch).loss) for key in keys]
  assert found[0] == found[1]
  assert found[2] == found[3]
  assert len(set(found)) == 3


@pytest.mark.parametrize(
  ("spec", "hooks", "reach"),
  [
    ("randomized", {"rotate"}, None),
    ("randomized(of=xpos)", {"rotate", "rotate_keys"}, None),
    ("randomized(of='t5(buckets=8)')", {"bias"}, None),
    ("randomized(of=none)", set(), None),
    ("randomized(of=learned)", {"embed"}, 2048),
    ("randomized(of=learned, longest=50, stride=7)", {"embed"}, 8),  # 0, 7, … 49.
  ],
)
def test_hooks_and_reach_are_those_of_the_inner_scheme(spec, hooks, reach):
  assert properties_of(lambda: build(spec)) == (hooks, reach)
  if hooks:
    assert assemble(tiny_config(position=spec)).max_positions == reach


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    (
      {"position": "randomized(of=rop)"},
      "'rop' is not a position. Did you mean 'rope'",
    ),
    ({"position": "randomized(of='rope(bas=1)')"}, "has no option 'bas'"),
    ({"position": "randomized(of='randomized')"}, "of another scheme than itself"),
    ({"position": "randomized(longest=7)"}, "longest=7.*has 8 positions"),
    ({"position": "randomized(stride=0)"}, "stride=0.*at least 1"),
    (
      {"position": "randomized(of=alibi)", "kernel": "blocked"},
      "kernel=blocked takes no bias that is learned or drawn",
    ),
    (
      {"position": "randomized(of=alibi)", "attention": "haiku"},
      "acts by bias, which the attention 'haiku' does not use",
    ),
  ],
)
def test_invalid_options_are_rejected_in_one_line(changes, message):
  with pytest.raises(UserError, match=message) as error:
    assemble(tiny_config(**changes))
  assert "\n" not in str(error.value)
