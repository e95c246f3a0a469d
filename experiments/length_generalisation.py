"""Accuracy beyond the training length, by positional scheme, on copying.

python experiments/length_generalisation.py

Models are trained to copy strings of 16 letters from an alphabet of 8 (32 tokens), and
evaluated on shorter and longer ones.
"""

import sys
from pathlib import Path

import cells

POSITIONS = (
  "none",
  "sinusoidal",
  "rope",
  "alibi",
  "t5",
  "fire",
  "randomized(of='rope', longest=128)",
)
LENGTHS = (16, 32, 48, 64, 128)
SETTING = [
  "--dataset=copy(sequence_length=32)",
  "--batch_size=32",
  "--config.model.num_layers=3",
  # With gpt2's standard deviation of 0.02, embeddings are negligible next to sinusoidal
  # positions, and nothing was learnt.
  "--config.model.init=fan_in",
  "--config.train.learning_rate=2e-3",
  f"--config.evaluation.extra_lengths={','.join(map(str, LENGTHS))}",
  "--config.evaluation.every=100000",
  "--config.checkpoint.every=100000",
  "--config.log.tensorboard=false",
]


def main() -> int:
  """Train the unfinished cells and print the table; return an exit status."""
  flags, run_flags = cells.parse_flags(__doc__, 3_000, "runs/length_generalisation")
  for seed in range(flags.seeds):
    for position in POSITIONS:
      folder = _folder(flags.workdir, position, seed)
      words = [f"--position={position}", *SETTING, *run_flags]
      if (status := cells.train(folder, flags.steps, seed, words)) != 0:
        return status
    print(_table(flags.workdir, range(seed + 1)))
  return 0


def _folder(workdir: Path, position: str, seed: int) -> Path:
  return cells.run_folder(workdir, position.partition("(")[0], seed)


def _table(workdir: Path, seeds: range) -> str:
  lines = [["position", *map(str, LENGTHS)]]
  for position in POSITIONS:
    runs = [
      cells.summary(_folder(workdir, position, seed))["lengths"] for seed in seeds
    ]
    accuracies = (
      " ".join(f"{run[str(length)]['accuracy']:.3f}" for run in runs)
      for length in LENGTHS
    )
    lines.append([position, *accuracies])
  return cells.markdown(lines)


if __name__ == "__main__":
  sys.exit(main())
