"""A prefix language model: who sees whom, decoding, and what is refused in one line."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention_lab.attention.base.attention import attentions
from attention_lab.conformance.functions import in_chunks
from attention_lab.errors import UserError
from attention_lab.experiment import assemble
from attention_lab.kernel.mask import default_positions
from tests.conformance.broken import prefix as broken
from tests.parts import fill, tiny_config

LENGTH, PREFIX = 8, 3
PREFIXED = f"decoder_only(prefix={PREFIX})"
i, j = np.indices((LENGTH, LENGTH))
SEEN = (j <= i) | ((i < PREFIX) & (j < PREFIX))  # By output and token.
TOKENS = jnp.asarray(np.random.default_rng(0).integers(9, size=(2, LENGTH)), jnp.int32)


def experiment_of(**changes):
  """Return a tiny experiment with a prefix."""
  return assemble(tiny_config(**{"architecture__name": PREFIXED, **changes}))


@functools.lru_cache(maxsize=8)
def model(**changes):
  """Return a tiny model with a prefix, its parameters and its jitted pass."""
  experiment = experiment_of(**changes)
  params = fill(jax.eval_shape(lambda: experiment.init(0)))
  return experiment.model, params, jax.jit(experiment.model.apply)


def refused(**changes):
  """Return the message with which an experiment with a prefix is refused."""
  with pytest.raises(UserError) as error:
    experiment_of(**changes)
  assert "\n" not in str(error.value)
  return str(error.value)


def test_the_prefix_sees_itself_and_nothing_behind_it():
  """Which logits change if a token is replaced, as in a causal model but for the prefix."""
  _, params, apply = model()
  rows = jnp.repeat(TOKENS[:1], 1 + LENGTH, axis=0)
  rows = rows.at[jnp.arange(1, 1 + LENGTH), jnp.arange(LENGTH)].add(1) % 9
  logits = np.asarray(apply(params, None, rows, None))
  changed = (logits[1:] != logits[:1]).any(axis=2).T  # [output, token]
  np.testing.assert_array_equal(changed, SEEN)


@pytest.mark.parametrize(
  "changes",
  [
    {"position": "t5", "model__num_layers": 1},
    {"attention": "latent,haiku", "position": "learned"},
    {"model__layer_stack": "always", "attention": "standard"},
  ],
  ids=str,
)
def test_decoding_behind_the_prefix_equals_the_full_pass(changes):
  net, params, apply = model(**changes)
  expected = apply(params, None, TOKENS, None)
  extend = functools.partial(jax.jit(net.extend), params, None)
  at = default_positions(TOKENS)
  for chunks in ((PREFIX, *(1,) * 5), (5, 3)):
    state = net.initial_state(params, None, *TOKENS.shape, jnp.float32)
    decoded = in_chunks(extend, state, TOKENS, at, chunks)
    np.testing.assert_allclose(decoded, expected, rtol=1e-4, atol=1e-4)


def test_weights_are_those_of_the_mask():
  net, params, _ = model()
  layers = net.attention_weights(params, None, TOKENS, default_positions(TOKENS))
  for (weights,) in layers:
    assert (np.asarray(weights > 0).all(axis=(0, 1)) == SEEN).all()
    assert (np.asarray(weights > 0).any(axis=(0, 1)) == SEEN).all()


def test_t5_has_buckets_of_its_own_for_later_tokens():
  """As mesh-tensorflow's prefix LM has them: within the prefix, the next token is later."""
  _, params, apply = model(position="t5")
  other = {
    name: {key: x.at[17].add(3.0) if key == "table" else x for key, x in own.items()}
    for name, own in params.items()
  }
  changed, same = (apply(each, None, TOKENS, None) for each in (other, params))
  assert not np.allclose(changed[:, : PREFIX - 1], same[:, : PREFIX - 1], atol=1e-3)


@pytest.mark.parametrize(
  "attention", ["linear", "standard,retention", "sliding_window", "selective"]
)
def test_attentions_that_are_causal_by_construction_are_refused(attention):
  message = refused(attention=attention)
  name = attention.rpartition(",")[2]
  assert message.startswith(f"The attention '{name}' does not honour a prefix")
  assert "standard" in message.partition("Use one of: ")[2].rstrip(".").split(", ")


@pytest.mark.parametrize(
  ("attention", "found"),
  [
    (broken.IgnoresPrefix, "output 0 does not depend on token 1."),
    (broken.SeesBeyondPrefix, "output 0 depends on token 4."),
    (
      broken.DecodesWithoutPrefix,
      "output 0 does not depend on token 1 in `extend`.",
    ),
  ],
)
def test_an_attention_that_only_says_so_is_refused(attention, found, monkeypatch):
  monkeypatch.setitem(attentions._parts, "mine", attention)
  start = "The attention 'mine' declares honours_prefix, but with a prefix of 4 tokens "
  assert refused(attention="mine").startswith(start + found)


@pytest.mark.parametrize(
  ("changes", "found"),
  [
    (
      {"architecture__name": "decoder_only(prefix=8)"},
      "a sequence has 8 tokens, .*=7 or less",
    ),
    ({"architecture__name": "decoder_only(prefix=-1)"}, "0 tokens or more"),
    ({"data__document_mask": True}, "document_mask=true several documents"),
    ({"kernel": "cudnn"}, "--config.kernel=cudnn has no mask"),
  ],
)
def test_what_does_not_go_with_a_prefix_is_refused(changes, found):
  assert re.search(found, refused(**changes))


def test_a_prefix_of_no_token_changes_nothing():
  params, tokens = model()[1], TOKENS
  none = assemble(tiny_config(architecture__name="decoder_only(prefix=0)"))
  plain = assemble(tiny_config())
  text = [
    str(jax.make_jaxpr(x.model.apply)(params, None, tokens, None))
    for x in (none, plain)
  ]
  assert text[0] == text[1]
  assert plain.dataset.fingerprint == experiment_of().dataset.fingerprint
