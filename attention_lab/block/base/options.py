"""Options of every architecture and block: the settings under `--config.model`."""

import dataclasses
import math

import haiku as hk

from attention_lab.errors import UserError
from attention_lab.norm.base.norm import Norm, norms


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
  """Values of `config.model`; the table of settings declares them."""

  num_layers: int
  num_heads: int
  d_model: int
  d_ff: int
  key_size: int
  block: str
  norm: str
  norm_layer: str
  activation: str
  init: str
  dropout: float
  feed_forward_bias: bool
  norm_offset: bool
  logits_bias: bool
  tied_embeddings: bool
  layer_stack: str
  rematerialise: bool

  def make_norm(self, name: str) -> Norm:
    """Return the normalisation `norm_layer`, inside a transform."""
    norm: Norm = norms.bind(self.norm_layer)(offset=self.norm_offset, name=name)
    return norm

  @property
  def w_init(self) -> hk.initializers.Initializer:
    """Initialiser of projections that do not end in the residual stream."""
    if self.init == "gpt2":
      return hk.initializers.RandomNormal(0.02)
    return hk.initializers.VarianceScaling(1.0, "fan_in", "truncated_normal")

  @property
  def output_init(self) -> hk.initializers.Initializer:
    """Initialiser of projections into the residual stream.

    GPT-2 divides their scale by √(2 · num_layers).
    """
    if self.init == "gpt2":
      return hk.initializers.RandomNormal(0.02 / math.sqrt(2 * self.num_layers))
    return self.w_init

  @property
  def embedding_init(self) -> hk.initializers.Initializer:
    """Initialiser of the token embeddings, scaled to serve as output weights, too."""
    if self.init == "gpt2":
      return hk.initializers.RandomNormal(0.02)
    return hk.initializers.RandomNormal(self.d_model**-0.5)


def from_config(model: dict[str, object]) -> Options:
  """Return the options of `config.model`.

  If unset, `d_ff` is 4 · d_model and `key_size` is d_model / num_heads.

  Raises:
    UserError: if `key_size` is unset and `num_heads` does not divide `d_model`.
  """
  values = dict(model)
  d_model, num_heads = int(str(model["d_model"])), int(str(model["num_heads"]))
  if values["d_ff"] is None:
    values["d_ff"] = 4 * d_model
  if values["key_size"] is None:
    if d_model % num_heads:
      raise UserError(
        f"--config.model.num_heads={num_heads} does not divide d_model={d_model}. "
        f"Change one of them, or set --config.model.key_size."
      )
    values["key_size"] = d_model // num_heads
  return Options(**values)  # type: ignore[arg-type]  # config.py checks the types.
