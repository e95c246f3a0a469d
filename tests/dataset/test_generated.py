"""Generated datasets: answers are compared with independent references."""

import dataclasses
import re
import statistics

import numpy as np
import pytest

from attention_lab.dataset.base.dataset import SPLITS, datasets
from attention_lab.dataset.base.generated import Generated, Tagged


def make(spec):
  return datasets.bind(spec)(data_dir="")


def rows(data, split="train", count=64):
  """Yield examples as words: (inputs, {position that counts: target})."""
  batch = data.examples(split, 0, np.arange(min(count, data.size(split))))
  word = [data.vocabulary.decode([token]) for token in range(data.vocabulary.size)]
  for inputs, targets, weights in zip(*batch[:3], strict=True):
    assert set(weights) <= {0, 1}
    counted = {int(i): word[targets[i]] for i in np.flatnonzero(weights)}
    yield [word[token] for token in inputs], counted


# References: (inputs as words, dataset) → targets that count, by position.


def copy(words, data, order=lambda source: source):
  bar = words.index("|")
  return {bar + i: letter for i, letter in enumerate(order(words[:bar]))}


def reverse(words, data):
  return copy(words, data, lambda source: source[::-1])


def sort(words, data):
  return copy(words, data, sorted)


def induction(words, data):
  last = len(words) - 1
  (before,) = [i for i in range(last) if words[i] == words[last]]
  return {last: words[before + 1]}


def selective_copying(words, data):
  return copy(words, data, lambda source: [word for word in source if word != "."])


def associative_recall(words, data):
  values = dict(zip(*[iter(words[: 2 * data.pairs])] * 2, strict=True))
  assert len(values) == data.pairs
  half, numbers = data.vocabulary_size // 2, [int(word) for word in words]
  assert all(0 < int(key) < half <= int(value) for key, value in values.items())
  queries = [i for i in range(2 * data.pairs, len(words)) if 0 < numbers[i] < half]
  assert sorted(words[i] for i in queries) == sorted(values)
  return {i: values[words[i]] for i in queries}


def parity(words, data):
  if data.running:
    return {i: "01"[words[: i + 1].count("1") % 2] for i in range(len(words))}
  assert words[-1] == "="
  return {len(words) - 1: "01"[words.count("1") % 2]}


def modular_arithmetic(words, data):
  text = "".join(words)
  assert re.fullmatch(r"\d([-+*]\d)*=", text)
  total = 0
  for sign, term in re.findall(r"(^|[-+])([\d*]+)", text[:-1]):
    product = 1
    for digit in term.split("*"):
      product *= int(digit)
    total += -product if sign == "-" else product
  return {len(words) - 1: str(total % data.modulus)}


def dyck(words, data):
  opening = data.vocabulary.characters[: data.kinds]
  closing = data.vocabulary.characters[data.kinds :]
  stack, open_before = [], {}
  for i, word in enumerate(words):
    if word in opening:
      stack.append(closing[opening.index(word)])
    else:
      assert stack.pop() == word
    assert len(stack) <= data.max_depth
    open_before[i] = stack[-1] if stack else None
  # The next input shows whether a bracket closes; the last target has no next input.
  targets = {i: open_before[i] for i, word in enumerate(words[1:]) if word in closing}
  return targets, (len(words) - 1, open_before[len(words) - 1])


def listops(words, data):
  inside = iter(words[: len(words) - 1])
  assert words[-1] == "="
  first = next(word for word in inside if word != "_")

  def value(word):
    if word.isdigit():
      return int(word)
    args = []
    while (word_in := next(inside)) != "]":
      args.append(value(word_in))
    assert 2 <= len(args) <= data.max_args
    return {
      "[MIN": min,
      "[MAX": max,
      "[MED": lambda x: int(statistics.median(x)),
      "[SM": lambda x: sum(x) % 10,
    }[word](args)

  result = value(first)
  assert next(inside, None) is None
  return {len(words) - 1: str(result)}


CASES = [
  (copy, "copy(sequence_length=12)"),
  (reverse, "reverse(sequence_length=12, alphabet=26)"),
  (sort, "sort(sequence_length=40)"),
  (induction, "induction(sequence_length=40)"),
  (induction, "induction(sequence_length=3, alphabet=3)"),
  (selective_copying, "selective_copying(sequence_length=60, letters=9)"),
  (selective_copying, "selective_copying(sequence_length=16, letters=8, alphabet=2)"),
  (associative_recall, "associative_recall(random_filler=False)"),
  (
    associative_recall,
    "associative_recall(sequence_length=32, pairs=8, vocabulary_size=18,"
    " random_filler=False)",
  ),
  (parity, "parity"),
  (parity, "parity(running=True)"),
  (parity, "parity(sequence_length=2)"),
  (modular_arithmetic, "modular_arithmetic"),
  (modular_arithmetic, "modular_arithmetic(sequence_length=90, modulus=10)"),
  (modular_arithmetic, "modular_arithmetic(sequence_length=2, modulus=2)"),
  (listops, "listops"),
  (listops, "listops(sequence_length=5, max_depth=2)"),
  (listops, "listops(sequence_length=400, max_args=3, max_depth=8, shortest=0.1)"),
]


def assert_answers_equal_those_of(reference, spec, split):
  data = make(spec)
  for words, targets in rows(data, split):
    assert len(words) == data.sequence_length
    assert targets
    assert targets == reference(words, data)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize(("reference", "spec"), CASES, ids=[spec for _, spec in CASES])
def test_answers_equal_those_of_the_reference(reference, spec, split):
  assert_answers_equal_those_of(reference, spec, split)


@pytest.mark.parametrize(
  "options", ["", "kinds=1, max_depth=1", "kinds=30, max_depth=9"]
)
def test_closing_brackets_match_the_open_ones(options):
  data = make(f"dyck({options})")
  for words, targets in rows(data):
    expected, (last, open_last) = dyck(words, data)
    if last in targets:
      assert targets.pop(last) == open_last
    assert targets == expected


def test_every_query_of_associative_recall_follows_its_pair():
  data = make("associative_recall(sequence_length=128, pairs=32)")
  for words, targets in rows(data):
    values = dict(zip(*[iter(words[:64])] * 2, strict=True))
    assert {words[i]: value for i, value in targets.items()} == values
    assert all(i >= 64 and i % 2 == 0 for i in targets)


@pytest.mark.parametrize("power", [0.01, 1.0])
def test_gaps_of_associative_recall_follow_the_power_law(power):
  data = make(f"associative_recall(pairs=8, power={power}, vocabulary_size=512)")
  batch = data.examples("train", 0, np.arange(4000))
  counts = np.zeros(24)
  for inputs, weights in zip(batch.inputs, batch.weights, strict=True):
    (query,) = [i for i in np.flatnonzero(weights) if inputs[i] == inputs[0]]
    counts[(query - 16) // 2] += 1  # The slot of the first key is drawn from all slots.
  law = np.arange(1, 25) ** (power - 1.0)
  expected = 4000 * law / law.sum()
  assert ((counts - expected) ** 2 / expected).sum() < 60  # χ² of 23: mean 23, σ 6.8.


def test_random_pairs_are_a_fixed_table():
  sizes = "train_examples=32, validation_examples=20"
  data = make(f"random_pairs(sequence_length=6, alphabet=4, {sizes})")
  table = {}
  for words, targets in rows(data):
    assert sorted(targets) == [3, 4, 5]
    assert table.setdefault("".join(words[:4]), "".join(targets.values())) == "".join(
      targets.values()
    )
  assert len(table) == 32
  shown = [("".join(w[:4]), "".join(a.values())) for w, a in rows(data, "validation")]
  assert len(shown) == 20
  assert all(table[source] == answer for source, answer in shown)
  other = dataclasses.replace(data, seed=1)
  assert {"".join(words[:4]) for words, _ in rows(other)} != set(table)


GENERATED = sorted(
  name for name in datasets if issubclass(datasets[name], Generated | Tagged)
)


@pytest.mark.parametrize("name", GENERATED)
def test_examples_are_distinct_within_and_across_splits(name):
  data = make(name)
  shown = {}
  for split in SPLITS:
    inputs = data.examples(split, 0, np.arange(512)).inputs
    shown[split] = {row.tobytes() for row in inputs}
    assert len(shown[split]) == 512
  if name == "random_pairs":  # Validation repeats training pairs by design.
    assert shown["train"] == shown["validation"]
  else:
    assert not shown["train"] & shown["validation"]


@pytest.mark.parametrize("name", GENERATED)
def test_example_depends_only_on_its_number(name):
  data = make(name)
  whole = data.examples("train", 0, np.arange(40))
  some = np.array([17, 3, 39])
  alone = data.examples("train", 0, some)
  for rows_alone, all_rows in zip(alone[:3], whole[:3], strict=True):
    np.testing.assert_array_equal(rows_alone, all_rows[some])


@pytest.mark.parametrize("name", GENERATED)
def test_best_loss_of_generated_data_is_zero_where_answers_are_determined(name):
  assert (make(name).best_loss == 0.0) == (make(name).primary == "accuracy")


def test_best_loss_of_a_text_is_unknown():
  assert make("text(path='a')").best_loss is None


@pytest.mark.parametrize("name", GENERATED)
def test_fingerprint_depends_on_options_and_not_on_data_dir(name):
  data = make(name)
  assert dataclasses.replace(data, data_dir="/data").fingerprint == data.fingerprint
  longer = dataclasses.replace(data, sequence_length=2 * data.sequence_length)
  prints = {make(other).fingerprint for other in GENERATED}
  assert longer.fingerprint not in prints
  assert len(prints) == len(GENERATED)
