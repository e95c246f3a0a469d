"""Masked language modelling: which tokens are targets, and what the model sees of them."""

import dataclasses

import numpy as np
import pytest

from attention_lab.dataset.base.dataset import datasets, with_order
from attention_lab.dataset.base.held_out import hold_out
from attention_lab.dataset.base.order import Order
from attention_lab.dataset.base.text import Text
from attention_lab.dataset.masked import MASK, Masked, MaskedVocabulary
from attention_lab.errors import UserError
from attention_lab.experiment import assemble
from attention_lab.nn.metrics import Measured, Sums
from attention_lab.tokenizer.base.vocabulary import token_bytes_of
from attention_lab.tokenizer.bytes import ByteVocabulary
from attention_lab.training.evaluation import figures_of
from tests.parts import tiny_config

LENGTH = 40
TEXT = "".join(np.random.default_rng(0).choice(list("abcdefgh \n"), size=4_003))


@dataclasses.dataclass(kw_only=True)
class Notes(Text):
  """A text of 10 different characters, in memory."""

  def load(self):
    return TEXT


@pytest.fixture(autouse=True)
def notes():
  with datasets.registered(Notes, "notes"):
    yield


def masked(**options):
  given = {"of": "notes", "sequence_length": LENGTH, "data_dir": ""}
  return Masked(**{**given, **options})


def whole(dataset, split="train", epoch=0):
  return dataset.examples(split, epoch, np.arange(dataset.size(split)))


def test_shares_are_those_of_the_paper():
  dataset = masked()
  batches = [whole(dataset, epoch=epoch) for epoch in range(30)]
  inputs, targets, weights = (np.concatenate([b[i] for b in batches]) for i in range(3))
  assert (weights.sum(axis=1) == 6).all()  # 15 % of 40, in each example.
  counted = weights > 0
  hidden = inputs == dataset.vocabulary.mask
  count = counted.sum()
  assert count > 10_000
  np.testing.assert_allclose(hidden[counted].mean(), 0.8, atol=0.015)
  # A random token is the right one in one of ten cases.
  same = (inputs == targets)[counted].mean()
  np.testing.assert_allclose(same, 0.1 + 0.1 / 10, atol=0.015)
  np.testing.assert_array_equal(inputs[~counted], targets[~counted])
  np.testing.assert_allclose(counted.mean(axis=0), 0.15, atol=0.04)  # At every place.
  replaced = inputs[counted & ~hidden & (inputs != targets)]
  assert {*replaced} == {*range(10)}


def test_targets_are_the_tokens_of_the_text():
  dataset = masked()
  batch = whole(dataset, "validation")
  start = int(len(TEXT) * 0.9)
  expected = dataset.vocabulary.encode(TEXT[start:])
  np.testing.assert_array_equal(batch.targets.ravel()[:400], expected[:400])


def test_training_hides_other_tokens_in_each_pass_and_validation_the_same():
  dataset = masked()
  hidden = [whole(dataset, epoch=epoch).weights for epoch in range(2)]
  assert not np.array_equal(*hidden)
  hidden = [whole(dataset, "validation", epoch).weights for epoch in range(2)]
  np.testing.assert_array_equal(*hidden)
  assert not np.array_equal(hidden[0], whole(masked(seed=1), "validation").weights)
  some = dataset.examples("validation", 0, np.array([5, 2]))
  np.testing.assert_array_equal(some.weights, hidden[0][[5, 2]])


def test_runs_hide_other_tokens_unless_they_share_the_order():
  dataset = masked()
  one, other = (with_order(dataset, Order(seed)) for seed in (1, 2))
  numbers = np.arange(4)
  weights = [each.examples("train", 0, numbers).weights for each in (one, other)]
  assert not np.array_equal(*weights)
  again = with_order(dataset, Order(2)).examples("train", 0, numbers)
  np.testing.assert_array_equal(weights[1], again.weights)
  validation = [whole(each, "validation").weights for each in (one, other)]
  np.testing.assert_array_equal(*validation)


def test_what_lies_behind_the_end_of_the_text_is_hidden_and_no_target():
  dataset = masked()
  last = dataset.examples("validation", 0, np.array([dataset.size("validation") - 1]))
  # 401 characters to validate on: 10 windows of 40 next characters cover them.
  assert dataset.size("validation") == 10
  shorter = masked(sequence_length=37)
  number = shorter.size("validation") - 1
  row = shorter.examples("validation", 0, np.array([number]))
  real = 400 - 37 * number + 1
  assert 1 < real < 37
  assert row.weights[0, :real].sum() == max(1, round(0.15 * real))
  assert not row.weights[0, real:].any()
  assert (row.inputs[0, real:] == shorter.vocabulary.mask).all()
  assert last.weights.sum() == 6


def test_a_short_example_has_a_target():
  batch = whole(masked(sequence_length=2))
  assert (batch.weights.sum(axis=1) == 1).all()


def test_separators_are_neither_targets_nor_random_tokens(monkeypatch):
  dataset = masked(share=0.9, hidden=0.0, replaced=1.0)
  source = dataset.source
  plain = type(source).examples

  def separated(self, split, epoch, indices):
    batch = plain(self, split, epoch, indices)
    inputs = np.where(np.arange(LENGTH) % 4 == 0, 256, batch.inputs)
    return batch._replace(inputs=inputs.astype(np.int32))

  monkeypatch.setattr(type(source), "examples", separated)
  monkeypatch.setattr(type(source), "vocabulary", ByteVocabulary(True))
  batch = whole(dataset)
  separators = np.arange(LENGTH) % 4 == 0
  assert not batch.weights[:, separators].any()
  assert (batch.inputs[:, separators] == 256).all()
  assert (batch.weights.sum(axis=1) == 27).all()  # 90 % of 30.
  assert batch.inputs[:, ~separators].max() == 255
  assert (dataset.vocabulary.mask, dataset.vocabulary.separator) == (257, 256)


def test_a_mask_is_written_and_read():
  vocabulary = masked().vocabulary
  tokens = vocabulary.encode(f"ab{MASK}{MASK}c")
  assert list(tokens) == [2, 3, 10, 10, 4]
  assert vocabulary.decode(tokens) == f"ab{MASK}{MASK}c"
  assert vocabulary.decode([]) == ""


def test_a_token_of_the_vocabulary_may_be_the_mask():
  vocabulary = masked(mask_token="h").vocabulary
  assert (vocabulary.size, vocabulary.mask) == (10, 9)
  batch = whole(masked(mask_token="h", hidden=1.0, replaced=0.0))
  assert (batch.inputs[batch.weights > 0] == 9).all()
  assert (batch.targets[batch.weights > 0] != 9).all()
  assert not hasattr(MaskedVocabulary(vocabulary, 9, "h"), "token_bytes")


def test_the_mask_of_a_tokenizer_file(tmp_path):
  library = pytest.importorskip("tokenizers")
  names = {"[UNK]": 0, "[MASK]": 1, "one": 2, "two": 3}
  made = library.Tokenizer(library.models.WordLevel(names, "[UNK]"))
  made.pre_tokenizer = library.pre_tokenizers.Whitespace()
  made.add_special_tokens(["[UNK]", "[MASK]"])
  made.save(str(tmp_path / "tokenizer.json"))
  (tmp_path / "text.txt").write_text("one two two one " * 200)
  tokenizer = f"huggingface(path={str(tmp_path / 'tokenizer.json')!r})"
  of = f"text(path={str(tmp_path / 'text.txt')!r}, tokenizer={tokenizer!r})"
  given = {"data_dir": str(tmp_path), "sequence_length": 8, "of": of}
  vocabulary = Masked(mask_token="[MASK]", **given).vocabulary
  assert (vocabulary.mask, vocabulary.size) == (1, 4)
  assert vocabulary.encode("one[MASK]two").tolist() == [2, 1, 3]
  assert Masked(**given).vocabulary.mask == 4  # A new one.


def test_evaluation_at_other_lengths_and_held_out_examples():
  dataset = masked()
  longer = dataclasses.replace(dataset, sequence_length=100)
  assert whole(longer).weights.shape == (35, 100)
  assert (whole(longer).weights.sum(axis=1) == 15).all()
  assert longer.fingerprint == dataset.fingerprint
  held = hold_out(dataset, 0.25)
  assert held.tasks == ("masked",)
  one, other = (with_order(held, Order(seed)) for seed in (1, 2))
  first, second = (whole(each, "validation") for each in (one, other))
  np.testing.assert_array_equal(first.inputs, second.inputs)
  assert first.weights.sum() == 6 * held.size("validation")
  assert held.token_bytes is None


def test_options_and_the_text_are_in_the_fingerprint(monkeypatch):
  changes = [{}, {"share": 0.2}, {"hidden": 0.9}, {"replaced": 0.0}, {"seed": 1}]
  prints = [masked(**change).fingerprint for change in changes]
  monkeypatch.setattr(Notes, "load", lambda self: TEXT[:-1])
  prints.append(masked().fingerprint)
  assert len({*prints}) == len(prints)


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ({"share": 0.0}, "share=0.0): take more than 0"),
    ({"hidden": 0.8, "replaced": 0.3}, "at most 1 in total"),
    ({"replaced": -0.1}, "take 0 or more"),
    ({"seed": -1}, "take 0 or more"),
    ({"of": "parity"}, "its targets are labels, not next_token. Use one of: "),
    ({"of": "masked"}, "its targets are masked, not next_token"),
    ({"of": "python_dcos"}, "Did you mean 'python_docs'"),
    ({"of": ""}, "is not of the form"),
    ({"of": "tokens"}, "needs an option"),
    ({"mask_token": "[X]"}, "not one token of the vocabulary"),
    ({"mask_token": "ab"}, "not one token of the vocabulary"),
    ({"sequence_length": -1}, "sequence_length=-1: take 1 or more"),
  ],
)
def test_mistakes_are_refused(options, message):
  with pytest.raises(UserError) as error:
    whole(masked(**options))
  assert message in str(error.value)
  assert "\n" not in str(error.value)


def test_a_causal_model_is_refused():
  config = tiny_config(dataset="masked(of='notes(seed=1)')")
  with pytest.raises(UserError, match="Use --architecture=encoder") as error:
    assemble(config)
  assert "\n" not in str(error.value)
  config.architecture.name = "encoder"
  assert not assemble(config).decodes


def test_a_loss_on_hidden_tokens_has_no_bits_per_byte():
  one = np.float32(3)
  totals = [Measured(Sums(one, one, one), one, one, np.float32(0))]
  assert {*figures_of(masked(), "validation", totals)} == {"loss", "accuracy"}
  assert masked().token_bytes is token_bytes_of(masked().vocabulary) is None
  assert masked().best_loss is None


def test_a_run_keeps_the_vocabulary(monkeypatch):
  kept = masked().files()
  monkeypatch.delattr(Notes, "load")  # Sampling and maps need no data.
  assert masked(kept=kept).vocabulary.encode(f"a{MASK}").tolist() == [2, 10]
