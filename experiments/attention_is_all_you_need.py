"""The base model of "Attention Is All You Need" (arXiv:1706.03762) on random pairs.

python -m attention_lab.main --config=experiments/attention_is_all_you_need.py

The model memorises pairs of a source and a target, each of 50 random tokens from a
vocabulary of 37,000. This demonstrates that the model trains at its full size of 63,045,632
parameters (one table of 37,000 · 512, six layers of 3,150,336 and six of 4,199,936).

A short run on two busy CPU cores, with a short warm-up:

... --steps=24 --batch_size=4 --config.train.schedule='noam(warmup_steps=24)'

The training loss with label smoothing was 10.99 over the first four steps, 10.97 over steps
13 to 16 and 9.57 over the last four. The validation loss, on the same 64 pairs, was 9.40
after 20 steps and 8.85 after 24. A step took 4 s, compilation 21 s and the run 5 minutes.
"""

from attention_lab import config as configs


def get_config():
  """Return the configuration: 6 + 6 layers, d_model 512, d_ff 2,048, 8 heads,
  post-norm, ReLU and sinusoidal positions.
  """
  config = configs.get_config()
  config.architecture.name = "encoder_decoder"
  config.attention = "standard"
  config.position = "sinusoidal"
  config.dataset = (
    "random_pairs(sequence_length=100, alphabet=36999, train_examples=64, "
    "validation_examples=64)"
  )
  config.steps = 40
  config.batch_size = 16
  config.model.update(
    num_layers=6,
    num_heads=8,
    d_model=512,
    d_ff=2048,
    norm="post",
    norm_offset=True,
    activation="relu",
    feed_forward_bias=True,
    init="fan_in",
    dropout=0.1,
    tied_embeddings=True,
    layer_stack="always",  # Compiles one layer of each stack instead of six.
  )
  config.train.update(
    optimizer="adam(b1=0.9, b2=0.98, eps=1e-9)",
    schedule="noam(warmup_steps=4000)",
    learning_rate=(512 * 4000) ** -0.5,  # The rate at the end of the warm-up.
    clip_norm=0.0,
    label_smoothing=0.1,
  )
  config.evaluation.every = 20
  config.checkpoint.every = 100_000
  config.log.every = 5
  return config
