"""Tables of labelled texts: every byte, its label, padding; layouts; mistakes."""

import csv
import tracemalloc

import jax
import numpy as np
import pytest

from attention_lab.dataset.base.dataset import datasets
from attention_lab.errors import UserError
from attention_lab.experiment import assemble
from tests.commands import TINY, assert_refused
from tests.parts import fill, tiny_config

EXAMPLES = [("1", "It's good\\n"), ("0", "bäd"), ("1", "a" * 40), ("0", "no, no")]
VALIDATION = [("0", "x"), ("1", "yes")]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
  """A folder with tables for both splits, which is the current one."""
  monkeypatch.chdir(tmp_path)
  write("train.tsv", EXAMPLES)
  write("validation.tsv", VALIDATION)
  return tmp_path


def write(name, rows):
  with open(name, "w") as file:
    file.writelines("\t".join(row) + "\n" for row in rows)


def made(**options):
  """Return a dataset of the tables."""
  options = {"train": "train.tsv", "validation": "validation.tsv", **options}
  spec = ", ".join(f"{key}={value!r}" for key, value in options.items())
  return datasets.bind(f"text_classification({spec})")(data_dir="")


def shown(dataset, split="train"):
  """Return the text and the label of every example of a split."""
  batch, found = dataset.examples(split, 0, np.arange(dataset.size(split))), []
  for inputs, targets, weights in zip(*batch[:3], strict=True):
    (place,) = np.flatnonzero(weights)
    assert (inputs[place + 1 :] == dataset.vocabulary.padding).all()
    assert (inputs[: place + 1] != dataset.vocabulary.padding).all()
    label = dataset.vocabulary.decode([targets[place]])
    found.append((label, dataset.vocabulary.decode(inputs)))
  return found


def test_examples_are_the_bytes_of_the_texts_and_one_label_that_counts():
  dataset = made(sequence_length=20)
  expected = [(f"[{label}]", f"{text[:19]}[CLS]") for label, text in EXAMPLES]
  assert shown(dataset) == expected
  assert dataset.vocabulary.size == 256 + 3 + 2
  assert dataset.prompt() == "x[CLS]"
  first = dataset.examples("train", 0, np.arange(1)).inputs[0]
  assert bytes(first[:10].astype(np.uint8)) == EXAMPLES[0][1].encode()[:10]
  assert dataset.tokens_per_step(8) == 8 * (11 + 4 + 19 + 6 + 4) / 4
  assert dataset.described(8).startswith(
    "Examples: 4 in train, 2 in validation; bytes of the text, 2 labels, 45% padding"
  )


def test_the_pairs_of_aan_are_two_texts_of_one_length():
  rows = [("1.0", "P1", "P2", "abcdefgh", "xy"), ("0.0", "P3", "P4", "c", "ABCDEFGH")]
  write("train.tsv", rows)
  write("validation.tsv", rows[:1])
  assert shown(made(sequence_length=12)) == [
    ("[1.0]", "abcde[SEP]xy[CLS]"),
    ("[0.0]", "c[SEP]ABCDE[CLS]"),
  ]
  assert shown(made(sequence_length=13))[1][1] == "c[SEP]ABCDE[CLS]"


def test_the_expressions_of_listops_are_words_without_parentheses():
  source = "( ( ( [MAX 2 ) 9 ) ( ( [SM 4 ) ] ) )"
  write("train.tsv", [("Source", "Target"), (source, "9"), ("( [MIN 1", "1")])
  write("validation.tsv", [("Source", "Target"), ("( [MED 1 ) ]", "1")])
  dataset = made(sequence_length=8)
  assert shown(dataset) == [
    ("[9]", "[MAX 2 9 [SM 4 ] [CLS]"),
    ("[1]", "[MIN 1 [CLS]"),
  ]
  assert dataset.vocabulary.labels == ("1", "9")
  prompt = "[MAX 2 9 ] [CLS]"
  assert dataset.vocabulary.decode(dataset.vocabulary.encode(prompt)) == prompt


@pytest.mark.parametrize("library", ["pandas", "csv"])
def test_quoted_tables_of_libraries_have_the_same_texts(library):
  texts = ['He said "no".', "two\nlines\tand a tab", "plain"]
  names = ["id", "sentence", "label"]
  rows = list(zip((1, 2, 3), texts, (0, 1, 10), strict=True))
  for name, some in (("train.tsv", rows), ("validation.tsv", rows[:2])):
    if library == "pandas":
      frame = pytest.importorskip("pandas").DataFrame(some, columns=names)
      frame.to_csv(name, sep="\t", index=False)
    else:
      with open(name, "w", newline="") as file:
        csv.writer(file, delimiter="\t").writerows([names, *some])
  dataset = made(quoted=True, sequence_length=32)
  assert shown(dataset) == [
    (f"[{label}]", f"{text}[CLS]")
    for label, text in zip((0, 1, 10), texts, strict=True)
  ]
  assert dataset.vocabulary.labels == ("0", "1", "10")  # Sorted as numbers.


def test_columns_are_chosen_by_name_and_files_by_pattern(folder):
  names = ("a", "kind", "b")
  write("part_0.tsv", [names, ("x", "p", "one")])
  write("part_1.tsv", [names, ("y", "q", "two")])
  write("validation.tsv", [names, ("z", "q", "three")])
  dataset = made(train="part_*.tsv", label="kind", text="b")
  assert shown(dataset) == [("[p]", "one[CLS]"), ("[q]", "two[CLS]")]
  other = made(train="part_*.tsv", label="kind", text="a")
  assert shown(other)[0] == ("[p]", "x[CLS]")
  assert dataset.fingerprint != other.fingerprint


def test_labels_are_kept_so_that_sampling_needs_no_data(folder):
  files = made().files()
  for file in folder.iterdir():
    file.unlink()
  other = made()
  other.kept = files
  assert other.vocabulary.labels == ("0", "1")
  assert other.prompt() == "x[CLS]"


def test_memory_is_a_byte_per_character(folder):
  write("train.tsv", [(str(i % 2), "abcdefghij" * 100) for i in range(3000)])
  tracemalloc.start()
  made().size("train")
  used = tracemalloc.get_traced_memory()[1]
  tracemalloc.stop()
  assert used < 3 * 3e6 + 1e6  # A growing buffer, and one copy of it.


def test_no_token_attends_to_padding():
  data = "text_classification(train='train.tsv', validation='validation.tsv'{})"
  logits = []
  for length in (6, 11):
    config = tiny_config(
      architecture__name="encoder(head='pooled')",
      model__num_layers=1,
      dataset=data.format(f", sequence_length={length}"),
    )
    experiment = assemble(config)
    batch = experiment.dataset.examples("validation", 0, np.arange(2))
    if not logits:
      params = fill(jax.eval_shape(experiment.init, 0))
    logits.append(experiment.output(experiment.policy, params, None, batch)[:, 0])
  np.testing.assert_allclose(logits[0], logits[1], rtol=1e-5, atol=1e-6)
  weights = experiment.model.attention_weights(
    params, None, batch.inputs, np.tile(np.arange(11), (2, 1))
  )
  (first, *_) = jax.tree.leaves(weights)
  assert not np.asarray(first[0, ..., 2:]).any()  # "x[CLS]"
  assert np.asarray(first[0, ..., :2]).all()


TWO = "1\tgood\n0\tbad\n"


@pytest.mark.parametrize(
  ("content", "options", "answer"),
  [
    ("", "", "train.tsv has no example"),
    ("label\ttext\n", "", "train.tsv has no example"),
    ("good\n", "", "begins with 1 columns: 'good'"),
    ("1\ta\tb\n", "", "begins with 3 columns: '1', 'a', 'b'"),
    ("label\ta\tb\n", "", "'label', 'a', 'b'. Readable are label and text"),
    (TWO, "label='kind'", "begins with 2 columns: '1', 'good'"),
    (TWO + "1\ta\tb\n", "", "train.tsv, line 3: it has 3 columns"),
    (TWO + "\ta\n", "", "train.tsv, line 3: its label is empty"),
    ("1\ta\n1\tb\n", "", "Every example of train.tsv has the label '1'"),
    ("1\ta\n2\tb\n", "", "validation.tsv, line 1: the label '0' is not among those"),
    ("Source\tTarget\n[MIN 1\t1\n[AND\t2\n", "", "line 3: '[AND' is no word of 0 1"),
    ('1\t"a\n', "quoted=True", "train.tsv, line 1: unexpected end of data"),
    (TWO, "test='train.tsv'", "Two splits have the same content"),
    (TWO, "test='none.tsv'", "No file matches 'none.tsv'"),
    (TWO, "test='.'", ". is a folder, not a regular file"),
    (TWO, "sequence_length=3", "sequence_length=3: take 4 or more"),
  ],
)
def test_mistakes_are_one_line(folder, command, content, options, answer):
  (folder / "train.tsv").write_text(content)
  files = f"train='train.tsv', validation='validation.tsv', {options}"
  words = *TINY, "--workdir=run", f"--dataset=text_classification({files})"
  assert_refused(command(*words), answer)
  assert not (folder / "run").exists()


def test_a_file_whose_first_line_names_other_columns_is_refused():
  write("train.tsv", [("label", "text"), *EXAMPLES])
  with pytest.raises(
    UserError, match="line 1: it does not name the columns of the fir"
  ):
    made().size("train")
