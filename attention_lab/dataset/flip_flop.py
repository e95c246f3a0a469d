"""Flip-flop language modelling: a bit is written, ignored and read again.

Liu et al., arXiv:2306.00946.
"""

import dataclasses

import numpy as np

from attention_lab.dataset.base.counter_random import CounterRandom
from attention_lab.dataset.base.dataset import Batch, register_dataset
from attention_lab.dataset.base.generated import Generated
from attention_lab.dataset.base.reference import around
from attention_lab.tokenizer.base.vocabulary import CharacterVocabulary

WRITE, READ, IGNORE = range(3)


@register_dataset("flip_flop")
@dataclasses.dataclass(kw_only=True)
class FlipFlop(Generated):
  """`w1 i0 i1 r1 w0 …`, without the spaces: the bit behind `r` is the last one written.

  Instructions w (write), r (read) and i (ignore) have a bit each. The first instruction
  writes and the last one reads; the others ignore with probability `ignore`, else write or
  read alike. Bits are random except those behind `r`, which count alone. The paper has a
  sequence_length of 512, trains with ignore=0.8 and also tests 0.98 and 0.1.
  """

  sequence_length: int = 128  # Tokens in an example, even: instructions and bits.
  ignore: float = 0.8  # Probability that an instruction ignores its bit.

  def check(self) -> None:
    even = self.sequence_length >= 4 and self.sequence_length % 2 == 0
    self.require("sequence_length", even, "an even number, 4 or more")
    self.require("ignore", 0 <= self.ignore <= 1, "a probability between 0 and 1")

  @property
  def vocabulary(self) -> CharacterVocabulary:
    return CharacterVocabulary("wri01")

  def generate(self, random: CounterRandom) -> tuple[np.ndarray, np.ndarray]:
    count = self.sequence_length // 2
    chance, other = random.uniform(count), random.integers(2, count)
    instructions = np.where(chance < self.ignore, IGNORE, other)
    instructions[:, 0], instructions[:, -1] = WRITE, READ

    written = np.where(instructions == WRITE, np.arange(count), 0)
    written = np.maximum.accumulate(written, axis=1)
    bits = random.integers(2, count)
    reads = instructions == READ
    bits = np.where(reads, np.take_along_axis(bits, written, axis=1), bits)

    # The first token of another instruction ends the example, and does not count.
    tokens = np.full((random.rows, self.sequence_length + 1), IGNORE)
    counts = np.zeros(tokens.shape, bool)
    tokens[:, 0:-1:2], tokens[:, 1::2] = instructions, 3 + bits
    counts[:, 1::2] = reads
    return tokens, counts

  def reference_attention(self, batch: Batch) -> np.ndarray:
    places = np.arange(self.sequence_length)
    written = np.where(batch.inputs == WRITE, places, 0)
    written = np.maximum.accumulate(written, axis=1)
    return around(written[:, :, None] == places, (0, 1))
