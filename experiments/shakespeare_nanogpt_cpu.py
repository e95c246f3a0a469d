"""nanoGPT's CPU setting on Tiny Shakespeare (karpathy/nanoGPT, README).

python -m attention_lab.main --config=experiments/shakespeare_nanogpt_cpu.py

Validation loss on the last 10 % of the text after 2,000 steps (2 CPU cores, jax 0.12.0.1):

  --position=rope (this configuration)    1.774 (seed 0)
  --position=learned (as nanoGPT)         1.907, 1.910, 1.892 (seeds 0, 1, 2)
  nanoGPT, as its README states           1.88 (20 random batches)
"""

from attention_lab import config as configs


def get_config():
  """Return the configuration: 4 layers, 4 heads, d_model 128, no dropout.

  Context length 64, batch size 12, 2,000 steps.
  """
  config = configs.get_config()
  config.attention = "standard"
  config.position = "rope"
  config.dataset = "shakespeare(sequence_length=64, validation_fraction=0.1)"
  config.steps = 2_000
  config.batch_size = 12
  config.model.update(
    num_layers=4,
    num_heads=4,
    d_model=128,
    norm="pre",
    norm_offset=False,
    activation="gelu",
    init="gpt2",
    dropout=0.0,
    tied_embeddings=True,
  )
  config.train.update(
    optimizer="adamw(b1=0.9, b2=0.99, weight_decay=0.1, decay_all=False)",
    schedule="cosine(warmup=0.05, final=0.1)",  # 100 steps of warm-up, final rate 1e-4.
    learning_rate=1e-3,
    clip_norm=1.0,
  )
  config.evaluation.every = 500
  config.checkpoint.every = 500
  return config
