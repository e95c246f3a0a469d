"""What every architecture is given: the sizes and habits under `--config.model`."""

import dataclasses
import math

import haiku as hk

from attention_lab.errors import UserError, nearest

CHOICES = {
  "norm": ("pre", "post"),
  "activation": ("relu", "gelu", "swiglu"),
  "init": ("fan_in", "gpt2"),
  "layer_stack": ("auto", "always", "never"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
  """The values of `config.model`; their defaults and units are in config.py."""

  num_layers: int
  num_heads: int
  d_model: int
  d_ff: int
  key_size: int
  norm: str
  activation: str
  init: str
  dropout: float
  feed_forward_bias: bool
  norm_offset: bool
  logits_bias: bool
  tied_embeddings: bool
  layer_stack: str
  rematerialise: bool

  def __post_init__(self) -> None:
    for key, allowed in CHOICES.items():
      value = getattr(self, key)
      if value not in allowed:
        raise UserError(f"--config.model.{key}={value}: {nearest(value, allowed)}")

  @property
  def w_init(self) -> hk.initializers.Initializer:
    """Of every projection that does not end in the residual stream."""
    if self.init == "gpt2":
      return hk.initializers.RandomNormal(0.02)
    return hk.initializers.VarianceScaling(1.0, "fan_in", "truncated_normal")

  @property
  def output_init(self) -> hk.initializers.Initializer:
    """Of projections into the residual stream; GPT-2 scales them down with depth."""
    if self.init == "gpt2":
      return hk.initializers.RandomNormal(0.02 / math.sqrt(2 * self.num_layers))
    return self.w_init

  @property
  def embedding_init(self) -> hk.initializers.Initializer:
    """Of the token embeddings: small enough to serve as output weights too."""
    if self.init == "gpt2":
      return hk.initializers.RandomNormal(0.02)
    return hk.initializers.RandomNormal(self.d_model**-0.5)


def from_config(model: dict[str, object]) -> Options:
  """Options from the values of `config.model`, unset sizes filled in.

  Unset `d_ff` is 4 · d_model; unset `key_size` is d_model / num_heads.
  """
  values = dict(model)
  d_model, num_heads = int(str(model["d_model"])), int(str(model["num_heads"]))
  if values["d_ff"] is None:
    values["d_ff"] = 4 * d_model
  if values["key_size"] is None:
    if d_model % num_heads:
      raise UserError(
        f"--config.model.num_heads={num_heads} does not divide d_model={d_model}; "
        f"change one, or set --config.model.key_size."
      )
    values["key_size"] = d_model // num_heads
  return Options(**values)  # type: ignore[arg-type]  # Types are the config's.
