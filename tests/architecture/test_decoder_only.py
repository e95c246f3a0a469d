"""Tests of the decoder-only model: size, decoding, options and weights."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention_lab import config as configs
from attention_lab.architecture.base.architecture import architectures
from attention_lab.attention.base.attention import attentions
from attention_lab.conformance.functions import in_chunks
from attention_lab.errors import UserError
from attention_lab.experiment import assemble
from attention_lab.kernel.mask import default_positions
from attention_lab.position.base.position import positions
from tests.parts import count, fill, tiny_config


@functools.lru_cache(maxsize=32)
def built(**changes):
  """Return a tiny experiment, its parameters and its logits of TOKENS."""
  experiment = assemble(tiny_config(**changes))
  params = fill(jax.eval_shape(lambda: experiment.init(0)))
  logits = jax.jit(experiment.model.apply)(params, None, TOKENS, POSITIONS)
  return experiment, params, logits


TOKENS = jnp.asarray(np.random.default_rng(0).integers(9, size=(2, 8)), jnp.int32)
POSITIONS = default_positions(TOKENS)


def decode(experiment, params, chunks):
  """Return the logits of TOKENS, decoded in chunks."""
  model = experiment.model
  state = model.initial_state(params, None, 2, 8, jnp.float32)
  extend = functools.partial(jax.jit(model.extend), params, None)
  return in_chunks(extend, state, TOKENS, POSITIONS, chunks)


def test_shakespeare_gpt_has_189_633_parameters(shakespeare):
  config = configs.load_file("experiments/shakespeare_gpt.py")
  config.data_dir = shakespeare
  assert count(config) == 189_633


def test_nanogpt_cpu_model_has_the_parameter_count_of_nanogpt(shakespeare):
  config = configs.load_file("experiments/shakespeare_nanogpt_cpu.py")
  config.data_dir, config.position = shakespeare, "learned"
  layer = 4 * 128**2 + 2 * 128 * 512 + 2 * 128  # q, k, v, output; in, out; two norms.
  assert count(config) == 65 * 128 + 64 * 128 + 4 * layer + 128


@pytest.mark.parametrize(
  "architecture",
  [
    name
    for name, architecture in architectures.items()
    if architecture.decodes and "pairs" not in architecture.tasks
  ],
)
@pytest.mark.parametrize(
  "changes",
  [
    {},
    {"model__layer_stack": "always"},
    {"model__norm": "post", "model__tied_embeddings": False},
    {"attention": "standard,standard(num_kv_heads=1)"},
  ],
  ids=str,
)
def test_decoding_in_chunks_equals_full_pass(architecture, changes):
  experiment, params, logits = built(architecture__name=architecture, **changes)
  for chunks in ((3, 5), (1,) * 8):
    decoded = decode(experiment, params, chunks)
    np.testing.assert_allclose(decoded, logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("position", positions)
def test_every_positional_scheme_decodes_and_has_an_effect(position):
  experiment, params, logits = built(position=position)
  np.testing.assert_allclose(
    decode(experiment, params, (7, 1)), logits, rtol=1e-4, atol=1e-4
  )
  if position != "none":
    assert not np.allclose(logits, built(position="none")[2])


@pytest.mark.parametrize("attention", ["standard", "selective", "gated_delta_net"])
def test_logits_do_not_depend_on_future_tokens(attention):
  position = "rope" if "rotate" in attentions[attention].honours else "none"
  experiment, params, logits = built(attention=attention, position=position)
  later = TOKENS.at[:, 5].add(1) % 9
  other = jax.jit(experiment.model.apply)(params, None, later, POSITIONS)
  np.testing.assert_array_equal(other[:, :5], logits[:, :5])
  assert not np.allclose(other[:, 5:], logits[:, 5:])


OPTIONS = {
  "num_layers": 1,
  "num_heads": 4,
  "d_model": 16,
  "d_ff": 12,
  "key_size": 2,
  "block": "parallel",
  "norm": "post",
  "norm_layer": "rms_norm",
  "activation": "relu",
  "init": "fan_in",
  "dropout": 0.5,
  "feed_forward_bias": True,
  "norm_offset": True,
  "logits_bias": True,
  "tied_embeddings": False,
  "layer_stack": "always",
  "rematerialise": True,
}


def test_options_lists_every_option():
  assert set(OPTIONS) == set(configs.get_config().model)


@pytest.mark.parametrize("option", sorted(set(OPTIONS) - {"rematerialise", "init"}))
def test_option_changes_shapes_or_logits(option):
  results = []
  for changes in ({}, {f"model__{option}": OPTIONS[option]}):
    experiment = assemble(tiny_config(**changes))
    params = fill(jax.eval_shape(lambda e=experiment: e.init(0)))
    key = jax.random.key(0) if option == "dropout" else None
    logits = experiment.model.apply(params, key, TOKENS, POSITIONS)
    shapes = {name: jax.tree.map(jnp.shape, module) for name, module in params.items()}
    results.append((shapes, np.asarray(logits)))
  (shapes, logits), (other_shapes, other_logits) = results
  assert shapes != other_shapes or not np.array_equal(logits, other_logits)


def test_initialisation_has_expected_scale():
  def deviations(init):
    experiment = assemble(tiny_config(model__init=init, model__d_model=64))
    params = jax.jit(lambda: experiment.init(0))()
    layer = "decoder_only/layer_0"
    return [
      float(params[name]["w"].std())
      for name in (f"{layer}/feed_forward_in", f"{layer}/feed_forward_out")
    ]

  np.testing.assert_allclose(deviations("gpt2"), [0.02, 0.01], rtol=0.05)
  np.testing.assert_allclose(deviations("fan_in"), [64**-0.5, 256**-0.5], rtol=0.05)


@pytest.mark.parametrize("activation", ["relu", "gelu", "swiglu"])
def test_activations_give_different_logits(activation):
  logits = built(model__activation=activation)[2]
  others = {"relu", "gelu", "swiglu"} - {activation}
  assert not any(np.allclose(logits, built(model__activation=o)[2]) for o in others)


def unstacked(params):
  """The parameters of two layers under the names that they have where unrolled."""
  split = {}
  for name, module in params.items():
    if "/layers/" not in name:
      split[name] = module
      continue
    for i in range(2):
      flat = name.replace("/layers/layer", f"/layer_{i}")
      split[flat] = {key: value[i] for key, value in module.items()}
  return split


def test_stacked_layers_equal_unrolled_layers():
  _, params, logits = built(model__layer_stack="always")
  unrolled, _, _ = built()
  split = unstacked(params)
  other = jax.jit(unrolled.model.apply)(split, None, TOKENS, POSITIONS)
  np.testing.assert_allclose(other, logits, rtol=1e-5, atol=1e-5)


def test_each_layer_has_random_features_of_its_own():
  changes = {"attention": "performer(features=8)", "position": "none"}
  _, params, logits = built(**changes, model__layer_stack="always")
  own, *others = (
    jax.jit(assemble(tiny_config(**{**changes, "attention": spec})).model.apply)(
      unstacked(params), None, TOKENS, POSITIONS
    )
    for spec in (changes["attention"], "performer(features=8, by_layer=False)")
  )
  np.testing.assert_allclose(logits, own, rtol=1e-4, atol=1e-4)
  assert not np.allclose(others[0], own, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("layer_stack", ["always", "never"])
def test_an_attention_knows_the_number_of_its_layer(layer_stack):
  """λ₀ of differential attention is 0.8 - 0.6 exp(-0.3 (l - 1)): 0.2, 0.3555."""
  experiment, params, logits = built(
    attention="differential", model__layer_stack=layer_stack
  )
  named = assemble(
    tiny_config(
      attention="differential(lambda_init=0.2),differential(lambda_init=0.3555090676)"
    )
  ).model
  expected = jax.jit(named.apply)(unstacked(params), None, TOKENS, POSITIONS)
  np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)
  np.testing.assert_allclose(
    decode(experiment, params, (3, 5)), logits, rtol=1e-4, atol=1e-4
  )


def test_auto_stacks_only_many_equal_layers():
  def stacked(**changes):
    params = jax.eval_shape(lambda: assemble(tiny_config(**changes)).init(0))
    return any("/layers/" in name for name in params)

  assert not stacked()
  assert stacked(model__num_layers=9)
  assert not stacked(model__num_layers=9, model__layer_stack="never")
  mixed = "standard,standard(num_kv_heads=1)"
  assert not stacked(model__layer_stack="always", attention=mixed)


@pytest.mark.parametrize("layer_stack", ["always", "never"])
def test_rematerialisation_does_not_change_gradients(layer_stack):
  results = []
  for rematerialise in (False, True):
    experiment = assemble(
      tiny_config(model__rematerialise=rematerialise, model__layer_stack=layer_stack)
    )
    params = fill(jax.eval_shape(lambda e=experiment: e.init(0)))

    def total(params, model=experiment.model):
      return (model.apply(params, None, TOKENS, POSITIONS) ** 2).sum()

    assert ("remat" in str(jax.make_jaxpr(jax.grad(total))(params))) == rematerialise
    results.append(jax.jit(jax.grad(total))(params))
  jax.tree.map(
    functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-3), *results
  )


def test_attention_pattern_repeats_over_layers():
  pattern = "standard(num_kv_heads=1)*2,standard"
  experiment = assemble(tiny_config(attention=pattern, model__num_layers=5))
  params = jax.eval_shape(lambda: experiment.init(0))
  widths = [
    params[f"decoder_only/layer_{i}/standard/key"]["w"].shape[1] for i in range(5)
  ]
  assert widths == [4, 4, 8, 4, 4]
  with pytest.raises(UserError, match="names 3 layers, but the model has 2"):
    assemble(tiny_config(attention=pattern))


@pytest.mark.parametrize("layer_stack", ["always", "never"])
def test_attention_weights_are_causal_and_sum_to_one(layer_stack):
  experiment, params, _ = built(model__layer_stack=layer_stack)
  layers = jax.jit(experiment.model.attention_weights)(params, None, TOKENS, POSITIONS)
  weights = layers[0] if layer_stack == "always" else jnp.stack([w for (w,) in layers])
  assert weights.shape == (2, 2, 2, 8, 8)  # [L, B, N, T, S]
  np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-5)
  assert np.triu(weights[0, 0, 0], k=1).max() == 0


def test_num_heads_must_divide_d_model():
  with pytest.raises(UserError, match="num_heads=3 does not divide d_model=8"):
    assemble(tiny_config(model__num_heads=3))


def test_unknown_choice_is_refused_with_nearest_choice():
  with pytest.raises(UserError, match="model.norm=prae: .*'pre'"):
    configs.validate(tiny_config(model__norm="prae"))
