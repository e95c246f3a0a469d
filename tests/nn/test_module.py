"""Modules whose `__post_init__` does not call that of the base are refused."""

import dataclasses

import haiku as hk
import pytest

from attention_lab.errors import UserError
from attention_lab.nn.module import Module


@dataclasses.dataclass(kw_only=True)
class Half(Module):
  """Module with a derived attribute."""

  width: int = 4

  def __post_init__(self):
    super().__post_init__()
    self.half = self.width // 2


@dataclasses.dataclass(kw_only=True)
class Forgetful(Half):
  """Module without the call of the base's method."""

  def __post_init__(self):
    self.half = 1


def build(cls, **options):
  """Return a module, built in a transform."""
  return hk.transform(lambda: cls(**options)).apply({}, None)


def test_module_with_the_call_is_built():
  assert build(Half, width=6).half == 3


@pytest.mark.parametrize("cls", [Forgetful, type("Child", (Forgetful,), {})])
def test_module_without_the_call_is_refused_with_its_line(cls):
  with pytest.raises(UserError) as error:
    build(cls)
  line = Forgetful.__post_init__.__wrapped__.__code__.co_firstlineno
  assert str(error.value) == (
    f"Forgetful.__post_init__ (test_module.py, line {line}) does not call the method "
    f"that it overrides: begin it with super().__post_init__()."
  )
