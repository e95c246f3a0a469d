"""Reference attention: the inputs that answers depend on, in examples written by hand."""

import numpy as np
import pytest

from attention_lab.dataset.base.dataset import Batch, datasets
from tests.dataset.test_datasets import SPECS
from tests.dataset.test_generated import make

# An example of each: the answer at > depends on the inputs in brackets.
CASES = [
  ("copy(sequence_length=8)", "a [b] c d | >a b c"),
  ("reverse(sequence_length=8)", "a [b] c d | d >c b"),
  ("induction(sequence_length=8)", "a b c [d] [e] f a >d"),
  ("ngram_induction(sequence_length=9)", "a b c [a] [b] [d] c a >b"),
  ("ngram_induction(sequence_length=6, n=1)", "b a b [a] [c] >a"),
  ("ngram_induction(sequence_length=7, n=3)", "[b] [a] [c] [b] b a >c"),
  ("selective_copying(sequence_length=9, letters=3)", "a . [c] . d . | >a c"),
  (
    "associative_recall(sequence_length=10, pairs=2)",
    "7 4101 [5] [4102] >5 4102 0 0 7 4101",
  ),
  (
    "forgetting_recall(sequence_length=10, pairs=2, updates=1)",
    "7 4101 5 4102 [7] [4103] >7 4103 5 4102",
  ),
  (
    "compositional_recall(sequence_length=24)",
    "1 2731 6000 2 2731 6001 1 2732 6002 [2] [2732] [6003]"
    " 0 0 0 2 >2732 6003 0 0 0 0 0 0",
  ),
  ("noisy_recall(sequence_length=12)", "[k1] [v2] k2 v2 n3 n1 [k1] [v2] >k1 v2 k3 v0"),
  (
    "fuzzy_recall(sequence_length=14)",
    "_ [k1] [k2] [v1] [v0] k1 v3 k2 v4 k1 k2 >v1 v0 k5",
  ),
  ("fuzzy_recall(sequence_length=12)", "k1 k2 v1 [k1] [v3] k2 v4 >k1 v3 k4 v1 v1"),
  ("flip_flop(sequence_length=10)", "w 0 [w] [1] i 0 r 1 >r 1"),
  (
    "variable_assignment(sequence_length=26, hops=1)",
    ". . . . [a] = [3] ; x = 7 ; . . [b] = [a] ; y = x ; b >?",
  ),
  (
    "needle(sequence_length=48, letters=2, digits=2)",
    "T h e ␣ n u m b e r ␣ o f ␣ [a] [b] ␣ i s ␣ [4] 7 . ␣"
    " T h e ␣ n u m b e r ␣ o f ␣ a b ␣ i s >␣ 4",
  ),
]


@pytest.mark.parametrize(("spec", "example"), CASES)
def test_reference_of_an_example(spec, example):
  data = make(spec)
  words = example.split()
  tokens = np.concatenate(
    [data.vocabulary.encode(word.strip("[]>").replace("␣", " ")) for word in words]
  )[None]
  (answer,) = (i for i, word in enumerate(words) if word[0] == ">")
  expected = [i for i, word in enumerate(words) if word[0] == "["]
  weights = np.zeros(tokens.shape, np.float32)
  weights[:, answer] = 1
  found = data.reference_attention(Batch(tokens, tokens, weights))
  assert np.flatnonzero(found[0, answer]).tolist() == expected


NAMES = sorted({spec.partition("(")[0] for spec, _ in CASES})


@pytest.mark.parametrize("name", NAMES)
def test_answers_are_among_the_inputs_that_they_depend_on(name):
  data = make(SPECS[name])
  batch = data.examples("validation", 0, np.arange(7))
  found = data.reference_attention(batch)
  assert found.shape == (*batch.inputs.shape, data.sequence_length)
  assert found.dtype == bool
  for row, t in np.argwhere(batch.weights > 0):
    places = np.flatnonzero(found[row, t])
    assert batch.targets[row, t] in batch.inputs[row, places]
    assert places.max() <= t


def test_needles_in_words_or_of_several_values_have_no_reference():
  data = make("needle(values=2, validation_examples=10)")
  batch = data.examples("validation", 0, np.arange(2))
  assert data.reference_attention(batch) is None


@pytest.mark.parametrize("name", ["sort", "random_pairs", "parity", "markov_chains"])
def test_tasks_whose_answers_depend_on_no_place_have_no_reference(name):
  data = make(SPECS[name])
  batch = data.examples("validation", 0, np.arange(7))
  assert data.reference_attention(batch) is None


def test_sources_of_pairs_have_no_reference():
  data = datasets.bind("copy(sequence_length=8)")(data_dir="", task="pairs")
  assert data.reference_attention(data.examples("validation", 0, np.arange(2))) is None
