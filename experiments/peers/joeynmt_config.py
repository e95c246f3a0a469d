"""Writes what JoeyNMT trains from: the peer of our encoder-decoder on the same pairs.

JoeyNMT (Kreutzer et al., arXiv:1907.12484) is PyTorch made to be read. It gets the data
files and the sentencepiece model that `parallel_text` learnt for ours (`vocabulary.model`
in a run's folder). In an environment of its own, $JOEY being its folder:

    python3.11 -m venv $JOEY
    $JOEY/bin/pip install -r experiments/peers/requirements-joeynmt.txt
    $JOEY/bin/python experiments/peers/joeynmt_config.py --data=DATA --source=en \
        --target=de --subwords=RUN/vocabulary.model --output=PEER --updates=10000
    export OMP_NUM_THREADS=2
    $JOEY/bin/python -m joeynmt train PEER/train.yaml --skip-test
    $JOEY/bin/python -m joeynmt test PEER/test.yaml --output-path=PEER/beam

Training never validates and keeps its last parameters; `test` writes PEER/beam.test, the
beam's detokenised translations of the test split. Then, the first in JoeyNMT's
environment, the other two in ours:

    $JOEY/bin/python experiments/peers/joeynmt_batches.py PEER/train.yaml
    python experiments/peers/joeynmt_speed.py PEER/model/train.log
    python experiments/peers/score.py --byte_pieces PEER/beam.test DATA/test.de

The first counts the target tokens of an update, from which --batch_size follows: on the
Debian pairs 4256 gives 1,561, in 439 updates a pass, and ours has 1,557 in 440 where 32
rows of 64 are its budget. The last takes our translations too, without --byte_pieces.

What JoeyNMT has no option for, and is thus unlike ours: Adam's ε is 1e-8; <pad> is a token,
so that all numbers after 0 are one more than in the sentencepiece model; batches mix all
lengths; the first update's rate comes twice; a token's label smoothing leaves <pad> out.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import sentencepiece

SPECIAL = ["<unk>", "<pad>", "<s>", "</s>"]  # JoeyNMT's order, and its numbers 0 to 3.


def vocabulary(model: str) -> list[str]:
  """The tokens of a sentencepiece model by number, with <pad> put in at 1."""
  processor = sentencepiece.SentencePieceProcessor(model_file=model)
  pieces = [processor.id_to_piece(number) for number in range(processor.vocab_size())]
  tokens = [pieces[0], "<pad>", *pieces[1:]]
  if tokens[: len(SPECIAL)] != SPECIAL or len(set(tokens)) != len(tokens):
    raise SystemExit(f"{model} begins with {pieces[:3]}: not one of parallel_text's.")
  return tokens


def side(language: str, flags: argparse.Namespace) -> dict[str, Any]:
  """How one language is read."""
  return {
    "lang": language,
    "level": "bpe",
    "max_length": flags.longest - 1,  # Ours counts the end token too.
    "voc_file": str(flags.output / "vocabulary.txt"),
    "tokenizer_type": "sentencepiece",
    "tokenizer_cfg": {"model_file": str(flags.subwords)},
  }


def stack(flags: argparse.Namespace) -> dict[str, Any]:
  """The encoder, or the decoder."""
  return {
    "type": "transformer",
    "num_layers": flags.layers,
    "num_heads": flags.heads,
    "embeddings": {
      "embedding_dim": flags.d_model,
      "scale": True,
      "dropout": flags.dropout,
    },
    "hidden_size": flags.d_model,
    "ff_size": flags.d_ff,
    "dropout": flags.dropout,
    "layer_norm": flags.norm,
  }


def training(flags: argparse.Namespace) -> dict[str, Any]:
  """The paper's recipe (arXiv:1706.03762, section 5)."""
  logged = next(n for n in (100, 50, 20, 10, 5, 2, 1) if flags.updates % n == 0)
  return {
    "optimizer": "adam",
    "adam_betas": [0.9, 0.98],
    "scheduling": "noam",
    "learning_rate_warmup": flags.warmup,
    "learning_rate_factor": 1,
    # The scheduler is first asked after an update: this is the rate of that one.
    "learning_rate": (flags.d_model * flags.warmup**3) ** -0.5,
    "learning_rate_min": 0.0,  # It stops below, even while the rate still rises.
    "label_smoothing": flags.label_smoothing,
    "normalization": "tokens",  # The loss is a mean over target tokens, as ours is.
    "batch_type": "token",
    "batch_size": flags.batch_size,
    "updates": flags.updates,
    "epochs": flags.updates,  # No pass has less than one update.
    "clip_grad_norm": flags.clip_norm or None,
    "logging_freq": logged,
    "validation_freq": 2 * flags.updates,  # Never; the last parameters are kept.
  }


def config(flags: argparse.Namespace) -> dict[str, Any]:
  """All but which files are read."""
  return {
    "name": "peer",
    "joeynmt_version": "2.3.0",
    "model_dir": str(flags.output / "model"),
    "use_cuda": False,
    "random_seed": flags.seed,
    "testing": {
      "beam_size": flags.beam_size,
      "beam_alpha": flags.length_penalty,
      "batch_type": "sentence",
      "batch_size": 32,
      "max_output_length": flags.longest,
      "eval_metrics": [],
    },
    "training": training(flags),
    "model": {
      "tied_embeddings": True,
      "tied_softmax": True,
      "encoder": stack(flags),
      "decoder": stack(flags),
    },
  }


def main() -> None:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("--data", type=Path, required=True, help="has train.en, …")
  parser.add_argument("--source", required=True, help="ending of the sources: en")
  parser.add_argument("--target", required=True, help="ending of the targets: de")
  parser.add_argument("--subwords", type=Path, required=True, help="vocabulary.model")
  parser.add_argument("--output", type=Path, required=True, help="a new folder")
  parser.add_argument("--updates", type=int, required=True)
  parser.add_argument("--batch_size", type=int, default=4256, help="padded tokens")
  parser.add_argument("--longest", type=int, default=64, help="tokens of a sentence")
  parser.add_argument("--layers", type=int, default=3, help="of either side")
  parser.add_argument("--d_model", type=int, default=256)
  parser.add_argument("--d_ff", type=int, default=1024)
  parser.add_argument("--heads", type=int, default=4)
  parser.add_argument("--norm", choices=("post", "pre"), default="post")
  parser.add_argument("--dropout", type=float, default=0.1)
  parser.add_argument("--label_smoothing", type=float, default=0.1)
  parser.add_argument("--clip_norm", type=float, default=0.0, help="0: no clipping")
  parser.add_argument("--warmup", type=int, default=4000, help="updates")
  parser.add_argument("--beam_size", type=int, default=4)
  parser.add_argument("--length_penalty", type=float, default=0.6, help="0 is none")
  parser.add_argument("--valid", default="valid", help="name of that split's files")
  parser.add_argument("--test", default="test", help="name of that split's files")
  parser.add_argument("--seed", type=int, default=0)
  flags = parser.parse_args()
  for name in ("data", "subwords", "output"):
    setattr(flags, name, getattr(flags, name).absolute())
  tokens = vocabulary(str(flags.subwords))
  flags.output.mkdir(parents=True)
  (flags.output / "vocabulary.txt").write_text("\n".join(tokens) + "\n", "utf-8")
  read = {"src": side(flags.source, flags), "trg": side(flags.target, flags)}
  splits = {"dev": str(flags.data / flags.valid), "test": str(flags.data / flags.test)}
  data = {
    "train": {"train": str(flags.data / "train"), "dev": splits["dev"]},
    "test": {"test": splits["test"]},
  }
  for name, files in data.items():
    text = json.dumps({"data": {**files, **read}, **config(flags)}, indent=2)
    (flags.output / f"{name}.yaml").write_text(text + "\n", "utf-8")  # JSON is YAML.


if __name__ == "__main__":
  main()
