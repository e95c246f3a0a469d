"""Accuracy beyond the training length, by positional scheme, on copying.

python experiments/length_generalisation.py

Trained on strings of 16 letters out of 8 (32 tokens), tried on shorter and longer ones.
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
  # Embeddings of gpt2's 0.02 drown in sinusoidal's sines, and nothing was learnt.
  "--config.model.init=fan_in",
  "--config.train.learning_rate=2e-3",
  f"--config.evaluation.lengths={','.join(map(str, LENGTHS))}",
  "--config.evaluation.every=100000",
  "--config.checkpoint.every=100000",
  "--config.log.tensorboard=false",
]


def main() -> int:
  """Runs what is missing, and prints the table of what is there."""
  flags, for_every_run = cells.flags_of(__doc__, 3_000, "runs/length_generalisation")
  for seed in range(flags.seeds):
    for position in POSITIONS:
      folder = _folder(flags.workdir, position, seed)
      words = [f"--position={position}", *SETTING, *for_every_run]
      if (status := cells.train(folder, flags.steps, seed, words)) != 0:
        return status
    print(_table(flags.workdir, range(seed + 1)))
  return 0


def _folder(workdir: Path, position: str, seed: int) -> Path:
  return cells.folder_of(workdir, position.partition("(")[0], seed)


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
