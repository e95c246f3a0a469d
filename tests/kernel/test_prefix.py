"""Kernels let a prefix see itself in both directions, without an array of all pairs."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention_lab.errors import UserError
from attention_lab.kernel import choose
from attention_lab.kernel.blocked import blocked
from attention_lab.kernel.mask import Mask, default_positions
from attention_lab.kernel.reference import reference
from attention_lab.kernel.xla import xla
from tests.kernel.test_documents import forms_pairs, with_documents
from tests.kernel.test_kernels import alibi, problem, small_blocks, values_and_gradients
from tests.parts import tiny_config

__all__ = ["small_blocks"]  # A fixture that is used everywhere in this module.

PREFIX, LONG = 6, 1024
# As in test_kernels: T, S, causal, aligned, window, bias, F, G.
SHAPES = [
  (13, 13, True, True, None, alibi, 4, 2),
  (34, 34, True, True, 3, None, 0, 4),  # The window would slide.
]


def with_prefix(asked):
  return asked._replace(mask=dataclasses.replace(asked.mask, prefix=PREFIX))


def test_a_mask_lets_the_prefix_see_itself():
  at = default_positions(jnp.zeros((1, 5)))
  seen = Mask(at, at, causal=True, prefix=3).dense()[0, 0].astype(int).tolist()
  first, behind = [1, 1, 1, 0, 0], [[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]]
  assert seen == [first, first, first, *behind]
  one, none = (Mask(at, at, causal=True, prefix=n) for n in (1, 0))
  np.testing.assert_array_equal(one.dense(), none.dense())
  assert Mask(at, at, causal=False, prefix=3).dense().all()


def test_padding_in_front_is_no_part_of_the_prefix():
  at = jnp.array([[-1, -1, 0, 1, 2]], jnp.int32)
  seen = Mask(at, at, causal=True, prefix=2).dense()[0, 0, 2:].astype(int).tolist()
  assert seen == [[0, 0, 1, 1, 0], [0, 0, 1, 1, 0], [0, 0, 1, 1, 1]]


@pytest.mark.parametrize(
  ("kernel", "shape", "error"),
  [*((blocked, shape, 1e-12) for shape in SHAPES), (xla, SHAPES[0], 1e-5)],
)
def test_kernels_equal_the_formula(kernel, shape, error, in_float64):
  """In outputs and gradients; JAX's own attention computes its softmax in float32."""
  asked = with_prefix(problem(shape, 0))
  found, expected = (
    jax.jit(partial(values_and_gradients, formula, asked))()
    for formula in (kernel, reference)
  )
  for actual, each in zip(found, expected, strict=True):
    np.testing.assert_allclose(actual, each, atol=error * float(jnp.abs(each).max()))
  causal = reference(problem(shape, 0))
  assert not np.allclose(causal, expected[0], atol=0.01)


def test_each_document_has_a_prefix_of_its_own(in_float64):
  asked = with_prefix(with_documents(SHAPES[0]))
  np.testing.assert_allclose(blocked(asked), reference(asked), atol=1e-12)


def test_cudnn_is_replaced_by_blocks(monkeypatch):
  asked = problem((19, 19, True, True, None, None, 0, 4), 0)
  q, k, v = (
    jnp.pad(x, [(0, 0)] * 3 + [(0, 8 - x.shape[-1])]).astype(jnp.bfloat16)
    for x in asked[:3]
  )
  asked = asked._replace(q=q, k=k, v=v)
  monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
  monkeypatch.setattr(choose, "LARGE", 0)
  assert choose._best(asked) == "cudnn"
  assert choose._best(with_prefix(asked)) == "blocked"
  with pytest.raises(UserError, match="kernel=cudnn has no mask in which a prefix"):
    choose.attend(with_prefix(asked), "cudnn")


@pytest.mark.parametrize("kernel", ["blocked", "reference"])
def test_a_loss_and_its_gradient_form_no_array_of_pairs(kernel, monkeypatch):
  """At 1,024 tokens, 300 of them the prefix; the plain formula forms some."""
  monkeypatch.undo()  # Blocks of their usual size.
  dataset = f"copy(sequence_length={LONG}, validation_examples=8)"
  architecture = "decoder_only(prefix=300)"
  config = tiny_config(dataset=dataset, architecture__name=architecture, kernel=kernel)
  assert forms_pairs(config) == (kernel == "reference")
