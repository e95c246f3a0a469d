"""Small Transformer for English to German; training takes an hour on one CPU core.

The data, pairs of lines, are not part of the project. The current folder must contain
train.en, train.de, valid.en, valid.de, test.en and test.de. Then run, each with
--workdir=RUN:

python -m attention_lab.main --config=experiments/debian_en_de.py
python -m attention_lab.main --mode=evaluate --config.evaluation.average=3

docs/measurements/translation.md has the results on Debian's package descriptions,
compared with JoeyNMT.
"""

from pathlib import Path

from attention_lab import config as configs

BASE = Path(__file__).with_name("attention_is_all_you_need.py")


def get_config():
  """Return the configuration: 3 + 3 layers, d_model 256, 4 heads, 8,000 subwords and
  pre-norm.
  """
  config = configs.load_file(str(BASE))
  config.dataset = (
    "parallel_text(source='{split}.en', target='{split}.de', vocabulary_size=8000, "
    "sequence_length=64)"
  )
  config.steps = 4_000
  # Rows of 64 tokens; batches of shorter sentences have more rows.
  config.batch_size = 8
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
