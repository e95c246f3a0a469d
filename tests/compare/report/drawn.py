"""A synthetic comparison with everything that report.html can show."""

from pathlib import Path

import numpy as np

from attention_lab.compare.analysis.record import Comparison, Maps, Row, Run

NAMES = (
  "standard",
  "selective",
  "selective, d_ff 213, matched in parameters",
  "sliding_window(window=64), d_ff 1024",
  "linear",
  "retention",
  "gated_delta_net",
  "performer",
)


def run(rng, level, seed, points, steps, lengths):
  """Return a run whose loss falls approximately to a level."""
  final = level + 0.012 * rng.normal()
  at = np.linspace(steps / points, steps, points).astype(int)
  losses = final + 2.4 * np.exp(-5 * at / steps) + 0.004 * rng.normal(size=points)
  curve = [
    {"step": int(step), "split": "validation", "loss": float(loss)}
    for step, loss in zip(at, losses, strict=True)
  ]
  summary = {
    "leak_check": "passed",
    "steps": steps,
    "parameters": int(804_096 * (2 - level / 1.6)),
    "seconds": 300 * level + 4 * rng.random(),
    "tokens_per_second": 9000 / level,
    "flops_per_step": int(2e9 * level),
    "memory_bytes": 300_000_000 * level,
    "validation": {"loss": float(losses[-1]), "accuracy": 0.85 - 0.2 * final},
    "lengths": {
      str(n): {"loss": final, "accuracy": 0.9 - 0.2 * final - 0.02 * np.log2(n / 64)}
      for n in lengths
    },
  }
  return Run(seed, Path(f"cell/{seed}"), "finished", summary=summary, curve=curve)


def maps(rng, layers, heads, tokens):
  """Return causal maps of random weights."""
  size = len(tokens)
  scores = 2 * rng.normal(size=(layers, heads, size, size))
  scores -= 0.15 * np.abs(np.subtract.outer(np.arange(size), np.arange(size)))
  weights = np.exp(scores) * np.tri(size)
  return Maps(tokens, (weights / weights.sum(-1, keepdims=True)).astype(np.float32))


def costs(names, lengths=(128, 256, 512, 1024, 2048, 4096)):
  """Return costs: first quadratic, then with higher offsets and slower growth."""
  powers = [2.0, 1.9, 1.1, 1.0, 1.3]
  return [
    {
      "attention": name,
      "length": length,
      "kind": kind,
      "seconds": factor * 2e-4 * (1 + 2 * i) * (length / 128) ** powers[i],
      "memory_bytes": int(1e6 * (1 + i) * (length / 128) ** powers[i]),
    }
    for kind, factor in (("forward", 1), ("gradient", 3), ("decode", 0.01))
    for i, name in enumerate(names)
    for length in lengths
  ]


def comparison(
  rows=4, seeds=5, points=40, layers=4, heads=4, text="To be, or not to be", broken=True
):
  """Return a comparison of different rows, the last with a failed seed if `broken`."""
  rng = np.random.default_rng(0)
  levels = [1.6, 1.56, 1.575, 1.605, 1.7, 1.62, 1.58, 1.75]
  lengths = (64, 128, 256)
  made = []
  for i, name in enumerate(NAMES[:rows]):
    runs = [run(rng, levels[i], seed, points, 2000, lengths) for seed in range(seeds)]
    if broken and i == rows - 1:
      error = "XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory allocating 4294967296"
      runs[1] = Run(
        1, Path("cell/1"), "failed", f"{error} bytes (selective.py, line 31)"
      )
    settings = {"attention": name.split(",")[0]} if i else {}
    settings |= {"model.d_ff": 213} if "213" in name else {}
    matched = "d_ff 213 instead of 256: 0.3 % fewer parameters" if "213" in name else ""
    attends = maps(rng, layers, heads, list(text))
    made.append(Row(name, settings, matched, runs, attends))
  return Comparison(
    command="python -m attention_lab.main --mode=compare "
    "--attention='standard,selective,sliding_window(window=64)' --seeds=5 --match=both",
    rows=made,
    seeds=seeds,
    steps=2000,
    provenance={
      "versions": "attention_lab 0.1, jax 0.11.2, dm-haiku 0.0.17, numpy 2.3",
      "device": "cpu, 2 cores",
      "dataset": "shakespeare(sequence_length=64), sha256 " + "86c4e6aa9db7c042" * 4,
      "commit": "a4e6b1f" + "0" * 33,
    },
    costs=costs(("standard", "selective", "linear")),
    baseline={"attention": "standard", "model.d_ff": 256},
  )
