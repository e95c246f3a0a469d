"""The same model and training step in attention_lab, by the same protocol as nanogpt.py."""

import argparse
import sys
import time

import jax

from attention_lab import config as configs
from attention_lab.experiment import assemble
from attention_lab.plugin import discovery
from attention_lab.training.seeds import make_stepper


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__)
  for name in ("layers", "heads", "d_model", "length", "batch", "micro_batches"):
    parser.add_argument(f"--{name}", type=int, required=True)
  sizes = parser.parse_args()
  discovery.load()
  config = configs.get_config()
  config.position = "learned"
  config.dataset = f"python_docs(sequence_length={sizes.length})"
  config.batch_size, config.steps = sizes.batch, 10**6
  config.model.update(
    num_layers=sizes.layers, num_heads=sizes.heads, d_model=sizes.d_model
  )
  config.train.update(
    schedule="constant", learning_rate=1e-3, micro_batches=sizes.micro_batches
  )
  experiment = assemble(config)
  trainer = make_stepper(
    experiment, jax.devices(), [config.seed], sizes.batch, sizes.micro_batches
  )
  trainer.compile()
  trainer.advance(3)
  leaves = jax.tree.leaves(trainer.expected.params)
  print(sum(leaf.size for leaf in leaves), experiment.dataset.vocabulary.size)
  sys.stdout.flush()
  for line in sys.stdin:
    start, end = time.perf_counter(), trainer.step + int(line)
    while trainer.step < end:
      trainer.advance(end)
    print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
  main()
