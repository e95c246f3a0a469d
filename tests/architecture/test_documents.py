"""Models keep documents apart, or are refused in one line before anything compiles."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention_lab.errors import UserError
from attention_lab.experiment import assemble
from tests.parts import fill, tiny_config


@pytest.fixture
def tokens(tmp_path):
  """Return the spec of a dataset of token files with a separator."""
  np.save(tmp_path / "a.npy", np.arange(60) % 5)
  np.save(tmp_path / "b.npy", np.arange(40) % 3)
  files = f"train='{tmp_path}/a.npy', validation='{tmp_path}/b.npy'"
  return f"tokens({files}, sequence_length=8, separator=0)"


def experiment_of(**settings):
  """Return an experiment that keeps documents apart."""
  return assemble(tiny_config(data__document_mask=True, **settings))


def encoder(tokens, **settings):
  """Return an encoder of masked tokens that keeps documents apart."""
  settings = {"architecture__name": "encoder", "position": "learned", **settings}
  return experiment_of(dataset=f'masked(of="{tokens}")', **settings)


def test_an_encoder_keeps_documents_apart_in_both_directions(tokens):
  """Outputs of the middle document, with learned positions, which begin anew."""
  experiment = encoder(tokens, attention="standard,linear")
  params = fill(jax.eval_shape(lambda: experiment.init(0)), 1.0)
  apply = jax.jit(experiment.model.apply)
  text = jnp.array([[1, 2, 3, 0, 4, 1, 0, 2], [4, 4, 1, 0, 4, 1, 0, 3]], jnp.int32)
  first, second = apply(params, None, text, None)
  np.testing.assert_allclose(first[3:6], second[3:6], atol=1e-5)
  assert not np.allclose(first[:3], second[:3], atol=0.01)
  begun = apply(params, None, jnp.roll(text, -3, axis=1), None)[0]
  np.testing.assert_allclose(begun[:3], first[3:6], atol=1e-4)


def test_a_pooled_encoder_is_refused(tokens):
  experiment = encoder(tokens, architecture__name="encoder(head='pooled')")
  with pytest.raises(UserError, match="labels a sequence as a whole"):
    jax.eval_shape(lambda: experiment.init(0))


@pytest.mark.parametrize("attention", ["linformer", "nystrom", "standard,fourier"])
def test_attentions_that_mix_whole_rows_are_refused(tokens, attention):
  with pytest.raises(UserError) as error:
    encoder(tokens, attention=attention, position="none")
  name = attention.rpartition(",")[2]
  assert f"the attention {name!r} does not keep documents apart" in str(error.value)
  names = str(error.value).partition("Use one of: ")[2].rstrip(".").split(", ")
  assert {"standard", "linear"} <= set(names)
  assert not {"linformer", "nystrom", "fourier", "retention"} & set(names)


def test_pairs_are_refused():
  with pytest.raises(
    UserError, match="this architecture does not .* decoder_only, enc"
  ):
    experiment_of(architecture__name="encoder_decoder")


def test_a_dataset_without_a_separator_is_refused():
  with pytest.raises(UserError, match="this dataset names none.*separator=50256"):
    experiment_of()
