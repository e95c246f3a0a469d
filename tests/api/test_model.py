"""A trained model, from memory or from a folder: logits, texts, weights, metrics."""

import json
import warnings

import jax
import numpy as np
import pytest

import attention_lab as al
from attention_lab.api import check, load
from attention_lab.errors import UserError
from tests.api.cells import LEAKY, MINE, define


@pytest.fixture(scope="module")
def model(trained):
  return trained.result.model


def test_logits_are_those_of_the_next_tokens(model):
  tokens = model.encode("ab|ab")
  assert (tokens.dtype, model.decode(tokens)) == (np.int32, "ab|ab")
  logits = model.logits(tokens)
  assert (logits.shape, logits.dtype) == ((5, 9), np.float32)
  batch = model.logits(np.stack([tokens, tokens[::-1]]))
  np.testing.assert_array_equal(batch[0], logits)
  greedy = model.generate("ab|", length=1, temperature=0).text
  assert model.decode([int(logits[2].argmax())]) == greedy


@pytest.mark.parametrize(
  ("tokens", "source", "message"),
  [
    ("ab", None, "tokens: expected integers [T] or [B, T], got <U2[]"),
    ([0.5], None, "got float64[1]"),
    ([[[0]]], None, "got int64[1, 1, 1]"),
    ([9], None, "tokens: take numbers from 0 to 8"),
    (np.zeros(0, int), None, "take 1 or more tokens, not 0"),
    ([0], [0], "This model takes tokens alone"),
  ],
)
def test_what_are_no_tokens_is_refused(model, tokens, source, message):
  with pytest.raises(UserError) as error:
    model.logits(tokens, source)
  assert message in str(error.value)


def test_texts_are_generated_from_prompts(model):
  several = model.generate(["ab|", "a|"], length=3, count=2, seed=1)
  assert [each.prompt for each in several.samples] == ["ab|", "a|"]
  assert all(len(text) == 3 for each in several.samples for text in each.texts)
  again = al.sample(model, ["ab|", "a|"], length=3, count=2, seed=1)
  assert again == several
  assert several.text == several.samples[0].texts[0]
  assert str(several).split("\n\n")[0] == "ab|" + several.text
  assert several._repr_html_().count("<b>ab|</b>") == 2


@pytest.mark.parametrize(
  ("prompt", "options", "message"),
  [
    ("", {}, "prompt is empty"),
    ("?", {}, "The character '?' is not"),
    ("a", {"length": 0}, "length=0: take a number above 0"),
    ("a", {"top_p": 2.0}, "top_p=2.0: take 1 or less"),
    ("a", {"beam_size": 3}, "beam_size=3: this run continues texts by sampling"),
    ("a", {"lenght": 3}, "no option 'lenght'. Did you mean 'length'?"),
  ],
)
def test_mistakes_of_sampling_name_its_options(model, prompt, options, message):
  with pytest.raises(UserError) as error:
    model.generate(prompt, **options)
  assert message in str(error.value)
  assert "sample__" not in str(error.value)


def test_attention_weights_are_labelled_by_layer_head_and_token(model):
  maps = model.attention_weights("ab|a")
  assert [(one.place, one.layer, one.head) for one in maps] == [("", 1, 1), ("", 1, 2)]
  one = maps.get(layer=1, head=2)
  assert one.queries == one.contexts == ("a", "b", "|", "a")
  assert (one.weights.shape, one.weights.dtype) == ((4, 4), np.float32)
  np.testing.assert_allclose(one.weights.sum(axis=-1), 1, rtol=1e-5)
  assert np.all(np.triu(one.weights, 1) == 0)
  titles = [axes.get_title() for axes in maps.plot().axes]
  assert titles == ["layer 1, head 1", "layer 1, head 2"]
  assert "<td>4</td>" in maps._repr_html_()
  with pytest.raises(UserError, match="no weights of layer=2, head=1"):
    maps.get(2, 1)
  with pytest.raises(UserError, match="There is no place 'encoder'"):
    maps.plot("encoder")


def test_a_model_in_memory_is_evaluated(trained, model, tmp_path, capsys):
  found = al.evaluate(model, workdir=tmp_path)
  assert found.validation == trained.result.validation
  assert found.train == trained.result.train
  record = json.loads((tmp_path / "evaluation.json").read_text())
  assert record == found.record
  assert [path.name for path in tmp_path.iterdir()] == ["evaluation.json"]
  assert str(found).startswith("train: loss")
  assert found._repr_html_().count("<tr>") == 3
  assert capsys.readouterr() == ("", "")
  with pytest.raises(UserError, match="no split 'test'"):
    found["test"]


def test_an_evaluation_may_have_other_data(model):
  found = al.evaluate(
    model,
    split="validation",
    dataset="copy(sequence_length=4, validation_examples=8)",
    evaluation__extra_lengths=(8,),
  )
  assert (list(found.splits), list(found.lengths)) == (["validation"], [8])
  with pytest.raises(UserError, match="evaluation__stride=2: .* not consecutive"):
    al.evaluate(model, stride=2)
  with pytest.raises(UserError, match="evaluation__split='test' .*; name it split"):
    al.evaluate(model, evaluation__split="test")
  assert list(found.record["changed"]) == ["dataset"]
  with pytest.raises(UserError, match="The model was trained with 9 tokens"):
    al.evaluate(model, dataset="parity")
  with pytest.raises(UserError, match=r"model\.d_model cannot be changed"):
    al.evaluate(model, model__d_model=16)


def test_a_folder_is_loaded_at_any_checkpoint(run):
  last = al.load(run)
  assert (last.step, last.folder, last.config.steps) == (4, run, 4)
  assert al.load(run, "best").step in (2, 4)
  second = al.load(str(run), checkpoint=2)
  assert second.step == 2
  mean = al.load(run, average=2).parameters
  expected = jax.tree.map(
    lambda x, y: (x.astype(float) + y) / 2, last.parameters, second.parameters
  )
  jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6), mean, expected)


@pytest.mark.parametrize(
  ("words", "message"),
  [
    ({"checkpoint": 3}, "holds no checkpoint of step 3, only of 2, 4"),
    ({"checkpoint": "newest"}, "checkpoint='newest': take 'last', 'best' or a step"),
    ({"checkpoint": "best", "average": 2}, "average=2 takes the last checkpoints"),
    ({"average": 0}, "evaluation__average=0: take a number above 0"),
    ({"folder": "nowhere"}, "There is no run in nowhere"),
  ],
)
def test_what_cannot_be_loaded_is_refused(run, words, message):
  with pytest.raises(UserError) as error:
    al.load(**{"folder": run, **words})
  assert message in str(error.value)


def test_a_folder_with_a_class_is_loaded_with_the_class(trained, run, tmp_path):
  """The run was trained with the code of `standard`, so that of the class is another."""
  config = json.loads((run / "config.json").read_text())
  config["config"]["attention"] = "my_attention"
  for path in (run / "checkpoints").iterdir():
    (tmp_path / "checkpoints").mkdir(exist_ok=True)
    (tmp_path / "checkpoints" / path.name).write_bytes(path.read_bytes())
  (tmp_path / "config.json").write_text(json.dumps(config))
  with pytest.raises(UserError, match="'my_attention' is not an attention"):
    al.load(tmp_path)
  with pytest.raises(UserError, match="written with other settings"):
    al.load(tmp_path, attention=trained.cls)


def test_changed_code_warns_and_is_not_evaluated(run, monkeypatch):
  changed = lambda recorded, code: ["attention_lab/attention/standard.py"]  # noqa: E731
  monkeypatch.setattr(load.run_code, "changed_since", changed)
  with pytest.warns(UserWarning, match=r"has changed since \(attention_lab"):
    model = al.load(run)
  with pytest.raises(UserError, match="checkpoint__changed_code='accept'"):
    model.evaluate()
  with warnings.catch_warnings(action="error"):
    assert model.generate("a|", length=1).text


def test_a_class_of_a_cell_is_checked(monkeypatch):
  laws = check.laws
  monkeypatch.setattr(laws, "LAWS", laws.LAWS[:1])
  report = al.check(define(LEAKY, "Leaky"), depth="quick")
  assert not report.passed
  assert str(report).startswith("Leaky")
  assert report._repr_html_().count("<td>BROKEN</td>") == len(report.failed)
  assert al.check(define(MINE), depth="quick").passed
