"""Accuracy beyond the training length, by positional scheme, on copying.

python -m attention_lab.main --mode=compare --config=experiments/length_generalisation.py

Models are trained to copy strings of 16 letters from an alphabet of 8 (32 tokens), and
evaluated on shorter and longer ones. Accuracy after 3,000 steps by the tokens of an
example, one seed (docs/measurements/length_generalisation.md):

                                          16      32      48      64     128
  none                                 0.975   0.998   0.853   0.451   0.183
  sinusoidal                           0.162   1.000   0.140   0.145   0.128
  rope                                 0.134   1.000   0.124   0.125   0.125
  alibi                                0.958   0.999   0.992   0.972   0.852
  t5                                   0.293   1.000   0.179   0.229   0.208
  fire                                 0.912   1.000   0.987   0.948   0.679
  randomized(of='rope', longest=128)   0.751   0.812   0.700   0.625   0.428
"""

from attention_lab import config as configs


def get_config():
  """Return the configuration: standard attention with seven positional schemes."""
  config = configs.get_config()
  config.dataset = "copy(sequence_length=32)"
  config.steps = 3_000
  config.batch_size = 32
  # With gpt2's standard deviation of 0.02, embeddings are negligible next to sinusoidal
  # positions, and nothing was learnt.
  config.model.update(num_layers=3, init="fan_in")
  config.train.learning_rate = 2e-3
  config.train.data_order = "shared"  # As in the runs whose results are documented.
  config.evaluation.update(extra_lengths=(16, 32, 48, 64, 128), every=100_000)
  config.checkpoint.every = 100_000
  config.log.tensorboard = False
  positions = (
    "none",
    "sinusoidal",
    "rope",
    "alibi",
    "t5",
    "fire",
    "randomized(of='rope', longest=128)",
  )
  config.compare.grid = (("position", positions),)
  config.compare.match = "none"
  return config
