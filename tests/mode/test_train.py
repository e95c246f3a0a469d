"""Training leaves what it promises, and stops where it has to."""

import itertools
import json
import shutil

import jax
import numpy as np
import pytest

from attention_lab.attention.base.attention import attentions
from attention_lab.conformance import leak
from attention_lab.dataset.base.dataset import datasets
from attention_lab.decode.sampler import make_sampler
from attention_lab.errors import UserError
from attention_lab.experiment import assemble
from attention_lab.mode import evaluate, sample, train
from attention_lab.nn.metrics import Measured, Sums
from attention_lab.position.base.position import positions
from attention_lab.training.preflight import sample_options
from tests.commands import records
from tests.parts import fill, tiny_config

QUIET = {"log__tensorboard": False, "model__num_layers": 1}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
  """A finished run with everything on, and what it printed."""
  workdir = tmp_path_factory.mktemp("runs") / "finished"
  config = tiny_config(
    steps=6, log__every=2, evaluation__every=4, checkpoint__every=3, checkpoint__keep=2
  )
  assert train.run(config, str(workdir)) == 0
  return workdir, config


def test_the_folder_holds_what_is_promised(finished):
  workdir, _ = finished
  names = {".lock", ".saved", "config.json", "metrics.jsonl", "summary.json"}
  names |= {"checkpoints", "tensorboard"}
  assert {path.name for path in workdir.iterdir()} == names
  assert any((workdir / "tensorboard").iterdir())


def test_the_summary_holds_what_is_promised(finished):
  workdir, _ = finished
  summary = json.loads((workdir / "summary.json").read_text())
  assert (summary["steps"], summary["sequence_length"]) == (6, 8)
  for split in ("train", "validation"):
    assert 0 < summary[split]["loss"] < 10
    assert 0 <= summary[split]["accuracy"] <= 1
  for key in ("parameters", "seconds", "tokens_per_second", "compile_seconds"):
    assert summary[key] > 0
  found = records(workdir)
  assert found[-1] == {"step": 6, "split": "validation", **summary["validation"]}


def test_the_metrics_come_when_they_are_due(finished):
  due = [(r["step"], r["split"]) for r in records(finished[0])]
  expected = [(2, "train"), (4, "train"), (4, "validation")]
  assert due == [*expected, (6, "train"), (6, "validation")]
  trained = records(finished[0])[0]
  assert set(trained) == {
    "step",
    "split",
    "loss",
    "accuracy",
    "grad_norm",
    "learning_rate",
  }


def test_the_configuration_can_be_run_again(finished):
  workdir, config = finished
  content = json.loads((workdir / "config.json").read_text())
  assert content["config"]["steps"] == config.steps
  provenance = content["provenance"]
  assert len(provenance["dataset_sha256"]) == 64
  assert provenance["versions"]["jax"] == jax.__version__
  assert len(provenance["devices"]) == jax.local_device_count()
  assert {"command", "git_commit", "platform"} < set(provenance)


def test_the_newest_checkpoints_and_the_best_are_kept(finished):
  steps = sorted(int(p.name[:9]) for p in (finished[0] / "checkpoints").iterdir())
  assert steps == [3, 6]


def test_evaluation_repeats_the_summarys_figures(finished, capsys):
  workdir, config = finished
  assert evaluate.run(config, str(workdir)) == 0
  summary = json.loads((workdir / "summary.json").read_text())
  evaluation = json.loads((workdir / "evaluation.json").read_text())
  printed = capsys.readouterr().out
  for split in ("train", "validation"):
    perplexity = np.exp(summary[split]["loss"])
    assert evaluation[split].pop("perplexity") == pytest.approx(perplexity)
    assert evaluation[split] == summary[split]
    assert f"{split}: loss {summary[split]['loss']:.4f}" in printed
  (workdir / "evaluation.json").unlink()


def test_a_figure_that_is_not_finite_is_told_by_its_name(finished, capsys, monkeypatch):
  workdir, config = finished
  zero = np.float32(0)
  sums = Measured(Sums(np.float32("nan"), zero, np.float32(1)), zero, zero, zero)
  monkeypatch.setattr(evaluate, "split_sums", lambda *args: [sums])
  assert evaluate.run(config, str(workdir)) == 0
  found = json.loads((workdir / "evaluation.json").read_text())["validation"]
  assert (found["loss"], found["perplexity"]) == ("nan", "nan")
  assert "validation: loss nan nats" in capsys.readouterr().out
  (workdir / "evaluation.json").unlink()


def test_samples_continue_the_prompt(finished, capsys):
  workdir, config = finished
  config = config.copy_and_resolve_references()
  config.sample.update(prompt="abc|", length=5, count=2, seed=3)
  texts = []
  for _ in range(2):
    assert sample.run(config, str(workdir)) == 0
    texts.append(capsys.readouterr().out)
  assert texts[0] == texts[1]
  first, second = texts[0].split()
  assert first.startswith("[abc|]")
  assert len(first) == len(second) == 9 + 2
  assert first != second


def test_a_prompt_with_unknown_characters_is_refused(finished):
  workdir, config = finished
  config = config.copy_and_resolve_references()
  config.sample.prompt = "é"
  with pytest.raises(UserError, match="'é' is not in this dataset's vocabulary"):
    sample.run(config, str(workdir))


SMALL = "sequence_length=8, validation_examples=8"
DATASETS = {
  "associative_recall": f"pairs=2, vocabulary_size=16, {SMALL}",
  "compression": None,  # tests/architecture/test_autoencoder.py trains on it.
  "compositional_recall": None,  # associative_recall has the same code.
  "copy": None,  # The mixture is of it.
  "flip_flop": None,  # dyck counts some next tokens as well.
  "forgetting_recall": None,  # associative_recall has the same code.
  "fuzzy_recall": None,  # dyck counts some next tokens as well.
  "group_words": None,  # parity has running targets, too.
  "listops": "sequence_length=16, validation_examples=8",
  "majority": None,  # tests/architecture/test_encoder.py trains on it.
  "markov_chains": None,  # dyck and induction are next tokens, too.
  "masked": f"of='copy({SMALL})'",
  "memorisation": None,  # parity has running targets, too.
  "mixture": f"of=('copy({SMALL})', 'copy({SMALL}, seed=1)')",
  "ngram_induction": None,  # induction counts the last token alone as well.
  "noisy_recall": None,  # dyck counts some next tokens as well.
  "parity": f"running=True, {SMALL}",
  "parallel_text": None,  # It needs files; tests/test_shapes.py trains on the like.
  "python_docs": "sequence_length=64, test_fraction=0.01",
  "selective_copying": f"letters=2, {SMALL}",
  "text_classification": None,  # It needs files; majority has labels as well.
  "digits": "permuted=True",
  "needle": "sequence_length=56, depths=2, validation_examples=8",
  "text": None,  # It needs a file; python_docs is text as well.
  "tokens": None,  # It needs files; tests/dataset/test_tokens.py trains on some.
  "variable_assignment": None,  # parity is a label of the last token as well.
  "shakespeare": None,  # It needs a download.
}


KNOWN = {"skip_checks": True}  # The same model has passed them.


def every_part():
  """Run that together have every attention, positional scheme and dataset in them, two
  attentions in each: a layer of either."""
  # What fewest can take goes first.
  places = sorted(positions, key=lambda p: "bias" in positions[p].acts(), reverse=True)
  encoders = {"architecture.name": "encoder", "dataset": "masked"}
  data = [n for n in datasets if DATASETS.get(n, SMALL) and n not in encoders.values()]
  data.sort(key="python_docs".__eq__)  # The first pair takes the longest examples.
  causal = [a for a in attentions if "causal" in attentions[a].kinds]
  # Those that honour the same follow each other, and come in pairs.
  causal.sort(key=lambda a: attentions[a].honours, reverse=True)
  for pair in itertools.zip_longest(causal[::2], causal[1::2], fillvalue="standard"):
    honours = set.intersection(*(set(attentions[a].honours) for a in pair))
    fits = [p for p in positions if positions[p].acts() <= {"embed", *honours}]
    position = next((p for p in places if p in fits), fits[0])
    places = [p for p in places if p != position]
    dataset = data.pop() if data else "reverse"
    yield {"attention": ",".join(pair), "position": position, "dataset": dataset}
  others = ",".join(a for a in attentions if a not in causal)
  yield {"attention": others, **encoders}
  for dataset in data:  # More datasets than pairs of attentions.
    yield {"attention": "standard", "position": "none", "dataset": dataset} | KNOWN
  assert not places, f"no attention is left for {places}"


@pytest.mark.parametrize(
  "parts", list(every_part()), ids=lambda parts: "-".join(map(str, parts.values()))
)
def test_every_part_passes_the_leak_check_trains_evaluates_and_samples(
  parts, tmp_path, capsys, monkeypatch
):
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
  monkeypatch.setattr(leak, "SECONDS", 0.0)  # Of long sequences, few cuts.
  config = tiny_config(position="none", steps=1, skip_checks=False, **QUIET)
  config.update_from_flattened_dict(parts)
  config.model.num_layers = parts["attention"].count(",") + 1
  config.dataset = f"{parts['dataset']}({DATASETS.get(parts['dataset'], SMALL)})"
  config.sample.length = 2
  config.train.optimizer = "sgd"  # Of fewest programs.
  workdir = str(tmp_path / "run")
  assert train.run(config, workdir) == 0
  assert evaluate.run(config, workdir) == 0  # From the checkpoint.
  if "architecture.name" not in parts:
    capsys.readouterr()
    assert sample.run(config, workdir) == 0
    assert capsys.readouterr().out.strip()


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
  config = tiny_config(steps=400, log__every=5, checkpoint__every=5, **QUIET)
  config.train.update(
    optimizer="sgd", schedule="constant", learning_rate=1e15, clip_norm=0.0
  )
  with pytest.raises(UserError, match=r"At step (\d+) the loss is") as error:
    train.run(config, str(tmp_path / "run"))
  message = str(error.value)
  assert "training stopped before that step" in message
  assert "learning_rate" in message
  assert "\n" not in message
  event = records(tmp_path / "run")[-1]
  assert event["event"] == "not_finite"
  assert f"At step {event['step']} " in message
  for path in (tmp_path / "run" / "checkpoints").glob("*.npz"):
    with np.load(path) as arrays:
      assert all(np.isfinite(a).all() for n, a in arrays.items() if ".params" in n)


def test_a_batch_that_does_not_divide_is_refused_before_anything_is_written(tmp_path):
  with pytest.raises(UserError, match="over 8 devices. Take --batch_size=8"):
    train.run(tiny_config(batch_size=7), str(tmp_path / "run"))
  assert not (tmp_path / "run").exists()


def test_data_that_changed_since_is_refused(finished, monkeypatch):
  workdir, config = finished
  kind = "attention_lab.dataset.copy.Copy.fingerprint"
  monkeypatch.setattr(kind, property(lambda self: "0" * 64))
  for mode in (train, evaluate):
    with pytest.raises(UserError, match="The data has changed since the run"):
      mode.run(config, str(workdir))


def test_samples_of_learned_positions_end_with_them():
  config = tiny_config(
    position="learned", sample__length=500, sample__context="extend", **QUIET
  )
  experiment = assemble(config)
  params = fill(jax.eval_shape(lambda: experiment.init(0)))
  clipped = make_sampler(
    experiment, *sample_options(config), clip=True
  )  # As training ends.
  (text,) = clipped(params)
  assert len(text) == 2 + 8 + 1  # Nothing follows the last one.
  with pytest.raises(UserError, match="more than the 8 positions"):
    make_sampler(experiment, *sample_options(config))


def test_samples_go_on_where_the_context_ends(finished, capsys):
  """By default, also with positions that are learned; a longer prompt is cut, and told."""
  workdir, config = finished
  config = config.copy_and_resolve_references()
  config.sample.update(prompt="abcdefgh" * 2, length=100)
  assert sample.run(config, str(workdir)) == 0
  out, err = capsys.readouterr()
  assert out.startswith("[abcdefghabcdefgh]")
  assert len(out.strip()) == 2 + 16 + 100
  assert "The prompt has 16 tokens, and the model was trained on 8: the last 8" in err
  config = tiny_config(position="learned", sample__length=30, **QUIET)
  experiment = assemble(config)
  params = fill(jax.eval_shape(lambda: experiment.init(0)))
  (text,) = make_sampler(experiment, *sample_options(config))(params)
  assert len(text.partition("]")[2]) == 30


def test_bfloat16_trains_in_bfloat16_and_keeps_float32(finished, tmp_path):
  config = finished[1].copy_and_resolve_references()
  config.train.precision = "bfloat16"
  assert train.run(config, str(tmp_path / "run")) == 0
  loss, exact = (records(run)[-1]["loss"] for run in (tmp_path / "run", finished[0]))
  assert loss != exact
  assert loss == pytest.approx(exact, rel=0.05)
  path = max((tmp_path / "run" / "checkpoints").iterdir())
  with np.load(path) as arrays:
    assert {a.dtype.name for n, a in arrays.items() if ".params" in n} == {"float32"}


def test_where_all_checkpoints_are_damaged_nothing_is_written(finished, tmp_path):
  shutil.copytree(finished[0], tmp_path / "run")
  for path in (tmp_path / "run" / "checkpoints").iterdir():
    path.write_bytes(path.read_bytes()[:-9])
  before = {p: p.read_bytes() for p in (tmp_path / "run").glob("*.json*")}
  with pytest.raises(UserError, match="is damaged. Nothing was removed"):
    train.run(finished[1], str(tmp_path / "run"))
  assert {p: p.read_bytes() for p in (tmp_path / "run").glob("*.json*")} == before


def test_a_disk_that_is_too_small_is_refused_before_the_first_step(
  tmp_path, monkeypatch
):
  free = (10**9, 0, 10_000)
  monkeypatch.setattr("attention_lab.run.disk_space.shutil.disk_usage", lambda _: free)
  with pytest.raises(UserError, match="MB free, and the checkpoints to come take"):
    train.run(tiny_config(**QUIET), str(tmp_path / "run"))
  assert not (tmp_path / "run" / "config.json").exists()
