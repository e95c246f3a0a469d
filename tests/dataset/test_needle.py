"""Needles: each answer stands in the text, at its depth; parts of validation."""

import re

import numpy as np
import pytest

from attention_lab.dataset.base.dataset import datasets, each_array, num_batches
from attention_lab.errors import UserError
from tests.commands import TINY, assert_refused

FACT = re.compile(r"The number of ([a-z]+) is ((?:\d+, )*\d+)")


def made(options=""):
  return datasets.bind(f"needle({options})")(data_dir="")


def texts(dataset, split, indices):
  """Return the whole text of examples, and that of the tokens that count."""
  batch = dataset.examples(split, 0, np.asarray(indices))
  decode = dataset.vocabulary.decode
  for inputs, targets, weights in zip(*batch[:3], strict=True):
    whole = np.append(inputs, targets[-1])
    np.testing.assert_array_equal(inputs[1:], targets[:-1])
    yield decode(whole), decode(targets[weights > 0])


@pytest.mark.parametrize("split", ["train", "validation"])
@pytest.mark.parametrize(
  ("options", "keys", "values", "queries"),
  [
    ("", 1, 1, 1),
    ("keys=4, sequence_length=300, digits=7", 4, 1, 1),
    ("keys=4, sequence_length=300, queries=3, letters=2", 4, 1, 3),
    ("keys=3, values=2, queries=2, sequence_length=400", 3, 2, 2),
    ("keys=0, queries=2, sequence_length=300", 8, 1, 2),
    ("of='python_docs', keys=2, sequence_length=200", 2, 1, 1),
  ],
)
def test_answers_are_the_values_of_the_keys_in_the_order_of_the_text(
  split, options, keys, values, queries
):
  dataset = made(options)
  asked = set()
  for text, answer in texts(dataset, split, np.arange(0, 500, 25)):
    facts = FACT.findall(text)
    known = {}
    for key, value in facts[:-queries]:
      known.setdefault(key, []).append(value)
    assert len(known) == keys
    assert {len(x) for x in known.values()} == {values}
    questions = dict(facts[-queries:])
    assert len(questions) == queries
    for key, listed in questions.items():
      assert listed.split(", ") == known[key]
    assert answer == "".join("".join(known[key]) for key in questions)
    asked.add(list(known).index(next(iter(questions))))
  assert len(asked) > 1 or keys == 1  # Not always the first in the text.


def test_the_needle_of_the_first_question_stands_at_the_depth_of_its_part():
  dataset = made("keys=3, sequence_length=400, depths=3, validation_examples=30")
  assert list(dataset.part_names) == ["depth 0 %", "depth 50 %", "depth 100 %"]
  places = []
  for text, _ in texts(dataset, "validation", np.arange(30)):
    parts = re.split(r"The number of ([a-z]+) is \d+(?:\. |$)", text)
    (question,) = {parts[-2]}
    hay = np.cumsum([len(x) for x in parts[:-2:2]])  # Text in front of each needle.
    place = parts[1::2].index(question)
    places.append(hay[place] / hay[-1])
  expected = np.repeat([0, 0.5, 1], 10)
  np.testing.assert_allclose(places, expected, atol=0.01)
  depths = dataset.random("train", np.arange(9)).uniform(1)[:, 0]
  random = {round(float(depth), 2) for depth in depths}
  assert len(random) == 9


def test_the_haystack_is_the_text_of_the_split():
  dataset, source = made("of='python_docs'"), datasets["python_docs"](data_dir="")
  cut = int(0.9 * len(source.text))
  for split, part in (("train", source.text[:cut]), ("validation", source.text[cut:])):
    (text, _), *_ = texts(dataset, split, [250 if split == "validation" else 0])
    before, after = re.split(r"The number of [a-z]+ is \d+\. ", text)
    after = after[: after.rindex("The number of")]
    assert len(before + after) > 150
    assert before + after in part
  assert dataset.fingerprint != made().fingerprint
  assert made("of='python_docs(validation_fraction=0.2)'").fingerprint != (
    dataset.fingerprint
  )


def test_other_vocabularies_need_the_characters_of_needles():
  plain = made("of='python_docs(tokenizer=\"bytes\")'")
  assert plain.vocabulary.size == 256
  with pytest.raises(UserError, match=r"needle\(of='associative_recall'") as error:
    made("of='associative_recall'").vocabulary  # noqa: B018
  assert "\n" not in str(error.value)


@pytest.mark.parametrize("batch_size", [4, 10, 16])
def test_no_batch_has_two_parts_and_every_example_is_in_one(batch_size):
  dataset = made("depths=3, validation_examples=30, sequence_length=80")
  expected = dataset.examples("validation", 0, np.arange(30)).inputs.tolist()
  seen = []
  total = num_batches(dataset, "validation", batch_size)
  parts = dataset.parts("validation", batch_size)
  assert [i for part in parts.values() for i in part] == list(range(total))
  for number, part in enumerate(parts.values()):
    for step in part:
      batch = dataset.batch("validation", step, batch_size)
      rows = batch.inputs[batch.weights.any(axis=1)].tolist()
      assert all(row in expected[10 * number : 10 * (number + 1)] for row in rows)
      seen += rows
  assert seen == expected
  assert not dataset.batch("validation", total, batch_size).weights.any()
  together = dataset.batches("validation", 0, total + 1, batch_size)
  shards = [
    dataset.batches("validation", 0, total + 1, batch_size, (i, 2)) for i in (0, 1)
  ]
  joined = each_array(lambda *x: np.concatenate(x, axis=1), *shards)
  for one, other in zip(together[:3], joined[:3], strict=True):
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
  ("options", "answer"),
  [
    ("digits=0", "digits=0): take 1 to 9"),
    ("letters=7", "letters=7): take 1 to 6"),
    ("keys=-1", "keys=-1): take 0 or more"),
    ("keys=27, letters=1", "letters=1): take more for 27 keys"),
    ("queries=2", "queries=2): take at most the number of keys"),
    ("values=0", "values=0): take 1 or more"),
    ("queries=0", "queries=0): take 1 or more"),
    ("depths=0", "depths=0): take 1 or more"),
    ("depths=3", "validation_examples=500): take a multiple of depths=3"),
    ("keys=0, of='python_docs'", "keys=0): take 1 or more for the haystack"),
    ("keys=0, sequence_length=30", "sequence_length=30): take more, so that needles"),
    ("sequence_length=30", "needles and questions have 53 tokens; take that many"),
    ("of='majority'", "its targets are labels, not next_token"),
    ("of='associative_recall'", "needle(of='associative_recall'): The word"),
    ("of='docs'", "'docs' is not a dataset"),
  ],
)
def test_mistakes_are_one_line(tmp_path, monkeypatch, command, options, answer):
  monkeypatch.chdir(tmp_path)
  words = *TINY, "--workdir=run", f"--dataset=needle({options})"
  assert_refused(command(*words), answer)
  assert not (tmp_path / "run").exists()


def test_the_stated_length_is_the_shortest():
  dataset = made("sequence_length=53")
  dataset.examples("validation", 0, np.arange(5))
  with pytest.raises(UserError, match="53 tokens"):
    made("sequence_length=52").examples("validation", 0, np.arange(5))
