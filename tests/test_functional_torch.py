"""Tests of the layers against stored outputs of torch.nn; torch is not needed."""

import math

import jax
import numpy as np

from attention_lab import functional
from attention_lab.functional import (
  AttentionParameters,
  DecoderLayerParameters,
  EncoderLayerParameters,
  FeedForwardParameters,
  NormParameters,
)

# Made with torch 2.15.0 by:
#
# def fill(layer):  # torch.nn.Linear multiplies by its weight's transpose.
#   for i, p in enumerate(layer.parameters()):
#     n = torch.arange(p.numel(), dtype=torch.float64)
#     p.data = torch.sin(n + i).reshape(p.shape)
#
# kind = dict(dropout=0.0, batch_first=True, dtype=torch.float64)  # Post-norm, relu.
# source = torch.cos(torch.arange(24.0, dtype=torch.float64)).reshape(2, 3, 4)
# target = torch.cos(torch.arange(16.0, dtype=torch.float64) / 2).reshape(2, 2, 4)
# hidden = torch.tensor([[False, False, False], [False, False, True]])
# future = torch.ones(2, 2, dtype=torch.bool).triu(1)
# encoder = torch.nn.TransformerEncoderLayer(4, 2, 6, **kind)
# decoder = torch.nn.TransformerDecoderLayer(4, 2, 6, **kind)
# fill(encoder), fill(decoder)
# memory = encoder(source, src_key_padding_mask=hidden)
# output = decoder(target, memory, tgt_mask=future, memory_key_padding_mask=hidden)
# torch.set_printoptions(precision=12)
# print(memory, output)
TORCH_MEMORY = [
  [
    [-1.916002186115, -0.125462477172, 0.925232065926, 0.851369734452],
    [-1.682511281257, -1.079913648353, 0.630402056435, 0.399801671422],
    [-1.920442112830, -0.316244195662, 0.785792197940, 0.658590317603],
  ],
  [
    [-1.902006831361, -0.224799924667, 0.592641977082, 0.560003210904],
    [-1.851672882091, -0.600127744951, 0.680062106675, 0.509630925798],
    [-1.917249665023, -0.267208181938, 0.692246574207, 0.608407947413],
  ],
]
TORCH_OUTPUT = [
  [
    [-0.673651101202, -0.454678356202, 0.419377200893, 1.162718964322],
    [-0.673251022446, -0.456318118074, 0.419251439012, 1.162646508340],
  ],
  [
    [-0.689528642527, -0.415524845429, 0.442965252449, 1.165264800580],
    [-0.670666484525, -0.489867713857, 0.435571266458, 1.162018758510],
  ],
]


class TorchParameters:
  """Parameters of a torch layer by the formula above, in the order of `parameters()`."""

  def __init__(self):
    self._index = 0

  def draw(self, *shape):
    values = np.sin(np.arange(math.prod(shape)) + self._index).reshape(shape)
    self._index += 1
    return values

  def attention(self):
    weights = np.split(self.draw(12, 4), 3)  # Queries, keys and values.
    biases = np.split(self.draw(12), 3)
    weights.append(self.draw(4, 4))
    return AttentionParameters(*(w.T for w in weights), *biases, self.draw(4))

  def feed_forward(self):
    first, b1, second, b2 = self.draw(6, 4), self.draw(6), self.draw(4, 6), self.draw(4)
    return FeedForwardParameters(first.T, b1, second.T, b2)

  def norm(self):
    return NormParameters(self.draw(4), self.draw(4))


def test_encoder_and_decoder_layer_equal_torch(in_float64):
  torch = TorchParameters()
  attention, ffn, *norms = (
    torch.attention(),
    torch.feed_forward(),
    torch.norm(),
    torch.norm(),
  )
  encoder = EncoderLayerParameters(attention, norms[0], ffn, norms[1])
  torch = TorchParameters()
  own, cross, ffn = torch.attention(), torch.attention(), torch.feed_forward()
  norms = torch.norm(), torch.norm(), torch.norm()
  decoder = DecoderLayerParameters(own, norms[0], cross, norms[1], ffn, norms[2])
  source = np.cos(np.arange(24.0)).reshape(2, 3, 4)
  target = np.cos(np.arange(16.0) / 2).reshape(2, 2, 4)
  seen = np.array([[True, True, True], [True, True, False]])[:, None, :]

  @jax.jit
  def run(source, target):
    memory = functional.encoder_layer(source, encoder, seen, h=2, eps=1e-5)
    return memory, functional.decoder_layer(
      target, memory, decoder, memory_mask=seen, h=2, eps=1e-5
    )

  memory, output = run(source, target)
  np.testing.assert_allclose(memory, TORCH_MEMORY, atol=2e-12)
  np.testing.assert_allclose(output, TORCH_OUTPUT, atol=2e-12)
