"""The list of broken attentions, and what several of them share."""

import dataclasses
import importlib

import jax
import jax.numpy as jnp

from attention_lab.attention.base.weighted import Weighted

BROKEN = []
FULL_DEPTH = []  # Those that their law detects in full depth only.


def breaks(law, depth="quick"):
  """Return a decorator that adds an attention and the law it breaks to BROKEN.

  Args:
    law: "module.variable" of a law in attention_lab.conformance.
    depth: depth from which on the law detects it.
  """

  def add(cls):
    attention = dataclasses.dataclass(kw_only=True)(cls)
    BROKEN.append((attention, law))
    if depth == "full":
      FULL_DEPTH.append(attention)
    return attention

  return add


def find_law(name):
  """Return the law that "module.variable" names."""
  module, variable = name.split(".")
  return getattr(
    importlib.import_module(f"attention_lab.conformance.{module}"), variable
  )


def difference(mask):
  """Return query positions minus context positions: [B, 1, T, S]."""
  return (mask.query_positions[:, :, None] - mask.context_positions[:, None])[:, None]


def present(mask):
  """Return which context slots hold a token: [B, 1, 1, S] bool."""
  return (mask.context_positions >= 0)[:, None, None]


def only_present(x, positions):
  """Return x [B, S, N, K], 0 where the position [B, S] is padding."""
  return jnp.where((positions >= 0)[..., None, None], x, 0)


def shifted(x, count):
  """Return x [B, T, ...], `count` tokens later, zeros in front."""
  widths = [(0, 0), (count, 0)] + [(0, 0)] * (x.ndim - 2)
  return jnp.pad(x, widths)[:, : x.shape[1]]


class Masked(Weighted):
  """Softmax attention with another rule of which query attends to which token."""

  def allowed(self, mask):
    """Return which query attends to which context token: [B, 1, T, S] bool."""
    return mask.dense()

  def attend(self, q, k, v, mask):
    weights = self.weights(self.scores(q, k, mask), self.allowed(mask))
    return self.read_out(weights, v)


def softmax_last(x):
  """Return the softmax over the last axis, in float32."""
  return jax.nn.softmax(x.astype(jnp.float32), axis=-1)
