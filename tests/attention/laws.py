"""What every attention has to obey, each law a function that raises where it is broken."""

import jax
import jax.numpy as jnp
import numpy as np

from attention_lab.attention.mask import Mask
from tests.parts import B, T, attention_functions, default_positions, inputs

TOLERANCE = {"rtol": 2e-5, "atol": 2e-6}


def tomorrow_never_changes_today(attention: str, position: str) -> None:
  """No output depends on a later input, by the whole Jacobian."""
  f = attention_functions(attention, position)
  at = default_positions()

  def total(x):  # Rows differ in weight, so that no two gradients cancel.
    y = f.apply(f.params, None, x, x, Mask(at, at, causal=True))
    return y.sum(axis=(0, 2))

  jacobian = np.abs(jax.jit(jax.jacrev(total))(inputs())).sum(axis=(1, 3))  # [T, T]
  assert np.triu(jacobian, k=1).max() == 0, "an output depends on a later input"
  assert np.diag(jacobian).min() > 0, "an output does not depend on its own input"


def padding_is_never_read(attention: str, position: str) -> None:
  """What stands where the context position is negative does not matter."""
  f = attention_functions(attention, position)
  at = default_positions()
  context_at = at.at[:, 2:4].set(-1)
  mask = Mask(at, context_at, causal=False)
  x = inputs()
  other = x.at[:, 2:4].set(100.0)
  expected = f.apply(f.params, None, x, x, mask)
  np.testing.assert_allclose(
    f.apply(f.params, None, x, other, mask), expected, err_msg="padding is read"
  )
  moved = x.at[:, 4].add(1.0)
  changed = f.apply(f.params, None, x, moved, mask)
  assert not np.allclose(changed, expected), "what is no padding is not read"


def chunks_equal_the_whole(attention: str, position: str) -> None:
  """Decoding in any chunks gives the rows of the full pass, padding in front or not."""
  f = attention_functions(attention, position)
  x = inputs()
  padded = jnp.array([[-1, -1, 0, 1, 2, 3]] * B, jnp.int32)
  for at in (default_positions(), padded):
    mask = Mask(at, at, causal=True)
    whole = f.apply(f.params, None, x, x, mask)
    real = np.asarray(at[0] >= 0)
    for chunks in ((T,), (1,) * T, (2, 3, 1)):
      parts = f.decode(f.params, x, at, chunks)
      np.testing.assert_allclose(
        parts[:, real], whole[:, real], **TOLERANCE, err_msg=f"chunks {chunks}"
      )


def seeing_nobody_is_finite(attention: str, position: str) -> None:
  """A query that may see nobody gives finite numbers and finite gradients."""
  f = attention_functions(attention, position)
  at = default_positions()
  mask = Mask(at, jnp.full_like(at, -1), causal=True)

  def total(params, x):
    return f.apply(params, None, x, x, mask).sum()

  value, gradient = jax.jit(jax.value_and_grad(total))(f.params, inputs())
  leaves = [value, *jax.tree.leaves(gradient)]
  assert all(np.isfinite(leaf).all() for leaf in leaves), "not finite"


def jit_equals_eager(attention: str, position: str) -> None:
  """Compiling changes nothing but rounding."""
  f = attention_functions(attention, position)
  at = default_positions()
  mask = Mask(at, at, causal=True)
  with jax.disable_jit():
    eager = f.apply(f.params, None, inputs(), inputs(), mask)
  jitted = f.apply(f.params, None, inputs(), inputs(), mask)
  np.testing.assert_allclose(jitted, eager, **TOLERANCE)


def rows_are_independent(attention: str, position: str) -> None:
  """One sequence of a batch never changes another."""
  f = attention_functions(attention, position)
  at = default_positions()
  mask = Mask(at, at, causal=True)
  x = inputs()
  other = x.at[0].set(x[0] * 2 + 1)
  both = [f.apply(f.params, None, one, one, mask) for one in (x, other)]
  np.testing.assert_allclose(both[0][1], both[1][1], err_msg="rows mix")
  assert not np.allclose(both[0][0], both[1][0])


LAWS = (
  tomorrow_never_changes_today,
  padding_is_never_read,
  chunks_equal_the_whole,
  seeing_nobody_is_finite,
  jit_equals_eager,
  rows_are_independent,
)


def an_option_changes_something(attention: str, option: str, value: object) -> None:
  """An option that is accepted has an effect, on the output or on the parameters."""
  at = default_positions()
  results = []
  for spec in (attention, f"{attention}({option}={value!r})"):
    f = attention_functions(spec)
    y = f.apply(f.params, jax.random.key(1), inputs(), inputs(), Mask(at, at, True))
    results.append((jax.tree.structure(f.params), np.asarray(y)))
  same = results[0][0] == results[1][0] and np.array_equal(results[0][1], results[1][1])
  assert not same, f"{option}={value!r} changes nothing"
