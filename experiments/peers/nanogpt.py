"""nanoGPT's model and training step in plain PyTorch, written anew: the peer to beat.

The model of karpathy/nanoGPT: learned positions, pre-norm without biases, GELU, tied
embeddings, `scaled_dot_product_attention`, AdamW, gradients clipped at 1. `compare.py`
starts it: it reads a number of steps from standard input, and answers with their seconds.
"""

import argparse
import sys
import time

import torch
from torch import nn
from torch.nn import functional


class Block(nn.Module):
  """x + attention(norm(x)), then x + feed-forward(norm(x))."""

  def __init__(self, d_model: int, num_heads: int):
    super().__init__()
    self.num_heads = num_heads
    self.norm_1 = nn.LayerNorm(d_model, bias=False)
    self.qkv = nn.Linear(d_model, 3 * d_model, bias=False)
    self.output = nn.Linear(d_model, d_model, bias=False)
    self.norm_2 = nn.LayerNorm(d_model, bias=False)
    self.up = nn.Linear(d_model, 4 * d_model, bias=False)
    self.down = nn.Linear(4 * d_model, d_model, bias=False)

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    batch, length, d_model = x.shape
    q, k, v = self.qkv(self.norm_1(x)).split(d_model, dim=2)
    heads = [
      y.view(batch, length, self.num_heads, -1).transpose(1, 2) for y in (q, k, v)
    ]
    y = functional.scaled_dot_product_attention(*heads, is_causal=True)
    x = x + self.output(y.transpose(1, 2).reshape(batch, length, d_model))
    return x + self.down(functional.gelu(self.up(self.norm_2(x))))


class GPT(nn.Module):
  """Tokens [B, T] and targets [B, T] → the mean loss in nats."""

  def __init__(self, sizes: argparse.Namespace):
    super().__init__()
    self.tokens = nn.Embedding(sizes.vocabulary, sizes.d_model)
    self.positions = nn.Embedding(sizes.length, sizes.d_model)
    self.blocks = nn.Sequential(
      *(Block(sizes.d_model, sizes.heads) for _ in range(sizes.layers))
    )
    self.norm = nn.LayerNorm(sizes.d_model, bias=False)
    self.apply(self._init)

  def _init(self, module: nn.Module) -> None:
    if isinstance(module, (nn.Linear, nn.Embedding)):
      nn.init.normal_(module.weight, std=0.02)

  def forward(self, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    at = torch.arange(inputs.shape[1])
    x = self.norm(self.blocks(self.tokens(inputs) + self.positions(at)))
    logits = functional.linear(x, self.tokens.weight)
    return functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__)
  for name in ("layers", "heads", "d_model", "length", "batch", "vocabulary"):
    parser.add_argument(f"--{name}", type=int, required=True)
  parser.add_argument("--compile", action="store_true")
  sizes = parser.parse_args()
  torch.manual_seed(0)
  model = GPT(sizes)
  decay = [p for p in model.parameters() if p.dim() > 1]
  other = [p for p in model.parameters() if p.dim() <= 1]
  optimizer = torch.optim.AdamW(
    [{"params": decay, "weight_decay": 0.1}, {"params": other, "weight_decay": 0.0}],
    lr=1e-3,
    betas=(0.9, 0.99),
  )
  loss_of = torch.compile(model) if sizes.compile else model
  text = torch.randint(sizes.vocabulary, (100_000,))

  def step() -> None:
    starts = torch.randint(len(text) - sizes.length - 1, (sizes.batch,)).tolist()
    rows = torch.stack([text[start : start + sizes.length + 1] for start in starts])
    loss = loss_of(rows[:, :-1].contiguous(), rows[:, 1:].contiguous())
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()

  for _ in range(3):
    step()
  print(sum(p.numel() for p in model.parameters()), flush=True)
  for line in sys.stdin:
    start = time.perf_counter()
    for _ in range(int(line)):
      step()
    print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
  main()
