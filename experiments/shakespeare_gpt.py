"""GPT on the characters of Tiny Shakespeare: 189,633 parameters at vocabulary 65.

python -m attention_lab.main --config=experiments/shakespeare_gpt.py

This is the setting of selective_attention.py, with standard attention. The full 200,000
steps have not been run; with --steps=400, interrupted at step 157 and resumed, the
validation loss was 2.537. A step takes 0.12 s on 2 CPU cores. selective_attention.py has
results of 2,000 steps with three seeds.
"""

from attention_lab import config as configs


def get_config():
  """Return the configuration: d_model 64, 2 heads, 4 layers, d_ff 256, post-norm, ReLU, no
  output projection.
  """
  config = configs.get_config()
  config.attention = "standard(output_projection=False)"
  config.position = "rope"
  config.dataset = "shakespeare(sequence_length=299, validation_fraction=0.2)"
  config.steps = 200_000
  config.batch_size = 16
  config.model.update(
    num_layers=4,
    num_heads=2,
    d_model=64,
    d_ff=256,
    norm="post",
    norm_offset=True,
    activation="relu",
    init="fan_in",
    tied_embeddings=False,
    logits_bias=True,
  )
  config.train.update(
    optimizer="adamw",  # The other options are optax's defaults.
    schedule="constant",
    learning_rate=1e-4,
    clip_norm=0.0,
    micro_batches=4,  # Sized for a CPU's cache. On GPUs, 1 is faster.
  )
  config.evaluation.every = 2_000
  config.checkpoint.every = 2_000
  config.log.every = 100
  return config
