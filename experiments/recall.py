"""Multi-query associative recall (Zoology, arXiv:2312.04927) at a size for a CPU.

python experiments/recall.py

The models have two layers, one head and learned positions, at two widths. Sequences have
64 tokens with 8 pairs, from a vocabulary of 64. The table shows the accuracy over the
queries of 512 validation examples after training.
"""

import sys
from pathlib import Path

import cells

ATTENTIONS = (
  "standard",
  "sliding_window(window=16)",
  "linear",
  "based",
  "retention",
  "delta_net",
  "gated_delta_net",
)
WIDTHS = (32, 64)  # d_model
SETTING = [
  "--dataset=associative_recall(pairs=8, vocabulary_size=64, random_filler=False)",
  "--position=learned",
  "--batch_size=64",
  "--config.model.num_layers=2",
  "--config.model.num_heads=1",
  "--config.model.init=fan_in",
  # Without weight decay: with 0.1, standard attention only learnt to guess among the
  # values of the pairs that had not been queried yet.
  "--config.train.optimizer=adamw(b2=0.99, weight_decay=0.0)",
  "--config.train.learning_rate=2e-3",
  "--config.evaluation.every=100000",
  "--config.checkpoint.every=100000",
  "--config.log.tensorboard=false",
]


def main() -> int:
  """Train the unfinished cells and print the table; return an exit status."""
  flags, run_flags = cells.parse_flags(__doc__, 4_000, "runs/recall")
  for seed in range(flags.seeds):
    for attention in ATTENTIONS:
      for width in WIDTHS:
        words = [f"--attention={attention}", f"--config.model.d_model={width}"]
        folder = _folder(flags.workdir, attention, width, seed)
        words += [*SETTING, *run_flags]
        if (status := cells.train(folder, flags.steps, seed, words)) != 0:
          return status
    print(_table(flags.workdir, range(seed + 1)))
  return 0


def _folder(workdir: Path, attention: str, width: int, seed: int) -> Path:
  return cells.run_folder(workdir, f"{attention.partition('(')[0]}-{width}", seed)


def _table(workdir: Path, seeds: range) -> str:
  lines = [["attention", *(f"d_model {width}" for width in WIDTHS)]]
  for attention in ATTENTIONS:
    found = [
      [
        cells.summary(_folder(workdir, attention, width, seed))["validation"]
        for seed in seeds
      ]
      for width in WIDTHS
    ]
    accuracies = (" ".join(f"{run['accuracy']:.3f}" for run in runs) for runs in found)
    lines.append([attention, *accuracies])
  return cells.markdown(lines)


if __name__ == "__main__":
  sys.exit(main())
