"""Tests of the encoder: bidirectional attention, pooling, and what it refuses."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention_lab.architecture.base.architecture import Architecture
from attention_lab.attention.base.attention import attentions
from attention_lab.dataset.base.dataset import datasets
from attention_lab.errors import UserError
from attention_lab.experiment import assemble
from attention_lab.kernel.mask import default_positions
from attention_lab.mode import benchmark, evaluate, sample, train
from tests import commands
from tests.commands import records
from tests.parts import fill, tiny_config

DATASET = "majority(sequence_length=8, validation_examples=8)"
ENCODER = {"architecture__name": "encoder", "dataset": DATASET, "position": "learned"}
POOLED = "encoder(head='pooled')"
TOKENS = jnp.asarray(np.random.default_rng(0).integers(4, size=(2, 8)), jnp.int32)
POSITIONS = default_positions(TOKENS)
PADDED = jnp.array([[-1, -1, 0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, -1, -1, -1]], jnp.int32)
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def encoder_config(**changes):
  return tiny_config(**{**ENCODER, **changes})


@functools.lru_cache
def built(**changes):
  """Return a tiny encoder's jitted `apply`, and large random parameters."""
  experiment = assemble(encoder_config(**changes))
  params = fill(jax.eval_shape(lambda: experiment.init(0)))
  return jax.jit(experiment.model.apply), params


def influence(architecture, **changes):
  """Return the effect [T, T] of changing each token on the logits of each position."""
  apply, params = built(architecture__name=architecture, **changes)
  logits = apply(params, None, TOKENS, None)
  changed = [
    apply(params, None, TOKENS.at[:, t].set((TOKENS[:, t] + 1) % 4), None)
    for t in range(8)
  ]
  return np.abs(np.stack(changed) - np.asarray(logits)[None]).max(axis=(1, 3))


@pytest.mark.parametrize("attention", ["standard", "fourier", "nystrom", "linformer"])
def test_every_token_attends_to_every_token(attention):
  assert influence("encoder", attention=attention).min() > 1e-4


def test_decoder_does_not_attend_to_future_tokens():
  assert np.tril(influence("decoder_only"), k=-1).max() == 0


@pytest.mark.parametrize("architecture", ["encoder", POOLED])
@pytest.mark.parametrize("attention", ["standard", "fourier", "nystrom", "linformer"])
def test_padding_content_is_ignored(architecture, attention):
  apply, params = built(architecture__name=architecture, attention=attention)
  real = np.asarray(PADDED >= 0)
  logits = np.asarray(apply(params, None, TOKENS, PADDED))[real]
  other = jnp.where(real, TOKENS, (TOKENS + 1) % 4)
  np.testing.assert_array_equal(
    np.asarray(apply(params, None, other, PADDED))[real], logits
  )
  changed = jnp.where(real, (TOKENS + 1) % 4, TOKENS)
  assert not np.allclose(np.asarray(apply(params, None, changed, PADDED))[real], logits)


@pytest.mark.parametrize("architecture", ["encoder", POOLED])
def test_padding_does_not_change_logits(architecture):
  apply, params = built(architecture__name=architecture)
  padded = apply(params, None, TOKENS, PADDED)
  np.testing.assert_allclose(
    padded[0, 2:], apply(params, None, TOKENS[:1, 2:], None)[0], **CLOSE
  )
  np.testing.assert_allclose(
    padded[1, :5], apply(params, None, TOKENS[1:, :5], None)[0], **CLOSE
  )


def test_pooled_logits_are_mean_of_token_logits():
  # The head is linear: the mean of the logits equals the logits of the mean.
  pooled, params = built(architecture__name=POOLED)
  tokens, _ = built()
  for positions in (None, PADDED):
    each = np.asarray(tokens(params, None, TOKENS, positions))
    logits = np.asarray(pooled(params, None, TOKENS, positions))
    assert logits.shape == (2, 8, 4)
    for b in range(2):
      real = np.ones(8, bool) if positions is None else np.asarray(positions[b] >= 0)
      expected = np.tile(each[b, real].mean(axis=0), (8, 1))
      np.testing.assert_allclose(logits[b], expected, **CLOSE)


def test_gradients_of_padding_alone_are_finite():
  apply, params = built(architecture__name=POOLED)
  padding = jnp.full_like(POSITIONS, -1)
  gradient = jax.grad(lambda p: (apply(p, None, TOKENS, padding) ** 2).sum())(params)
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_stacking_and_rematerialisation_do_not_change_gradients():
  _, params = built()
  stacked = {}
  for name, module in params.items():
    if "/layer_1" in name:
      continue
    if "/layer_0" in name:
      other = params[name.replace("layer_0", "layer_1")]
      both = {key: jnp.stack([module[key], other[key]]) for key in module}
      stacked[name.replace("/layer_0", "/layers/layer")] = both
    else:
      stacked[name] = module
  results = []
  for initial, changes in (
    (params, {}),
    (params, {"model__rematerialise": True}),
    (stacked, {"model__layer_stack": "always"}),
  ):
    model = assemble(encoder_config(**changes)).model

    def total(params, model=model):
      return (model.apply(params, None, TOKENS, None) ** 2).sum()

    value, gradient = jax.jit(jax.value_and_grad(total))(initial)
    table = gradient["encoder/token_embedding"]["embeddings"]
    results.append((value, table))
  for value, table in results[1:]:
    np.testing.assert_allclose(value, results[0][0], rtol=1e-4)
    np.testing.assert_allclose(table, results[0][1], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kernel", ["blocked", "xla"])
def test_kernels_give_the_same_logits(kernel):
  apply, params = built()
  other, _ = built(kernel=kernel)
  for positions in (None, PADDED):
    expected = apply(params, None, TOKENS, positions)
    actual = other(params, None, TOKENS, positions)
    real = np.ones((2, 8), bool) if positions is None else np.asarray(positions >= 0)
    np.testing.assert_allclose(actual[real], expected[real], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("layer_stack", ["always", "never"])
def test_attention_weights_are_bidirectional(layer_stack):
  experiment = assemble(encoder_config(model__layer_stack=layer_stack))
  params = fill(jax.eval_shape(lambda: experiment.init(0)))
  layers = jax.jit(experiment.model.attention_weights)(params, None, TOKENS, POSITIONS)
  weights = layers[0] if layer_stack == "always" else jnp.stack([w for (w,) in layers])
  assert weights.shape == (2, 2, 2, 8, 8)  # [L, B, N, T, S]
  np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-5)
  assert weights.min() > 0


def test_encoder_learns_majority(tmp_path):
  config = encoder_config(
    architecture__name=POOLED, position="none", steps=60, log__every=20, batch_size=32
  )
  config.log.tensorboard = False
  config.train.update(learning_rate=0.02, schedule="constant")
  assert train.run(config, str(tmp_path)) == 0
  losses = [r["loss"] for r in records(tmp_path) if r["split"] == "train"]
  assert losses[-1] < 0.7 * losses[0]
  assert losses[-1] < 1.0  # Uniform predictions have ln 4 = 1.39.


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
  """Folder and configuration of a finished run."""
  workdir = tmp_path_factory.mktemp("runs") / "encoder"
  config = encoder_config(steps=2, model__num_layers=1)
  assert train.run(config, str(workdir)) == 0
  return workdir, config


def test_run_writes_summary_tensorboard_and_evaluation(finished):
  workdir, config = finished
  summary = json.loads((workdir / "summary.json").read_text())
  assert summary["flops_per_second"] > 0
  assert summary["leak_check"] == "not applicable"
  assert any((workdir / "tensorboard").iterdir())
  assert evaluate.run(config, str(workdir)) == 0
  evaluation = json.loads((workdir / "evaluation.json").read_text())
  loss = summary["validation"]["loss"]
  assert evaluation["validation"].pop("perplexity") == pytest.approx(np.exp(loss))
  assert evaluation["validation"] == summary["validation"]


def test_sampling_is_refused(finished):
  workdir, config = finished
  with pytest.raises(
    UserError, match="generates no text. Use --mode=evaluate"
  ) as error:
    sample.run(config, str(workdir))
  assert "\n" not in str(error.value)


@pytest.mark.parametrize("dataset", ["copy", "python_docs"])
def test_dataset_of_next_tokens_is_refused(dataset):
  with pytest.raises(UserError) as error:
    assemble(encoder_config(dataset=dataset))
  message = str(error.value)
  assert f"--dataset={dataset} are next_token" in message
  learnt = [name for name in datasets if {"labels", "masked"} & {*datasets[name].tasks}]
  assert {"majority", "masked"} <= {*learnt}
  assert "Use --architecture=decoder_only" in message
  assert message.endswith(f"one of the datasets {', '.join(learnt)}.")
  assert "\n" not in message


def test_decoder_accepts_dataset_of_labels():
  assert assemble(encoder_config(architecture__name="decoder_only")).decodes


def test_attention_for_causal_models_only_is_refused():
  one_way = type("Standard", (attentions["standard"],), {"kinds": ("causal",)})
  refused = pytest.raises(UserError, match="'standard' is causal, but .* bidirectional")
  with attentions.registered(one_way, "standard"), refused:
    assemble(encoder_config())


def test_architecture_that_decodes_must_define_extend():
  with pytest.raises(TypeError, match="Incomplete must define extend, or set decodes"):
    type("Incomplete", (Architecture,), {})
  assert type("Bidirectional", (Architecture,), {"decodes": False})


def test_decode_methods_of_encoder_raise():
  model = assemble(encoder_config()).model
  with pytest.raises(TypeError, match="Encoder does not decode"):
    model.initial_state({}, None, 1, 8, jnp.float32)
  with pytest.raises(TypeError, match="Encoder does not decode"):
    model.extend({}, None, TOKENS, None, POSITIONS)


def test_benchmark_of_encoder_has_no_decoding(tmp_path):
  config = encoder_config(
    attention="fourier",
    benchmark__sequence_lengths=(4, 20),
    benchmark__rounds=1,
    train__steps_per_call=2,
    model__num_layers=1,
  )
  assert benchmark.run(config, str(tmp_path)) == 0
  result = json.loads((tmp_path / "benchmark.json").read_text())
  found = {(r["attention"], r["kind"], r["length"]) for r in result["records"]}
  kinds = ("forward", "gradient")
  expected = {("fourier", kind, length) for kind in kinds for length in (4, 20)}
  assert found == expected | {("fourier", "step", 8)}
  assert {trend["kind"] for trend in result["trends"]} == set(kinds)


def test_benchmark_refuses_dataset_before_measuring(tmp_path, monkeypatch):
  monkeypatch.setattr(benchmark, "matmul_peak", None)  # It must not be called.
  with pytest.raises(UserError, match="targets of --dataset=copy are next_token"):
    benchmark.run(encoder_config(dataset="copy"), str(tmp_path))


def test_encoder_trains_from_the_command_line(tmp_path):
  words = [word for word in commands.TINY if not word.startswith("--dataset")]
  words += ["--architecture=encoder", "--attention=fourier", f"--dataset={DATASET}"]
  workdir = f"--workdir={tmp_path / 'run'}"
  status, out, err = commands.run(*words, "--position=none", "--steps=2", workdir)
  assert (status, err) == (0, "")
  assert "fourier attention" in out
  assert "sample" not in out
