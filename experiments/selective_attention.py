"""Comparison of selective, standard and equinox attention on Tiny Shakespeare.

python -m attention_lab.main --mode=compare --config=experiments/selective_attention.py \
  --steps=2000 --seeds=3

The setting is that of shakespeare_gpt.py. Standard and selective attention are trained
with and without positions, equinox's without. One row gives standard attention as many
parameters as selective has.

Validation loss of three seeds on the last 20 % of the text, after 2,000 of the 200,000
steps, and mean top-1 accuracy (2 CPU cores, jax 0.12.0.1;
docs/measurements/selective_attention.md):

  standard                  189,633 parameters   2.007 2.033 1.997   top-1 0.414
  standard, d_ff 320        222,401              2.002 1.983 1.980         0.420
  selective                 222,401              1.980 1.967 1.965         0.428
  standard, no positions    189,633              2.476 2.479 2.476         0.275
  selective, no positions   222,401              2.482 2.481 2.478         0.273
  equinox, no positions     206,017              2.474 2.466 2.476         0.277
"""

from pathlib import Path

from attention_lab import config as configs

BASE = Path(__file__).with_name("shakespeare_gpt.py")
CONTROL = "standard, d_ff 320"  # 222,401 parameters, as many as selective.


def get_config():
  """Return the configuration of shakespeare_gpt.py with six rows."""
  config = configs.load_file(str(BASE))
  config.compare.rows = (
    ("standard", {}),
    (CONTROL, {"model.d_ff": 320, "against": "standard"}),
    ("selective", {"attention": "selective", "against": ("standard", CONTROL)}),
    ("standard, no positions", {"position": "none"}),
    ("selective, no positions", {"attention": "selective", "position": "none"}),
    ("equinox, no positions", {"attention": "equinox", "position": "none"}),
  )
  config.compare.match = "none"
  config.train.data_order = "shared"  # As in the runs whose results are above.
  return config
