"""Metrics of a text: per byte and per word, whatever the tokenizer; long contexts."""

import dataclasses

import jax
import numpy as np
import pytest

from attention_lab.dataset.base import windows
from attention_lab.dataset.base.dataset import datasets, num_batches
from attention_lab.dataset.base.strided import strided
from attention_lab.dataset.base.windows import Windows
from attention_lab.distributed.devices import replicate
from attention_lab.errors import UserError
from attention_lab.experiment import assemble
from attention_lab.training.evaluation import (
  figures_of,
  perplexities,
  split_sums,
)
from attention_lab.update import make_evaluate
from tests.parts import fill, tiny_config

LENGTH = 6  # Tokens of a window.
DOCUMENTS = ("hällo wide world", "one two", "", "drei  vier\nfünf", "the wide end")


class Subwords:
  """Pieces of words, of which some begin with a space, which decoding drops in front."""

  words = ("<|endoftext|>", *" aä\ndefhilnortuvwü", " w", "hä", "wide", " wid", "e w")
  size = len(words)
  separator = 0
  token_bytes = np.array([0, *(len(word.encode()) for word in words[1:])], np.int32)

  def encode(self, text):
    tokens = []
    while text:  # The longest piece first.
      best = max(filter(text.startswith, self.words), key=len)
      tokens.append(self.words.index(best))
      text = text[len(best) :]
    return np.array(tokens, np.int32)

  def decode(self, tokens):
    return "".join(self.words[int(token)] for token in tokens).removeprefix(" ")


@dataclasses.dataclass(kw_only=True)
class Documents(Windows):
  """The documents, each after a separator, as all splits."""

  sequence_length: int = LENGTH

  vocabulary = Subwords()
  fingerprint = ""

  @property
  def tokens(self):
    encoded = [[0, *self.vocabulary.encode(document)] for document in DOCUMENTS]
    return np.concatenate(encoded).astype(np.int32)

  def length(self, split):
    return len(self.tokens)

  def windows(self, split, starts):
    at = starts[:, None] + np.arange(self.sequence_length + 1)
    return self.tokens.take(at, mode="clip")


class Trained:
  """A model with arbitrary parameters, and what measures it on one device."""

  def __init__(self):
    with datasets.registered(Documents, "documents"):
      self.experiment = assemble(tiny_config(dataset="documents"))
    self.devices = jax.local_devices()[:1]
    self.host = fill(jax.eval_shape(lambda: self.experiment.init(0)))
    self.params = replicate(self.host, self.devices)
    self.logits = jax.jit(self.experiment.model.apply)
    self.run = make_evaluate(self.experiment.measure, self.devices)

  def sums(self, dataset):
    quiet = lambda done, total: None  # noqa: E731
    return split_sums(
      self.run, self.params, dataset, "validation", 2, self.devices, quiet
    )

  def nats(self, tokens, at):
    """The loss of a token, given the window of tokens before it or the first ones."""
    first = max(0, at - LENGTH)
    inputs = tokens[first : first + LENGTH][None]
    logits = self.logits(self.host, None, inputs, None)[0, at - 1 - first]
    return float(jax.nn.logsumexp(logits) - logits[tokens[at]])


@pytest.fixture(scope="module")
def trained():
  return Trained()


def test_bits_per_byte_are_of_the_original_text(trained):
  """All nats, those of separators too, over the bytes of the targets' text."""
  dataset = trained.experiment.dataset
  sums = trained.sums(dataset)
  nats = sum(float(each.sums.loss) for each in sums)
  size = sum(len(document.encode()) for document in DOCUMENTS)  # All but a separator.
  assert figures_of(dataset, "validation", sums)["bits_per_byte"] == pytest.approx(
    nats / np.log(2) / size
  )


def test_bits_per_byte_of_some_batches_are_exact(trained):
  dataset = trained.experiment.dataset
  sums = trained.sums(dataset)[1:3]
  targets = dataset.tokens[2 * LENGTH + 1 : 6 * LENGTH + 1]
  size = len(dataset.vocabulary.decode(targets[targets > 0]).encode())
  nats = sum(float(each.sums.loss) for each in sums)
  found = figures_of(dataset, "validation", sums)["bits_per_byte"]
  assert found == pytest.approx(nats / np.log(2) / size)


def test_bits_per_byte_of_other_tokens_are_by_the_mean(trained):
  """Without the bytes of each token, bits per byte use the mean of the split."""

  class Lossy(Documents):
    token_bytes = None
    bytes_per_token = lambda self, split: {"validation": 2.5}[split]  # noqa: E731

  dataset, none = Lossy(data_dir=""), jax.numpy.zeros(1)
  sums = [each._replace(size=none) for each in trained.sums(dataset)]
  found = figures_of(dataset, "validation", sums)
  assert found["bits_per_byte"] == pytest.approx(found["loss"] / np.log(2) / 2.5)
  assert perplexities(dataset, "validation", 1.0, sums).keys() == {"perplexity"}
  overlapping = figures_of(strided(dataset, 3), "validation", sums)
  assert overlapping["bits_per_byte"] == found["bits_per_byte"]


def test_perplexity_per_word_is_that_of_all_nats(trained):
  dataset = trained.experiment.dataset
  sums = trained.sums(dataset)
  nats = sum(float(each.sums.loss) for each in sums)
  tokens, words = len(dataset.tokens) - 1, sum(len(x.split()) for x in DOCUMENTS)
  assert perplexities(
    dataset, "validation", figures_of(dataset, "validation", sums)["loss"], sums
  ) == {
    "perplexity": pytest.approx(np.exp(nats / tokens)),
    "word_perplexity": pytest.approx(np.exp(nats / words)),
  }
  assert perplexities(dataset, "train", 1.0, sums).keys() == {
    "perplexity"
  }  # A part of it.


@pytest.mark.parametrize("block", [1, 2 * LENGTH, 1 << 20])
def test_words_are_counted_by_documents(block, monkeypatch):
  monkeypatch.setattr(windows, "BLOCK", block)
  words = sum(len(document.split()) for document in DOCUMENTS)
  assert Documents(data_dir="").words("validation") == words


@pytest.mark.parametrize("stride", range(1, LENGTH + 1))
@pytest.mark.parametrize("length", [2, LENGTH, LENGTH + 1, LENGTH + 2, 40])
def test_each_target_counts_once_with_a_long_context(stride, length, monkeypatch):
  monkeypatch.setattr(Documents, "length", lambda self, split: length)
  dataset = strided(Documents(data_dir=""), stride)
  everything = Documents(data_dir="").tokens
  contexts = {}  # By the place of the target.
  for step in range(num_batches(dataset, "validation", 3)):
    batch = dataset.batch("validation", step, 3)
    for row, place in np.argwhere(batch.weights > 0):
      at = (3 * step + row) * stride + place + 1
      assert at not in contexts
      contexts[at] = place + 1
      assert batch.targets[row, place] == everything[at]
  assert sorted(contexts) == list(range(1, length))
  for at, context in contexts.items():
    assert context >= min(at, LENGTH - stride + 1)


def test_stride_1_is_a_loop_over_full_contexts(trained):
  dataset = trained.experiment.dataset
  sums = trained.sums(strided(dataset, 1))
  tokens = dataset.tokens
  nats = [trained.nats(tokens, at) for at in range(1, len(tokens))]
  found = figures_of(dataset, "validation", sums)["loss"]
  assert found == pytest.approx(np.mean(nats), rel=1e-4)
  plain = figures_of(dataset, "validation", trained.sums(dataset))["loss"]
  assert abs(found - plain) > 0.01


def test_a_stride_as_long_as_a_window_is_none(trained):
  dataset = trained.experiment.dataset
  with_stride = figures_of(
    dataset, "validation", trained.sums(strided(dataset, LENGTH))
  )
  assert with_stride == figures_of(dataset, "validation", trained.sums(dataset))


@pytest.mark.parametrize(
  ("dataset", "stride", "answer"),
  [
    (
      Documents(data_dir=""),
      LENGTH + 1,
      "stride=7: windows of 6 tokens .* take 1 to 6",
    ),
    (datasets["copy"](data_dir=""), 1, "not consecutive windows .* omit it"),
  ],
)
def test_a_stride_that_cannot_be_is_refused(dataset, stride, answer):
  with pytest.raises(UserError, match=answer):
    strided(dataset, stride)
