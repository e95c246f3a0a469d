"""Tokens in an update of JoeyNMT: it counts the padding, of the longer side, as well.

$JOEY/bin/python experiments/peers/joeynmt_batches.py PEER/train.yaml

A batch is full as soon as its sentences times its longest one, source or target, reach
`batch_size`. Printed are means over batches of one pass, with nothing trained.
"""

import argparse
import itertools
from pathlib import Path

from joeynmt.config import load_config, parse_global_args
from joeynmt.data import load_data


def main() -> None:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("config", type=Path, help="joeynmt_config.py's train.yaml")
  parser.add_argument("--batches", type=int, default=300)
  flags = parser.parse_args()
  args = parse_global_args(load_config(flags.config))
  vocabulary, _, pairs, _, _ = load_data(args.data, ["train"])
  batches = pairs.make_iter(
    batch_size=args.train.batch_size,
    batch_type=args.train.batch_type,
    seed=args.seed,
    shuffle=True,
    pad_index=vocabulary.pad_index,
    eos_index=vocabulary.eos_index,
  )
  counted = [
    (b.nseqs, b.ntokens, b.trg.numel(), int(b.src_length.sum()), b.src.numel())
    for b in itertools.islice(batches, flags.batches)
  ]
  names = "pairs", "target tokens", "padded to", "source tokens", "padded to"
  means = [sum(column) / len(counted) for column in zip(*counted, strict=True)]
  print(f"{len(counted)} batches of batch_size={args.train.batch_size}, on average:")
  print(", ".join(f"{n} {m:,.1f}" for n, m in zip(names, means, strict=True)))


if __name__ == "__main__":
  main()
