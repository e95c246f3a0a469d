"""Tests of the encoder-decoder: equations, masks, decoding, options and runs."""

import functools
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention_lab import config as configs
from attention_lab import functional
from attention_lab.conformance.functions import in_chunks
from attention_lab.dataset.base.dataset import datasets
from attention_lab.decode.sampler import make_sampler
from attention_lab.errors import UserError
from attention_lab.experiment import assemble
from attention_lab.kernel.mask import default_positions
from attention_lab.mode import benchmark, evaluate, sample, train
from attention_lab.norm.layer_norm import EPSILON
from attention_lab.training.preflight import sample_options
from tests.commands import records
from tests.parts import count, fill, tiny_config

PAIRS = {"architecture__name": "encoder_decoder", "position": "sinusoidal"}
SOURCE = jnp.array([[0, 5, 2, -1, -1], [3, 1, 7, 4, 6]], jnp.int32)
TOKENS = jnp.asarray(np.random.default_rng(0).integers(8, size=(2, 4)), jnp.int32)
POSITIONS = default_positions(TOKENS)
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


EVERY_TWO = {"log__every": 2, "evaluation__every": 2, "checkpoint__every": 2}


def pairs_config(**changes):
  return tiny_config(**{**PAIRS, **changes})


def attention_of(params, name):
  """Return the matrices of a standard attention as `functional` takes them."""
  matrices = [params[f"{name}/{role}"]["w"] for role in ("query", "key", "value")]
  return functional.AttentionParameters(*matrices, params[f"{name}/output"]["w"])


def equations_parameters(params, layers=2):
  """Return the model's parameters as `transformer_forward_pass` takes them."""
  table = params["encoder_decoder/token_embedding"]["embeddings"]

  def norm(name):
    return functional.NormParameters(params[name]["scale"], params[name]["offset"])

  def ffn(name):
    first, last = (params[f"{name}/feed_forward_{end}"] for end in ("in", "out"))
    return functional.FeedForwardParameters(
      first["w"], first["b"], last["w"], last["b"]
    )

  def encoder_layer(name):
    return functional.EncoderLayerParameters(
      attention_of(params, f"{name}/standard"),
      norm(f"{name}/attention_norm"),
      ffn(name),
      norm(f"{name}/feed_forward_norm"),
    )

  def decoder_layer(name):
    return functional.DecoderLayerParameters(
      attention_of(params, f"{name}/standard"),
      norm(f"{name}/attention_norm"),
      attention_of(params, f"{name}/standard_1"),
      norm(f"{name}/cross_attention_norm"),
      ffn(name),
      norm(f"{name}/feed_forward_norm"),
    )

  return functional.TransformerParameters(
    table,
    table,
    tuple(encoder_layer(f"encoder_decoder/encoder_layer_{i}") for i in range(layers)),
    tuple(decoder_layer(f"encoder_decoder/decoder_layer_{i}") for i in range(layers)),
    table.T,
  )


def test_model_computes_the_equations_of_the_paper(in_float64):
  config = pairs_config(
    model__norm="post",
    model__norm_offset=True,
    model__feed_forward_bias=True,
    model__activation="relu",
  )
  experiment = assemble(config)
  params = fill(jax.eval_shape(lambda: experiment.init(0)))
  params = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), params)
  actual = jax.jit(experiment.model.apply)(params, None, TOKENS, None, SOURCE)
  expected = functional.transformer_forward_pass(
    jnp.maximum(SOURCE, 0),
    TOKENS,
    equations_parameters(params),
    SOURCE >= 0,
    h=config.model.num_heads,
    eps=EPSILON,
  )
  np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-10)


@functools.lru_cache
def built(**changes):
  """Return a tiny model, its jitted `apply`, and large random parameters."""
  experiment = assemble(pairs_config(**changes))
  params = fill(jax.eval_shape(lambda: experiment.init(0)))
  return experiment.model, jax.jit(experiment.model.apply), params


def logits(tokens=TOKENS, source=SOURCE, **changes):
  _, apply, params = built(**changes)
  return np.asarray(apply(params, None, tokens, None, source))


def differ(logits, others):
  """Return a bool array [B, T], True where logits [B, T, V] differ."""
  return np.abs(others - logits).max(axis=-1) > 1e-4


MIXED = {
  "attention": "standard",
  "architecture__encoder__attention": "linformer",
  "architecture__decoder__attention": "sliding_window(window=2)",
  "architecture__cross__attention": "linear",
}


@pytest.mark.parametrize("changes", [{}, MIXED], ids=["standard", "mixed"])
def test_logits_depend_on_past_but_not_on_future_tokens(changes):
  later = TOKENS.at[:, 2].set((TOKENS[:, 2] + 1) % 8)
  changed = differ(logits(**changes), logits(later, **changes))
  np.testing.assert_array_equal(changed[:, :2], False)
  assert changed[:, 2:].any()


@pytest.mark.parametrize("token", range(5))
def test_logits_depend_on_every_source_token_but_not_on_padding(token):
  other = SOURCE.at[:, token].set(jnp.where(SOURCE[:, token] < 0, -7, 0))
  same = (SOURCE[:, token] < 0) | (SOURCE[:, token] == 0)
  changed = differ(logits(), logits(source=other))
  np.testing.assert_array_equal(changed.all(axis=1), ~np.asarray(same))
  np.testing.assert_array_equal(changed.any(axis=1), ~np.asarray(same))


def test_padding_of_source_does_not_change_logits():
  alone = logits(TOKENS[:1], SOURCE[:1, :3])
  np.testing.assert_allclose(logits()[:1], alone, **CLOSE)


def test_source_of_padding_alone_gives_finite_gradients():
  _, apply, params = built()

  def total(params):
    return jnp.sum(apply(params, None, TOKENS, None, jnp.full((2, 5), -1)))

  value, grads = jax.value_and_grad(total)(params)
  assert np.isfinite(value)
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))


@pytest.mark.parametrize(
  "changes",
  [
    {},
    {"attention": "linear", "position": "rope"},
    {"attention": "selective", "position": "rope"},
    {"attention": "latent", "model__norm": "post"},
    {"model__layer_stack": "always", "model__rematerialise": True},
    {"position": "randomized(of='rope', longest=16)"},
    MIXED,
  ],
  ids=lambda changes: "-".join(map(str, changes.values()))[:30] or "default",
)
@pytest.mark.parametrize("chunks", [(1,) * 4, (3, 1)])
def test_decoding_in_chunks_equals_full_pass(changes, chunks):
  model, _, params = built(**changes)
  start = jax.jit(model.initial_state, static_argnums=(1, 2, 3, 4))
  state = start(params, None, 2, 6, jnp.float32, SOURCE)
  extend = functools.partial(jax.jit(model.extend), params, None)
  decoded = in_chunks(extend, state, TOKENS, POSITIONS, chunks)
  np.testing.assert_allclose(decoded, logits(**changes), rtol=1e-3, atol=1e-4)


def test_stacked_layers_equal_unrolled_layers():
  model, _, params = built()
  stacked = {}
  for name, module in params.items():
    if "_layer_0" in name:
      both = zip(
        module.items(), params[name.replace("r_0", "r_1")].items(), strict=True
      )
      merged = {key: jnp.stack([a, b]) for (key, a), (_, b) in both}
      side = name.split("/")[1].removesuffix("_0")
      stacked[name.replace(f"{side}_0", f"{side}s/{side}")] = merged
    elif "_layer_1" not in name:
      stacked[name] = module
  other, apply, expected = built(model__layer_stack="always")
  assert jax.tree.map(jnp.shape, stacked) == jax.tree.map(jnp.shape, expected)
  np.testing.assert_allclose(
    apply(stacked, None, TOKENS, None, SOURCE), logits(), **CLOSE
  )
  maps = [
    jax.jit(m.attention_weights)(p, None, TOKENS, POSITIONS, SOURCE)
    for m, p in ((model, params), (other, stacked))
  ]
  for place, (queries, contexts) in {
    "encoder": (5, 5),
    "decoder": (4, 4),
    "cross": (4, 5),
  }.items():
    unrolled = np.stack([layer[0] for layer in maps[0][place]])
    assert unrolled.shape == (2, 2, 2, queries, contexts)
    np.testing.assert_allclose(maps[1][place][0], unrolled, **CLOSE)


def test_each_place_uses_its_attention():
  names = "\n".join(built(**MIXED)[2])
  assert "encoder_layer_0/linformer" in names
  assert "decoder_layer_1/sliding_window" in names
  assert "decoder_layer_1/linear" in names
  assert "standard" not in names


def test_source_and_target_may_have_separate_embeddings():
  separate = "encoder_decoder(shared_embedding=False)"
  names = {name.split("/")[1] for name in built(architecture__name=separate)[2]}
  assert {"token_embedding", "source_embedding"} < names
  assert "source_embedding" not in {name.split("/")[1] for name in built()[2]}


def test_embeddings_are_scaled_by_root_of_d_model():
  plain = "encoder_decoder(scaled_embeddings=False)"
  _, apply, params = built(architecture__name=plain)
  table = "encoder_decoder/token_embedding"
  scaled = {**params, table: {"embeddings": 8**0.5 * params[table]["embeddings"]}}
  # The output uses the same table without the factor.
  np.testing.assert_allclose(
    apply(scaled, None, TOKENS, None, SOURCE) / 8**0.5, logits(), **CLOSE
  )


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"dataset": "induction"}, "learns pairs, but .*, or one of the datasets copy, "),
    ({"attention": "linformer"}, "'linformer' is bidirectional.*needs causal"),
    (
      {"architecture__cross__attention": "sliding_window"},
      "'sliding_window' is .*needs cross attention. Use one of: .*standard",
    ),
    (
      {"attention": "sliding_window"},
      r"needs cross .* in one place only, set --config.architecture.cross.attention=\.\.\.",
    ),
    (
      {
        "architecture__name": "decoder_only",
        "architecture__cross__attention": "linear",
      },
      r"architecture.cross.attention=linear: .* no such place, only decoder\.",
    ),
  ],
)
def test_incompatible_configuration_is_refused_in_one_line(changes, message):
  with pytest.raises(UserError, match=message) as error:
    assemble(pairs_config(**changes))
  assert "\n" not in str(error.value)


def test_only_attentions_in_causal_places_are_checked_for_leaks():
  assert set(assemble(pairs_config(**MIXED)).causal) == {"sliding_window(window=2)"}
  assert set(assemble(pairs_config()).causal) == {"standard"}
  encoder = {"architecture__name": "encoder", "dataset": "majority"}
  assert not assemble(pairs_config(**encoder)).causal


def test_benchmark_measures_attention_in_its_place(tmp_path):
  others = {"architecture__decoder__attention": "standard"}
  others |= {"architecture__cross__attention": "standard"}
  config = pairs_config(
    attention="linformer",
    model__num_layers=1,
    benchmark__sequence_lengths=(4,),
    benchmark__rounds=1,
    train__steps_per_call=2,
    **others,
  )
  assert benchmark.run(config, str(tmp_path)) == 0
  found = json.loads((tmp_path / "benchmark.json").read_text())["records"]
  kinds = ("forward", "gradient", "step")  # The encoder does not decode.
  assert [(r["attention"], r["kind"]) for r in found] == [
    ("linformer", k) for k in kinds
  ]


@pytest.mark.parametrize(
  ("name", "d_model", "d_ff", "parameters"),
  [("", 512, 2048, 63_045_632), ("_big", 1024, 4096, 214_171_648)],
)
def test_paper_models_have_expected_parameter_counts(name, d_model, d_ff, parameters):
  config = configs.load_file(f"experiments/attention_is_all_you_need{name}.py")
  configs.validate(config)
  assert config.train.learning_rate == pytest.approx((d_model * 4000) ** -0.5)
  attention, norm = 4 * d_model**2, 2 * d_model
  encoder = attention + 2 * norm + (2 * d_model * d_ff + d_ff + d_model)
  expected = 37_000 * d_model + 6 * (2 * encoder + attention + norm)
  assert count(config) == expected == parameters


def test_datasets_of_pairs_are_registered():
  offered = [name for name in datasets if "pairs" in datasets[name].tasks]
  assert {"copy", "parallel_text", "random_pairs"} < set(offered)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
  """Folder and configuration of a finished run."""
  workdir = tmp_path_factory.mktemp("runs") / "pairs"
  config = pairs_config(**EVERY_TWO)
  assert train.run(config, str(workdir)) == 0
  return workdir, config


def test_finished_run_evaluates_and_translates(finished, capsys):
  workdir, config = finished
  assert evaluate.run(config, str(workdir)) == 0
  found = json.loads((workdir / "evaluation.json").read_text())
  assert 0 <= found["validation"]["sequence_accuracy"] <= 1
  assert found["validation"]["perplexity"] == pytest.approx(
    np.exp(found["validation"]["loss"])
  )
  capsys.readouterr()
  (workdir / "lines").write_text("abcd\nhgfe\n")
  config = config.copy_and_resolve_references()
  config.sample.update(input_file=str(workdir / "lines"), count=2)
  assert sample.run(config, str(workdir)) == 0
  answers = capsys.readouterr().out.split("\n\n")
  assert [len(a.split("\n")) for a in answers[:2]] == [2, 2]
  assert all(len(text) == 4 for a in answers for text in a.split())
  (workdir / "lines").unlink()


def test_resumed_run_equals_uninterrupted_run(finished, tmp_path):
  workdir, config = finished
  shutil.copytree(workdir, tmp_path / "run")
  for path in (tmp_path / "run" / "checkpoints").glob("*4-*"):
    path.unlink()
  assert train.run(config, str(tmp_path / "run")) == 0
  assert records(tmp_path / "run") == records(workdir)


@pytest.mark.parametrize(
  ("changes", "setting"),
  [
    ({"sample__temperature": 0.5}, "temperature=0.5: this run translates"),
    (
      {"architecture__name": "decoder_only", "sample__beam_size": 2},
      "beam_size=2: this run continues texts",
    ),
  ],
)
def test_settings_of_other_decoding_mode_are_refused(changes, setting):
  config = pairs_config(**changes)
  with pytest.raises(UserError, match=setting):
    make_sampler(assemble(config), *sample_options(config))
