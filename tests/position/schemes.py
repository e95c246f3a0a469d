"""Calls of a scheme's hooks as in an attention, with new parameters."""

import haiku as hk
import jax

from attention_lab.position.base.position import positions, shared_sample


def call(spec, method, *args, max_length=16, key=None, params=None):
  """Return a property, or the result of a hook; a key adds a random sample.

  `params` are by name.
  """

  def run():
    def build():
      return positions.bind(spec)(max_length=max_length)

    with shared_sample(build()):
      found = getattr(build(), method)
      return found(*args) if callable(found) else found

  transformed = hk.transform(run)
  fresh = transformed.init(jax.random.key(0))
  if params is not None:
    assert {name: x.shape for name, x in params.items()} == {
      name: x.shape for module in fresh.values() for name, x in module.items()
    }
    fresh = dict.fromkeys(fresh, params)
  return transformed.apply(fresh, key)
