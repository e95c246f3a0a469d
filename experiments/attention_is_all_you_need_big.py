"""The big model of "Attention Is All You Need", otherwise equal to the base model.

python -m attention_lab.main --config=experiments/attention_is_all_you_need_big.py

It has 214,171,648 parameters. It has been assembled but not trained; a checkpoint takes
2.6 GB.
"""

from pathlib import Path

from attention_lab import config as configs

BASE = Path(__file__).with_name("attention_is_all_you_need.py")


def get_config():
  """Return the configuration: d_model 1024, 16 heads, d_ff 4096, dropout 0.3
  (arXiv:1706.03762, table 3).
  """
  config = configs.load_file(str(BASE))
  config.model.update(num_heads=16, d_model=1024, d_ff=4096, dropout=0.3)
  config.train.learning_rate *= 2**-0.5  # Proportional to 1 / √d_model.
  return config
