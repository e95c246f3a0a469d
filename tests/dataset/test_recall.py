"""Recall tasks and n-grams: answers are compared with independent references."""

import collections
import itertools
import re

import pytest

from attention_lab.dataset.base.dataset import SPLITS
from tests.dataset.test_generated import assert_answers_equal_those_of, make, rows


def forgetting_recall(words, data):
  values, places = {}, 2 * (data.pairs + data.updates)
  for key, value in zip(*[iter(words[:places])] * 2, strict=True):
    assert value not in values.values()
    values[key] = value
  assert len(values) == data.pairs
  return {i: values[words[i]] for i in range(places, len(words)) if words[i] in values}


def compositional_recall(words, data):
  facts = zip(*[iter(words[: 3 * data.pairs])] * 3, strict=True)
  values = {(first, second): value for first, second, value in facts}
  firsts, seconds = (set(part) for part in zip(*values, strict=True))
  assert values.keys() == set(itertools.product(firsts, seconds))
  found = {}
  for i in range(3 * data.pairs + 1, len(words)):
    if (words[i - 1], words[i]) in values:
      found[i] = values[words[i - 1], words[i]]
  assert sorted(found.values()) == sorted(values.values())
  return found


def noisy_recall(words, data):
  values, found = {}, {}
  for i in range(0, len(words), 2):
    key, value = words[i : i + 2]
    assert [key[0], value[0]] in (["k", "v"], ["n", "n"])
    if key in values:
      assert values[key] == value
      found[i] = value
    elif key[0] == "k":
      values[key] = value
  return found


def fuzzy_recall(words, data):
  """A pair is tokens of a key, then tokens of a value; the last target is not an input."""
  text = " ".join(words).replace("_ ", "")
  place, values, found = len(words) - len(text.split()), {}, {}
  for key, value in re.findall(r"((?:k\d+ ?)+)((?:v\d+ ?)*)", text):
    start = place + len(key.split())
    if key.strip() in values:
      whole = values[key.strip()]
      assert whole[: len(value.split())] == value.split()
      found |= {start - 1 + i: word for i, word in enumerate(whole)}
    values.setdefault(key.strip(), value.split())
    assert 1 <= len(key.split()) <= data.key_length
    place = start + len(value.split())
  return found


def ngram_induction(words, data):
  text, n = "".join(words), data.n
  before = text[:-1].rindex(text[-n:])
  return {len(text) - 1: text[before + n]}


def variable_assignment(words, data):
  *statements, question = re.sub(r"\.|;$", "", "".join(words)).split(";")
  assert len(statements) == data.chains * (data.hops + 1)
  values = {}
  for statement in statements:
    name, source = statement.split("=")
    assert name not in values
    hops, value = values[source] if source.isalpha() else (-1, source)
    values[name] = hops + 1, value
  hops, value = values[question.rstrip("?")]
  assert hops == data.hops
  return {len(words) - 1: value}


CASES = [
  (forgetting_recall, "forgetting_recall(random_filler=False)"),
  (
    forgetting_recall,
    "forgetting_recall(sequence_length=18, pairs=3, updates=3, vocabulary_size=12,"
    " random_filler=False)",
  ),
  (compositional_recall, "compositional_recall(random_filler=False)"),
  (
    compositional_recall,
    "compositional_recall(sequence_length=54, pairs=9, vocabulary_size=27,"
    " random_filler=False)",
  ),
  (noisy_recall, "noisy_recall"),
  (noisy_recall, "noisy_recall(sequence_length=4, noise=0.9, keys=3)"),
  (noisy_recall, "noisy_recall(sequence_length=40, noise=0, values=2)"),
  (fuzzy_recall, "fuzzy_recall"),
  (fuzzy_recall, "fuzzy_recall(sequence_length=11, keys=2)"),
  (fuzzy_recall, "fuzzy_recall(key_length=1, value_length=4, sequence_length=200)"),
  (ngram_induction, "ngram_induction"),
  (ngram_induction, "ngram_induction(n=1, alphabet=2, sequence_length=2)"),
  (ngram_induction, "ngram_induction(n=5, alphabet=2, sequence_length=10)"),
  (variable_assignment, "variable_assignment"),
  (variable_assignment, "variable_assignment(hops=12, sequence_length=106)"),
  (variable_assignment, "variable_assignment(hops=0, chains=1, sequence_length=6)"),
]


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize(("reference", "spec"), CASES, ids=[spec for _, spec in CASES])
def test_answers_equal_those_of_the_reference(reference, spec, split):
  assert_answers_equal_those_of(reference, spec, split)


def test_memorised_values_are_a_fixed_one_to_one_table():
  data = make("memorisation(keys=20, sequence_length=9)")
  table = collections.defaultdict(set)
  for split in SPLITS:
    for words, targets in rows(data, split):
      assert words[1::2] == ["?"] * 4
      assert sorted(targets) == [1, 3, 5, 7]
      for i, value in targets.items():
        table[words[i - 1]].add(value)
  assert sorted(table) == sorted(f"k{i}" for i in range(20))
  assert all(len(values) == 1 for values in table.values())
  assert set.union(*table.values()) == {f"v{i}" for i in range(20)}


def test_noise_has_its_share():
  data = make("noisy_recall(noise=0.5, sequence_length=40)")
  kinds = [words[i][0] for words, _ in rows(data) for i in range(0, 38, 2)]
  # One of 19 pairs is never noise.
  assert kinds.count("n") / len(kinds) == pytest.approx(0.5 * 18 / 19, abs=0.03)


def test_keys_and_values_of_fuzzy_recall_have_all_lengths():
  data = make("fuzzy_recall(sequence_length=60)")
  text = " ".join(" ".join(words[:-1]) for words, _ in rows(data))
  for kind in "kv":
    lengths = {run.count(kind) for run in re.findall(rf"(?:{kind}\d ?)+", text)}
    assert lengths >= {1, 2, 3}


def test_chains_of_variables_are_interleaved():
  data = make("variable_assignment(hops=1, sequence_length=18)")
  orders = {re.sub(r"[a-z]=", "x=", "".join(words[:8])) for words, _ in rows(data)}
  first_two = {re.sub(r"\d", "1", re.sub("=[a-z]", "=y", order)) for order in orders}
  assert first_two == {"x=1;x=1;", "x=1;x=y;"}
