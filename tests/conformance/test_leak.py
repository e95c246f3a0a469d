"""The leak check before training: every kind of leak is refused, in one line."""

import dataclasses
import json
import re

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention_lab.attention.base.attention import attentions
from attention_lab.conformance import leak, probe
from attention_lab.experiment import assemble
from attention_lab.mode import train
from attention_lab.training import preflight
from tests.commands import TINY, assert_refused
from tests.conformance.broken import NoBatchingRule, conditions
from tests.conformance.broken.base import Masked, difference, present
from tests.conformance.broken.blocks import Summaries
from tests.parts import tiny_config


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
  monkeypatch.setattr(train, "all_devices", lambda: jax.local_devices()[:1])
  return tmp_path / "cache" / "attention_lab" / "leaks"


@pytest.fixture
def mine(monkeypatch):
  """Register a class as the attention `mine`."""

  def register(attention):
    attention = dataclasses.dataclass(kw_only=True)(attention)
    monkeypatch.setitem(attentions._parts, "mine", attention)

  return register


BFLOAT16 = "--config.train.precision=bfloat16"


class RefusesOtherLengths(conditions.RefusesOtherLengths):
  """Refuses all lengths but that of training and that of assembly."""

  def allowed(self, mask):
    length = mask.query_positions.shape[1]
    return mask.dense() if length <= 3 else super().allowed(mask)


class SummarisesBlocksOf512(Summaries):
  """Adds the mean of the query's block of 512 tokens, complete or not."""

  def attend(self, q, k, v, mask):
    return super().attend(q, k, v, mask) + self.summaries(v, mask, 512)


class LeaksInManyRows(Masked):
  """Omits the mask for 8 rows and more."""

  def allowed(self, mask):
    return present(mask) if len(mask.query_positions) >= 8 else mask.dense()


class LeaksWithOneKernel(Masked):
  """Omits the mask with the kernel `blocked`."""

  def allowed(self, mask):
    return present(mask) if self.kernel == "blocked" else mask.dense()


class LeaksUnlessTraining(Masked):
  """Omits the mask in evaluations, which it recognises by the missing random key."""

  def allowed(self, mask):
    training = hk.maybe_next_rng_key() is not None
    return mask.dense() if training else present(mask)


class LeaksAcrossDocuments(Masked):
  """Compares positions alone, which also agree between documents."""

  def allowed(self, mask):
    return present(mask) & (difference(mask) >= 0)


class LeaksAtTwelve(Masked):
  """Omits the mask at 12 tokens."""

  def allowed(self, mask):
    twelve = mask.query_positions.shape[1] == 12
    return present(mask) if twelve else mask.dense()


class ClosedGate(Masked):
  """Mixes in the mean over all tokens by a gate that is closed initially."""

  def attend(self, q, k, v, mask):
    gate = hk.get_parameter("gate", (), v.dtype, init=hk.initializers.Constant(-20))
    mean = v.mean(axis=1, keepdims=True)
    return super().attend(q, k, v, mask) + jax.nn.sigmoid(gate) * mean


class LeaksALittle(Masked):
  """Mixes in a hundredth of the mean over all tokens."""

  def attend(self, q, k, v, mask):
    mean = v.mean(axis=1, keepdims=True)
    return super().attend(q, k, v, mask) + jnp.asarray(0.01, v.dtype) * mean


class LeaksAtOneToken(Masked):
  """Token 5 attends to token 6."""

  def allowed(self, mask):
    query, context = mask.query_positions, mask.context_positions
    late = (query == 5)[:, None, :, None] & (context == 6)[:, None, None]
    return mask.dense() | late


@pytest.mark.parametrize(
  ("attention", "words", "found"),
  [
    (conditions.LeaksIfAligned, (), "8 rows of 8 tokens, initial parameters"),
    (conditions.LeaksAtTrainingLength, (), "8 tokens"),
    (RefusesOtherLengths, (), "8 tokens"),
    (conditions.LeaksInBfloat16, (BFLOAT16,), "bfloat16"),
    (conditions.LeaksUnlessEvaluating, (), "with the random key"),
    (conditions.LeaksWithRandomKey, (), "with the random key"),
    (LeaksUnlessTraining, (), "without the random key"),
    (SummarisesBlocksOf512, (), "8 tokens"),
    (LeaksInManyRows, (), "8 rows"),
    (LeaksInManyRows, ("--config.train.micro_batches=4",), "8 rows .* without the"),
    (LeaksWithOneKernel, ("--config.kernel=blocked",), "8 rows"),
    (LeaksAtTwelve, ("--config.evaluation.extra_lengths=(12,)",), "12 tokens"),
    (ClosedGate, (), "perturbed parameters"),
    (LeaksALittle, (BFLOAT16,), "the gradient of the logits before token"),
    (LeaksAtOneToken, (), "from 6 on replaced, the logits of token 5"),
  ],
  ids=lambda x: x.__name__ if isinstance(x, type) else "",
)
def test_every_kind_of_leak_is_refused(
  attention, words, found, mine, command, tmp_path
):
  mine(attention)
  folder = tmp_path / "run"
  result = command(*TINY, "--attention=mine", f"--workdir={folder}", *words)
  assert_refused(result, "error: The attention 'mine' attends to future tokens: ")
  message = result[2]
  assert re.search(found, message), message
  change = r"with the tokens from \d+ on replaced, the logits of token \d+ change by "
  gradient = (
    r"the gradient of the logits before token \d+ with respect to token \d+ is "
  )
  assert re.search(f"({change}|{gradient})[0-9.e-]+ %", message), message
  assert "its loss would be meaningless" in message
  assert message.endswith("add --skip_checks.\n")
  assert not folder.exists()


def test_a_leak_of_512_whole_tokens_is_refused_at_that_length(mine, command):
  class Whole(Summaries):
    def attend(self, q, k, v, mask):
      return super().attend(q, k, v, mask) + self.summaries(v, mask, 512, 512)

  mine(Whole)
  data = "--dataset=copy(sequence_length=512, validation_examples=8)"
  result = command(*TINY, "--attention=mine", data, "--batch_size=2")
  assert_refused(result, "2 rows of 512 tokens")


def test_an_attention_that_raises_is_named(mine, command):
  mine(NoBatchingRule)
  assert_refused(command(*TINY, "--attention=mine"), "--attention=mine: ")


def test_several_attentions_are_named(mine, command):
  mine(conditions.LeaksIfAligned)
  words = ("--attention=standard,mine", "--config.model.num_layers=2")
  result = command(*TINY, *words)
  assert_refused(result, "One of the attentions 'standard', 'mine' attends to future")


def experiment_of(**changes):
  config = tiny_config(model__num_layers=1, skip_checks=False, **changes)
  return config, assemble(config)


def check(config):
  return preflight.check(config, jax.local_devices()[:1])


def test_the_verdict_is_kept_by_code_and_settings(cache, monkeypatch):
  config, _ = experiment_of()
  assert check(config).leak_check == "passed"
  (path,) = cache.glob("*.json")
  assert json.loads(path.read_text()) == {"leak": None, "exact": True}
  path.write_text('{"leak": "as before", "exact": false}')
  with pytest.raises(leak.UserError, match="attends as before, so"):
    check(config)
  found = []
  monkeypatch.setattr(leak, "_find", lambda *_: (found.append(1), True))
  for changes in (
    {"position": "alibi"},
    {"batch_size": 16},
    {"train__precision": "bfloat16"},
    {"train__micro_batches": 2},
    {"model__dropout": 0.1},
    {"dataset": "copy(sequence_length=10, validation_examples=8)"},
    {"evaluation__extra_lengths": (12,)},
  ):
    check(experiment_of(**changes)[0])
  assert len(found) == 7
  with pytest.raises(leak.UserError, match="as before"):  # The same model and shapes.
    check(experiment_of(steps=9)[0])
  monkeypatch.setattr(leak, "code_hash", lambda: "other code")
  with monkeypatch.context() as patch:
    patch.setattr(leak, "_find", lambda *_: (found.append(2), True))
    check(config)
  assert found[-1] == 2


def test_a_model_whose_documents_depend_on_each_other_is_refused(mine, tmp_path):
  """The first verdict also tells that the usual leak check does not see it."""
  np.save(tmp_path / "a.npy", np.arange(60) % 5)
  files = f"train='{tmp_path}/a.npy', validation='{tmp_path}/b.npy'"
  np.save(tmp_path / "b.npy", np.arange(40) % 3)
  dataset = f"tokens({files}, sequence_length=8, separator=0)"
  mine(LeaksAcrossDocuments)
  config, _ = experiment_of(attention="mine", dataset=dataset)
  assert check(config).leak_check == "passed"
  config.data.document_mask = True
  told = (
    r"attends to other documents: with the tokens before a separator at \d+ replaced"
  )
  with pytest.raises(leak.UserError, match=told):
    check(config)
  config.attention = "standard"
  assert check(config).leak_check == "passed"


def test_a_leak_behind_a_prefix_is_refused(mine):
  """Within the prefix, tokens may see later ones: the first cut that fails is behind it."""

  class Leaks(LeaksAtOneToken):
    honours_prefix = True

  mine(Leaks)
  config, _ = experiment_of(
    attention="mine", architecture__name="decoder_only(prefix=4)"
  )
  told = "from 6 on replaced, the logits of token 5"
  with pytest.raises(leak.UserError, match=told):
    check(config)


def test_a_damaged_verdict_is_replaced(cache, monkeypatch):
  monkeypatch.setattr(leak, "_find", lambda *_: (None, True))
  config, _ = experiment_of()
  check(config)
  (path,) = cache.glob("*.json")
  for damaged in ("{", "[]", '{"leak": null}', "3"):
    path.write_text(damaged)
    check(config)
    assert json.loads(path.read_text()) == {"leak": None, "exact": True}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_rounding_is_no_leak(precision, mine):
  class Convolves(Masked):
    """Convolves by FFT: rounding errors depend on all tokens."""

    def attend(self, q, k, v, mask):
      y, length = super().attend(q, k, v, mask), v.shape[1]
      decay = jnp.exp(-jnp.arange(length) / 4.0)
      values, kernel = v.astype(jnp.float32), decay[None, :, None, None]
      both = (jnp.fft.rfft(x, 2 * length, axis=1) for x in (values, kernel))
      product = next(both) * jnp.broadcast_to(next(both), (1, length + 1, 1, 1))
      convolved = jnp.fft.irfft(product, 2 * length, axis=1)[:, :length]
      return y + convolved.astype(v.dtype)

  mine(Convolves)
  config, _ = experiment_of(attention="mine", train__precision=precision)
  checked = check(config)
  assert (checked.leak_check, checked.exact) == ("passed", False)


def test_every_cut_is_tried_and_the_important_ones_first():
  cuts = probe.ordered_cuts(128, sizes=[20])
  assert sorted(cuts) == list(range(1, 128))
  assert {1, 127, 19, 20, 21, 119, 120, 121, 63, 64, 65} < set(cuts[:24])
  assert probe.ordered_cuts(1) == []


def test_perturbed_parameters_open_what_is_closed():
  rng = np.random.default_rng(0)
  params = {
    "weights": (0.02 * rng.normal(size=(50, 50))).astype(np.float32),
    "gate": np.float32(0),
    "closed": np.full(20, -8, np.float32),
  }
  up, down = (probe.perturbed(params, sign) for sign in (1, -1))
  assert 0.05 < np.std(up["weights"] - params["weights"]) < 0.07
  assert 1 <= abs(up["gate"]) <= 2
  assert (np.maximum(up["closed"], down["closed"]) >= 0).all()
  for a, b, c in zip(*map(jax.tree.leaves, (up, down, params)), strict=True):
    np.testing.assert_allclose(a + b, 2 * c, atol=1e-5)
    assert a.dtype == np.float32


def test_replaced_tokens_all_differ():
  tokens = np.arange(20, dtype=np.int32).reshape(2, 10) % 7
  other = probe.replaced(tokens, 7, seed=0)
  assert (other != tokens).all()
  assert other.max() < 7
