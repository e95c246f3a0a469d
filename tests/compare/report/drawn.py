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

SETTINGS = {
  "batch_size": 16,
  "train.learning_rate": 0.006,
  "model.num_layers": 4,
  "model.num_heads": 4,
  "model.d_model": 64,
  "model.d_ff": None,
}


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
  weights = (weights / weights.sum(-1, keepdims=True)).astype(np.float32)
  return Maps(tokens, weights, range(1, layers + 1))


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


def row_cost(index):
  """Return the measured cost of a row; later rows train slower and decode in less."""
  return {
    "step_seconds": 0.04 * (1 + 0.2 * index),
    "tokens_per_second": 25_000 / (1 + 0.2 * index),
    "step_memory_bytes": 90_000_000 * (1 + 0.1 * index),
    "decode_seconds": 0.0004 / (1 + 0.2 * index),
    "state_bytes": {
      "1024": 2_097_152 // (1 + index),
      "16384": 33_554_432 // (1 + index),
    },
  }


def grid(rates=(0.001, 0.003, 0.01), sizes=(128, 256)):
  """Return a comparison of two attentions over two numeric settings."""
  rng = np.random.default_rng(1)
  keys, rows = ("train.learning_rate", "model.d_ff"), []
  baseline = {"attention": "standard", keys[0]: rates[0], keys[1]: sizes[0]}
  for attention, level in (("standard", 1.6), ("linear", 1.65)):
    for i, rate in enumerate(rates):
      for j, size in enumerate(sizes):
        runs = [
          run(rng, level + 0.05 * abs(i - 1) - 0.02 * j, seed, 5, 2000, ())
          for seed in range(3)
        ]
        settings = {"attention": attention, keys[0]: rate, keys[1]: size}
        settings = {k: v for k, v in settings.items() if v != baseline[k]}
        name = f"{attention}, learning rate {rate:g}, d_ff {size}"
        rows.append(Row(name, settings, "", runs))
  return comparison(1)._replace(rows=rows, costs=(), baseline=baseline, seeds=3)


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
      "date": "2026-11-26",
      "device": "1 × Abacus 9000, 2 cores (cpu)",
      "dataset": "shakespeare(sequence_length=64), sha256 " + "86c4e6aa9db7c042" * 4,
      "commit": "a4e6b1f" + "0" * 33 + " with uncommitted changes",
    },
    costs=costs(("standard", "selective", "linear")),
    baseline={"attention": "standard", "model.d_ff": 256},
    dataset="shakespeare(sequence_length=64)",
    row_costs={row.name: row_cost(i) for i, row in enumerate(made)},
    settings=SETTINGS,
  )
