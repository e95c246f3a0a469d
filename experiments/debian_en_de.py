"""A small Transformer from English to German, on an hour of one CPU core.

Wants pairs of lines, which are not part of the project: in the folder it is started in,
train.en and train.de, valid.en and .de, test.en and .de. Then, each with --workdir=RUN:

python -m attention_lab.main --config=experiments/debian_en_de.py
python -m attention_lab.main --mode=evaluate --config.evaluation.average=3

BUILD_NOTES.md has what it reached on Debian's package descriptions, beside JoeyNMT.
"""

from pathlib import Path

from attention_lab import config as configs

BASE = Path(__file__).with_name("attention_is_all_you_need.py")


def get_config():
  """3 + 3 layers, d_model 256, 4 heads, 8,000 subwords, pre-norm."""
  config = configs.load_file(str(BASE))
  config.dataset = (
    "parallel_text(source='{split}.en', target='{split}.de', vocabulary_size=8000, "
    "sequence_length=64)"
  )
  config.steps = 4_000
  config.batch_size = 8  # Rows of 64 tokens; shorter ones are more.
  config.model.update(
    num_layers=3, num_heads=4, d_model=256, d_ff=1024, norm="pre", layer_stack="auto"
  )
  config.train.update(
    schedule="noam(warmup_steps=1000)", learning_rate=(256 * 1000) ** -0.5
  )
  config.train.clip_norm = 1.0
  config.evaluation.every = 500
  config.checkpoint.update(every=250, keep=3)
  config.log.every = 50
  return config
