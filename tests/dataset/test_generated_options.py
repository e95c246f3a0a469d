"""Options of generated datasets: their effect, and rejection of invalid ones."""

import collections
import dataclasses

import numpy as np
import pytest

from attention_lab.errors import UserError
from tests.dataset.test_generated import make, rows


def used(spec, count=200):
  """Return all words that occur in some examples."""
  data = make(spec)
  found = set()
  for words, targets in rows(data, count=count):
    found |= {*words, *targets.values()}
  return found


@pytest.mark.parametrize(
  "name", ["copy", "reverse", "sort", "random_pairs", "induction"]
)
def test_exactly_the_letters_of_the_alphabet_occur(name):
  for size in (3, 11):
    letters = used(f"{name}(alphabet={size})") - {"|"}
    assert letters == set("abcdefghijk"[:size])


@pytest.mark.parametrize("name", ["copy", "random_pairs"])
def test_large_alphabet_consists_of_numbers(name):
  assert used(f"{name}(alphabet=40)") == {*map(str, range(40)), "|"}


def test_random_pairs_support_a_vocabulary_of_37000():
  options = "alphabet=36999, sequence_length=2000, train_examples=64"
  data = make(f"random_pairs({options}, validation_examples=8)")
  data = dataclasses.replace(data, task="pairs", sequence_length=100)
  assert data.vocabulary.size == 37_000
  batch = data.batch("train", 0, 64)
  assert batch.source.shape == batch.targets.shape == (64, 50)
  assert batch.source.max() > 36_000
  assert set(batch.inputs[:, 0]) == {data.start_token} == {36_999}
  np.testing.assert_array_equal(batch.inputs[:, 1:], batch.targets[:, :-1])
  text = data.vocabulary.decode(batch.source[0])
  np.testing.assert_array_equal(data.source_tokens(text), batch.source[0])


def deepest(words, opening, closing):
  depth = most = 0
  for word in words:
    depth += (word in opening) - (word in closing)
    most = max(most, depth)
  return most


@pytest.mark.parametrize("depth", [1, 3, 7])
def test_brackets_reach_the_largest_depth(depth):
  data = make(f"dyck(max_depth={depth}, kinds=2)")
  found = {deepest(words, "([", ")]") for words, _ in rows(data)}
  assert max(found) == depth
  # Brackets open and close equally often if both are allowed.
  data = make("dyck(max_depth=9)")
  after = [w[1] for w, _ in rows(data, count=2000)]
  assert 0.45 < np.mean([word in "([{<" for word in after]) < 0.55


@pytest.mark.parametrize("depth", [2, 4])
def test_expressions_reach_the_largest_depth(depth):
  data = make(f"listops(max_depth={depth}, sequence_length=64, shortest=0)")
  operators = {"[MIN", "[MAX", "[MED", "[SM"}
  found = {deepest(words, operators, {"]"}) for words, _ in rows(data, count=300)}
  assert found == set(range(1, depth))


def test_expressions_have_the_requested_lengths():
  data = make("listops(sequence_length=101, shortest=0.5)")
  lengths = [100 - words.count("_") for words, _ in rows(data)]
  assert 50 <= min(lengths) < 60
  assert 90 < max(lengths) <= 100


def test_expressions_have_the_distribution_of_their_grammar():
  data = make("listops(sequence_length=64, shortest=0, max_depth=3, max_args=3)")
  found = collections.Counter(
    63 - words.count("_") for words, _ in rows(data, count=4000)
  )
  inner = tree([(1, 1.0)])  # An operator whose arguments are digits.
  child = [(1, 0.75), *((length, p / 4) for length, p in inner)]
  law = collections.Counter()
  for length, p in tree(child):
    law[length] += p
  assert set(found) <= set(law)
  for length, p in law.items():
    assert abs(found[length] - 4000 * p) < 5 * (4000 * p) ** 0.5 + 3
  digits = collections.Counter(
    word for words, _ in rows(data, count=1000) for word in words if word != "_"
  )
  for kinds in ("0123456789", ("[MIN", "[MAX", "[MED", "[SM")):
    counts = [digits[kind] for kind in kinds]
    assert max(counts) < 1.2 * min(counts)


def tree(child):
  """Return lengths and probabilities of an operator with 2 or 3 such children."""
  pairs = [(a + b, p * q) for a, p in child for b, q in child]
  triples = [(a + b, p * q) for a, p in pairs for b, q in child]
  return [(2 + length, p / 2) for length, p in pairs + triples]


def test_options_of_associative_recall_change_the_tokens():
  filled = make("associative_recall(vocabulary_size=100)")
  blank = make("associative_recall(vocabulary_size=100, random_filler=False)")
  inputs = [[words for words, _ in rows(data)] for data in (filled, blank)]
  assert np.mean([words.count("0") for words in inputs[1]]) == 64 - 16
  assert np.mean([words.count("0") for words in inputs[0]]) < 2
  assert used("associative_recall(vocabulary_size=40)") == set(map(str, range(40)))


def test_selective_copying_places_letters_uniformly():
  data = make("selective_copying(sequence_length=24, letters=4)")
  places = collections.Counter(
    i for words, _ in rows(data, count=500) for i in range(20) if words[i] != "."
  )
  assert set(places) == set(range(20))
  assert max(places.values()) < 2 * min(places.values())


def test_induction_queries_every_letter_and_place_equally_often():
  data = make("induction(sequence_length=12, alphabet=5)")
  inputs = [words for words, _ in rows(data, count=500)]
  places = collections.Counter(words.index(words[-1]) for words in inputs)
  queries = collections.Counter(words[-1] for words in inputs)
  assert sorted(places) == list(range(10))
  assert sorted(queries) == list("abcde")
  for counts in (places, queries):
    assert max(counts.values()) < 2 * min(counts.values())


@pytest.mark.parametrize(
  ("spec", "option"),
  [
    ("reverse(sequence_length=7)", "sequence_length"),
    ("sort(alphabet=0)", "alphabet"),
    ("sort(seed=-1)", "seed"),
    ("sort(validation_examples=0)", "validation_examples"),
    ("induction(alphabet=2)", "alphabet"),
    ("induction(sequence_length=2)", "sequence_length"),
    ("associative_recall(sequence_length=63)", "sequence_length"),
    ("associative_recall(pairs=17)", "pairs"),
    ("associative_recall(pairs=0)", "pairs"),
    ("associative_recall(vocabulary_size=9)", "vocabulary_size"),
    ("selective_copying(letters=129)", "letters"),
    ("selective_copying(alphabet=27)", "alphabet"),
    ("parity(sequence_length=1)", "sequence_length"),
    ("modular_arithmetic(modulus=11)", "modulus"),
    ("modular_arithmetic(sequence_length=9)", "sequence_length"),
    ("dyck(kinds=31)", "kinds"),
    ("dyck(max_depth=0)", "max_depth"),
    ("dyck(sequence_length=3)", "sequence_length"),
    ("listops(max_depth=1)", "max_depth"),
    ("listops(max_args=1)", "max_args"),
    ("listops(sequence_length=4)", "sequence_length"),
    ("listops(shortest=1.5)", "shortest"),
    ("group_words(group='s7')", "group"),
    ("group_words(group='a2')", "group"),
    ("group_words(group='d4')", "group"),
    ("group_words(sequence_length=0)", "sequence_length"),
    ("flip_flop(sequence_length=7)", "sequence_length"),
    ("flip_flop(ignore=1.1)", "ignore"),
    ("compression(alphabet=1)", "alphabet"),
    ("compression(sequence_length=1)", "sequence_length"),
    ("memorisation(keys=0)", "keys"),
    ("memorisation(sequence_length=1)", "sequence_length"),
    ("noisy_recall(sequence_length=9)", "sequence_length"),
    ("noisy_recall(values=0)", "values"),
    ("noisy_recall(noise=1)", "noise"),
    ("fuzzy_recall(sequence_length=10)", "sequence_length"),
    ("fuzzy_recall(keys=0)", "keys"),
    ("fuzzy_recall(value_length=5)", "value_length"),
    ("forgetting_recall(pairs=0)", "pairs"),
    ("forgetting_recall(updates=9)", "updates"),
    ("forgetting_recall(sequence_length=39)", "sequence_length"),
    ("forgetting_recall(vocabulary_size=23)", "vocabulary_size"),
    ("compositional_recall(pairs=5)", "pairs"),
    ("compositional_recall(sequence_length=23)", "sequence_length"),
    ("compositional_recall(vocabulary_size=11)", "vocabulary_size"),
    ("ngram_induction(n=33)", "n"),
    ("ngram_induction(alphabet=1)", "alphabet"),
    ("variable_assignment(chains=0)", "chains"),
    ("variable_assignment(hops=-1)", "hops"),
    ("variable_assignment(hops=13, sequence_length=200)", "chains"),
    ("variable_assignment(sequence_length=25)", "sequence_length"),
    ("random_pairs(sequence_length=4, alphabet=4)", "train_examples"),
    ("random_pairs(validation_examples=513)", "validation_examples"),
  ],
)
def test_invalid_options_are_rejected_in_one_line(spec, option):
  with pytest.raises(UserError, match=rf"^{spec.split('(')[0]}\({option}=.*: take"):
    make(spec)


def test_impossible_expression_lengths_are_rejected(monkeypatch):
  monkeypatch.setattr("attention_lab.dataset.listops.PATIENCE", 64)
  with pytest.raises(UserError, match="expressions of 64 to 255 tokens are too rare"):
    make("listops(max_depth=2)").batch("train", 0, 2)


def test_smallest_vocabulary_in_the_message_is_accepted():
  with pytest.raises(UserError, match="take 10 or more for 4 pairs"):
    make("associative_recall(vocabulary_size=9)")
  make("associative_recall(vocabulary_size=10)").batch("train", 0, 4)
  make("forgetting_recall(vocabulary_size=24)").batch("train", 0, 4)
  make("forgetting_recall(vocabulary_size=18, updates=0)").batch("train", 0, 4)
  make("compositional_recall(vocabulary_size=12)").batch("train", 0, 4)
  make("compositional_recall(pairs=1, vocabulary_size=6)").batch("train", 0, 4)
