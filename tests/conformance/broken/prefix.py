"""Attentions that claim to honour a prefix, and do not."""

import dataclasses

from attention_lab.attention.standard import Standard
from attention_lab.kernel.mask import Mask
from tests.conformance.broken.base import breaks

LAW = "prefix.prefix_is_honoured"


@breaks(LAW)
class IgnoresPrefix(Standard):
  """Attends causally whatever the prefix."""

  def read(self, q, k, v, mask):
    return super().read(q, k, v, dataclasses.replace(mask, prefix=0))


@breaks(LAW)
class SeesBeyondPrefix(Standard):
  """Lets the prefix see the token behind it."""

  def read(self, q, k, v, mask):
    prefix = mask.prefix and mask.prefix + 1
    return super().read(q, k, v, dataclasses.replace(mask, prefix=prefix))


@breaks(LAW)
class DecodesWithoutPrefix(Standard):
  """Attends causally while it decodes."""

  def decode_mask(self, positions, context_positions):
    return Mask(positions, context_positions, causal=True)


@breaks(LAW)
class SeesAWindowOfThePrefix(Standard):
  """Leaves out what is farther away than three tokens, also within the prefix."""

  def attend(self, q, k, v, mask):
    return self.dot_product(q, k, v, mask, window=3)
