"""The methods that lm-evaluation-harness calls give the model's own probabilities."""

import dataclasses
import json
import sys
from types import SimpleNamespace

import jax
import numpy as np
import pytest

import attention_lab as al
from attention_lab.errors import UserError
from tests.api import lm_eval_stub

needs_lm_eval = pytest.mark.skipif(
  not lm_eval_stub.INSTALLED, reason="lm_eval is not installed."
)


@pytest.fixture(scope="module")
def library():
  """Stand in for lm_eval where it is not installed."""
  with pytest.MonkeyPatch.context() as patch:
    if not lm_eval_stub.INSTALLED:
      for name, module in lm_eval_stub.modules().items():
        patch.setitem(sys.modules, name, module)
    yield
    sys.modules.pop("attention_lab.api.harness_model", None)


@pytest.fixture(scope="module")
def model(trained):
  return trained.result.model


@pytest.fixture(scope="module")
def scorer(library, model):
  return al.harness(model, prefix="|", max_length=4, batch_size=3)


def requests(*arguments):
  return [SimpleNamespace(args=each) for each in arguments]


def plain(model, text, known):
  """Return the log-probability of each token of a text but the first `known`."""
  tokens = model.encode(text)
  each = jax.nn.log_softmax(model.logits(tokens[:-1]))
  each = each[np.arange(len(tokens) - 1), tokens[1:]]
  return np.asarray(each, np.float64)[known - 1 :]


def test_a_continuation_has_the_probability_of_its_tokens(scorer, model):
  greedy = model.generate("ab|", length=2, temperature=0).text
  other = "".join("a" if c != "a" else "b" for c in greedy)
  texts = [("ab|", greedy), ("ab|", other), ("", "ab"), ("a", ""), ("b", "ca")]
  found = scorer.loglikelihood(requests(*texts))
  expected = [
    plain(model, (context or "|") + after, len(context) or 1).sum()
    for context, after in texts
    if after
  ]
  scores = [score for (score, _), (_, after) in zip(found, texts, strict=True) if after]
  np.testing.assert_allclose(scores, expected, rtol=1e-5)
  assert [likeliest for _, likeliest in found][:2] == [True, False]
  assert found[3] == (0.0, True)


def test_a_long_context_keeps_its_end(scorer, model):
  ((score, _),) = scorer.loglikelihood(requests(("abcabcabc", "ab")))
  expected = plain(model, "bcabcab"[-5:], 3).sum()  # The last 4 tokens read.
  np.testing.assert_allclose(score, expected, rtol=1e-5)


def test_a_long_text_is_scored_in_windows_with_one_token_of_context(scorer, model):
  text = "abcabcbcab"  # 10 tokens: windows of 4, 4, and 2 after two more of context.
  windows = [("|abca", 1), ("abcbc", 1), ("bcbcab"[-5:], 3)]
  expected = sum(plain(model, *window).sum() for window in windows)
  found = scorer.loglikelihood_rolling(requests((text,), ("ab",), ("",)))
  np.testing.assert_allclose(found[0], expected, rtol=1e-5)
  np.testing.assert_allclose(found[1], plain(model, "|ab", 1).sum(), rtol=1e-5)
  assert found[2] == 0


@needs_lm_eval
def test_windows_are_those_of_the_harness(library):
  from lm_eval import utils

  from attention_lab.api.harness_model import _windows

  for size in range(1, 14):
    tokens = list(range(1, size + 1))
    pairs = utils.get_rolling_token_windows(tokens, 0, max_seq_len=4, context_len=1)
    expected = [(list(a), list(b)) for a, b in pairs]
    found = _windows(np.array([0, *tokens]), 1, 4)
    assert [(a.tolist(), b.tolist()) for a, b in found] == expected


def test_generation_ends_before_the_first_stop_string(scorer, model):
  whole = model.generate("ab|", length=6, temperature=0).text
  options = [
    {"max_gen_toks": 6},
    {"until": whole[2:4], "max_gen_toks": 6, "do_sample": False, "temperature": 3.0},
    {"until": ["zz", whole[4], whole[2]], "max_new_tokens": 6},
    {"until": [], "max_gen_toks": 2},
  ]
  found = scorer.generate_until(requests(*(("ab|", each) for each in options)))
  firsts = [whole[2:4], min(whole[4], whole[2], key=whole.index)]
  assert found == [whole, *(whole[: whole.index(x)] for x in firsts), whole[:2]]


def test_sampling_has_a_seed_for_each_request(library, model):
  options = {"do_sample": True, "max_gen_toks": 12, "top_k": 5}
  scorer = al.harness(model, prefix="|", seed=3)
  found = scorer.generate_until(
    requests(("a|", options), ("a|", options), ("", options))
  )
  expected = [
    model.generate(prompt, length=12, temperature=1.0, top_k=5, seed=3 + n).text
    for n, prompt in enumerate(["a|", "a|", "|"])
  ]
  assert found == expected
  assert found[0] != found[1]


@pytest.mark.parametrize(
  ("method", "arguments", "message"),
  [
    ("loglikelihood", ("a", "?"), "The character '?' is not in this dataset's vocab"),
    ("loglikelihood_rolling", ("a?",), "The character '?' is not"),
    ("generate_until", ("?", {}), "The character '?' is not"),
    ("generate_until", ("a", {"beams": 2}), "no option 'beams' of generation"),
    ("generate_until", ("a", {"top_p": 2.0}), "top_p=2.0: take 1 or less"),
  ],
)
def test_mistakes_are_answered_in_one_line(scorer, method, arguments, message):
  with pytest.raises(UserError) as error:
    getattr(scorer, method)(requests(arguments))
  assert message in str(error.value)
  assert "\n" not in str(error.value)


def test_what_cannot_be_scored_is_refused(library, model, monkeypatch):
  with pytest.raises(UserError, match="prefix=None: the vocabulary has no such token"):
    al.harness(model).loglikelihood_rolling(requests(("ab",)))
  with pytest.raises(UserError, match="batch_size=0: take a whole number from 1 on"):
    al.harness(model, batch_size=0)
  other = SimpleNamespace(
    experiment=model.experiment._replace(decodes=False), encode=model.encode
  )
  from attention_lab.api.harness_model import HarnessModel

  with pytest.raises(UserError, match="does not continue text"):
    HarnessModel(other, None, None, 1, 0)
  prefixed = dataclasses.replace(model.experiment.dataset, prefix_length=4)
  other.experiment = model.experiment._replace(dataset=prefixed)
  with pytest.raises(UserError, match="predicts none of the first 4 tokens of a text"):
    HarnessModel(other, None, None, 1, 0)


def test_a_missing_library_is_named(model, monkeypatch):
  monkeypatch.delitem(sys.modules, "attention_lab.api.harness_model", raising=False)
  for name in [name for name in sys.modules if name.partition(".")[0] == "lm_eval"]:
    monkeypatch.delitem(sys.modules, name)
  monkeypatch.setitem(sys.modules, "lm_eval", None)
  with pytest.raises(UserError, match=r"pip install lm_eval.*\[harness\]"):
    al.harness(model)


@needs_lm_eval
def test_the_harness_scores_a_local_task(scorer, model, tmp_path, monkeypatch):
  import lm_eval

  monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
  monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
  documents = [{"text": "ab|", "answer": "ab"}, {"text": "ca|", "answer": "ca"}]
  data = tmp_path / "data.jsonl"
  data.write_text("\n".join(map(json.dumps, documents)))
  common = {
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": {"test": str(data)}},
    "test_split": "test",
    "doc_to_text": "{{text}}",
    "doc_to_target": "{{answer}}",
    "target_delimiter": "",
  }
  match = {"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}
  tasks = [
    common | {"task": "scored", "output_type": "loglikelihood"},
    common | {"task": "rolled", "output_type": "loglikelihood_rolling"},
    common
    | {"task": "generated", "output_type": "generate_until", "metric_list": [match]}
    | {"generation_kwargs": {"until": ["|"], "max_gen_toks": 2}},
  ]
  results = lm_eval.simple_evaluate(model=scorer, tasks=tasks, bootstrap_iters=0)
  found = results["results"]
  texts = [(each["text"], each["answer"]) for each in documents]
  scores = [plain(model, before + after, 3).sum() for before, after in texts]
  perplexity = np.exp(-np.mean(scores))
  assert found["scored"]["perplexity,none"] == pytest.approx(perplexity, rel=1e-4)
  assert found["rolled"]["word_perplexity,none"] > 1
  written = [model.generate(x, length=2, temperature=0).text for x, _ in texts]
  same = [w.partition("|")[0] == y for w, (_, y) in zip(written, texts, strict=True)]
  assert found["generated"]["exact_match,none"] == np.mean(same)
