"""Kernels keep documents apart, and form no array of all pairs of tokens for it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention_lab.errors import UserError
from attention_lab.experiment import assemble
from attention_lab.kernel import choose
from attention_lab.kernel.blocked import blocked
from attention_lab.kernel.documents import begin_anew, cumulate
from attention_lab.kernel.mask import default_positions
from attention_lab.kernel.reference import reference
from attention_lab.kernel.xla import xla
from tests.kernel.test_kernels import alibi, problem, small_blocks, values_and_gradients
from tests.parts import tiny_config

__all__ = ["small_blocks"]  # A fixture that is used everywhere in this module.

# As in test_kernels: T, S, causal, aligned, window, bias, F, G.
SHAPES = [
  (19, 19, True, True, None, alibi, 4, 2),
  (38, 38, True, True, 3, None, 0, 4),  # The window slides.
  (19, 19, False, False, None, None, 0, 4),
]
LONG = 1024


def with_documents(shape):
  """A problem whose rows hold documents that begin at other tokens in each row."""
  asked = problem(shape, 0)
  length = shape[0]
  starts = jnp.stack([jnp.arange(length) % 11 == 3, jnp.arange(length) % 17 == 0])
  at, segments = begin_anew(default_positions(asked.q), starts)
  mask = dataclasses.replace(
    asked.mask,
    query_positions=at,
    context_positions=at,
    query_segments=segments,
    context_segments=segments,
  )
  return asked._replace(mask=mask)


@pytest.mark.parametrize(
  ("kernel", "shape", "error"),
  [*((blocked, shape, 1e-12) for shape in SHAPES), (xla, SHAPES[0], 1e-5)],
)
def test_kernels_equal_the_formula(kernel, shape, error, in_float64):
  """JAX's own attention computes its softmax in float32."""
  asked = with_documents(shape)
  expected = values_and_gradients(reference, asked)
  for actual, each in zip(values_and_gradients(kernel, asked), expected, strict=True):
    scale = float(jnp.abs(each).max())
    np.testing.assert_allclose(actual, each, atol=error * scale)
  one = dataclasses.replace(asked.mask, query_segments=None, context_segments=None)
  together = reference(asked._replace(mask=one))
  assert not np.allclose(together, expected[0], atol=0.01)


def test_cudnn_is_replaced_by_blocks(monkeypatch):
  asked = with_documents(SHAPES[0])._replace(bias=None, dropout=0.0)
  low = (asked.q[..., :4], asked.k, asked.v[..., :4])
  q, k, v = (jnp.tile(x, (1, 1, 1, 2)).astype(jnp.bfloat16) for x in low)
  monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
  monkeypatch.setattr(choose, "LARGE", 0)
  asked = asked._replace(
    q=q, k=k, v=jnp.pad(v, [(0, 0)] * 3 + [(0, 2)]), rotations=None
  )
  one = dataclasses.replace(asked.mask, query_segments=None, context_segments=None)
  assert choose._best(asked._replace(mask=one)) == "cudnn"
  assert choose._best(asked) == "blocked"
  with pytest.raises(UserError, match="kernel=cudnn keeps documents apart only if"):
    choose.attend(asked, "cudnn")


def squares(program):
  """Yield the shapes in a program of two axes of `LONG` entries or more."""
  for equation in program.eqns:
    for value in equation.outvars:
      if sum(size >= LONG for size in value.aval.shape) > 1:
        yield value.aval.shape
    for leaf in jax.tree.leaves(list(equation.params.values())):
      inner = getattr(leaf, "jaxpr", leaf)
      if hasattr(inner, "eqns"):
        yield from squares(inner)


def forms_pairs(config):
  """Return whether a loss and its gradient form an array of all pairs of tokens."""
  experiment = assemble(config)
  params = jax.eval_shape(lambda: experiment.init(0))
  batch = experiment.dataset.batch("train", 0, 2)
  step = jax.value_and_grad(lambda params: experiment.loss(params, None, batch).loss)
  return bool(list(squares(jax.make_jaxpr(step)(params).jaxpr)))


@pytest.mark.parametrize("kernel", ["blocked", "reference"])
def test_a_loss_and_its_gradient_form_no_array_of_pairs(kernel, tmp_path, monkeypatch):
  """With documents, at 1,024 tokens; the plain formula forms some."""
  monkeypatch.undo()  # Blocks of their usual size.
  np.save(tmp_path / "a.npy", np.arange(3000) % 5)
  np.save(tmp_path / "b.npy", np.arange(2000) % 3)
  files = f"train='{tmp_path}/a.npy', validation='{tmp_path}/b.npy'"
  dataset = f"tokens({files}, sequence_length={LONG}, separator=0)"
  config = tiny_config(dataset=dataset, data__document_mask=True, kernel=kernel)
  assert forms_pairs(config) == (kernel == "reference")


def test_sums_begin_anew_exactly():
  x = jnp.array([[1e30, 1.0, 2.0, -1e30, 0.5]])
  starts = jnp.array([[False, True, False, True, True]])
  assert cumulate(jnp.add, x, starts, axis=1).tolist() == [
    [np.float32(1e30), 1.0, 3.0, np.float32(-1e30), 0.5]
  ]
  ends = jnp.array([[True, False, True, True, False]])
  backwards = cumulate(jnp.add, x, ends, axis=1, reverse=True)
  assert backwards[0, 1:3].tolist() == [3.0, 2.0]
