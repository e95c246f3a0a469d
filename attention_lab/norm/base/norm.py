"""Contract of a normalisation: one method to write."""

import abc
import dataclasses
from typing import ClassVar

import jax

from attention_lab.nn.module import Module
from attention_lab.plugin.contract import Contract
from attention_lab.plugin.registry import Registry, fields_of


@dataclasses.dataclass(kw_only=True)
class Norm(Module):
  """Normalises vectors: [..., D] → [..., D].

  The block supplies the fields below; the fields of a subclass are its options.
  """

  offset: bool = False  # Whether to add a bias [D]: the setting `model.norm_offset`.
  name: str | None = None  # Of the module, in the names of its parameters.

  # Whether it can add a bias. If it cannot, a run that asks for one is refused.
  has_offset: ClassVar[bool] = False

  @abc.abstractmethod
  def __call__(self, x: jax.Array) -> jax.Array:
    """Normalise the last axis: [..., D] → [..., D], of x's dtype."""


norms = Registry("norm", Contract(Norm), fields_of(Norm), "model.norm_layer")
register_norm = norms.register
