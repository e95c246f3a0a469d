"""Multi-query associative recall (Zoology, arXiv:2312.04927) at a size for a CPU.

python -m attention_lab.main --mode=compare --config=experiments/recall.py

The models have two layers, one head and learned positions, at two widths. Sequences have
64 tokens with 8 pairs, from a vocabulary of 64. Accuracy over the queries of 512
validation examples after 4,000 steps, one seed (docs/measurements/associative_recall.md):

                              d_model 32   d_model 64
  standard                         0.546        1.000
  sliding_window(window=16)        0.692        0.746
  linear                           0.365        0.549
  based                            0.490        1.000
  retention                        0.356        0.369
  delta_net                        1.000        1.000
  gated_delta_net                  1.000        1.000
"""

from attention_lab import config as configs


def get_config():
  """Return the configuration: seven attentions at d_model 32 and 64."""
  config = configs.get_config()
  config.dataset = (
    "associative_recall(pairs=8, vocabulary_size=64, random_filler=False)"
  )
  config.position = "learned"
  config.steps = 4_000
  config.batch_size = 64
  config.model.update(num_layers=2, num_heads=1, init="fan_in")
  # Without weight decay: with 0.1, standard attention only learnt to guess among the
  # values of the pairs that had not been queried yet.
  config.train.update(optimizer="adamw(b2=0.99, weight_decay=0.0)", learning_rate=2e-3)
  config.train.data_order = "shared"  # As in the runs whose results are documented.
  config.evaluation.every = 100_000
  config.checkpoint.every = 100_000
  config.log.tensorboard = False
  attentions = (
    "standard",
    "sliding_window(window=16)",
    "linear",
    "based",
    "retention",
    "delta_net",
    "gated_delta_net",
  )
  config.compare.grid = (("attention", attentions), ("model.d_model", (32, 64)))
  config.compare.match = "none"
  return config
