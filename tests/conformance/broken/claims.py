"""Attentions with claims, options or hooks that do not hold or do nothing."""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp

from attention_lab.attention.base.multi_head import MultiHead
from attention_lab.attention.base.weighted import Weighted
from attention_lab.attention.standard import Standard
from attention_lab.nn.linear import Linear
from tests.conformance.broken.base import breaks, difference, present


@breaks("cost.cost_grows_linearly")
class ClaimsLinearTime(Standard):
  """Claims linear time, but its time is quadratic."""

  linear_time = True


@breaks("claims.options_have_an_effect")
class IgnoresOption(Standard):
  """Accepts an option and never reads it."""

  temperature: float = 1.0


@breaks("claims.options_have_an_effect")
class ClaimsSameResult(Standard):
  """Marks an option as SAME_RESULT that scales the output."""

  chunk: int = dataclasses.field(default=4, metadata={"same_result": True})

  def attend(self, q, k, v, mask):
    return super().attend(q, k, v, mask) * self.chunk


@breaks("claims.schemes_have_an_effect")
class IgnoresRotation(Standard):
  """Projects queries and keys without rotating them."""

  def queries(self, x, positions):
    return self.project(x, self.num_heads, "query")

  def keys_values(self, x, positions):
    return self.project(x, self.kv_heads, "key"), self.project(
      x, self.kv_heads, "value"
    )


@breaks("claims.schemes_have_an_effect")
class IgnoresBias(Weighted):
  """Computes scores without the bias."""

  def scores(self, q, k, mask):
    return jnp.einsum("BTNK,BSNK->BNTS", q, k) * self.key_size**-0.5


@breaks("cost.cost_grows_linearly")
class SumsAllPairs(MultiHead):
  """Claims linear time; adds up gated values of all pairs without a product."""

  honours = ()
  linear_time = True

  def attend(self, q, k, v, mask):
    gate = jnp.where(
      mask.dense()[:, 0, :, :, None, None], jax.nn.sigmoid(k)[:, None], 0
    )
    total = gate.sum(axis=2) + 1e-6
    return jax.nn.sigmoid(q) * (gate * v[:, None]).sum(axis=2) / total


@breaks("cost.cost_grows_linearly")
class SortsThePast(MultiHead):
  """Claims linear time; sorts an array [T, S] to gate by the median of the past."""

  honours = ()
  linear_time = True

  def attend(self, q, k, v, mask):
    past = jnp.where(mask.dense()[:, 0], k[:, None, :, 0, 0], jnp.inf)
    count = mask.dense()[:, 0].sum(axis=-1, keepdims=True)
    median = jnp.take_along_axis(jnp.sort(past), jnp.maximum(count - 1, 0) // 2, -1)
    median = jnp.where(count > 0, median, 0)[..., None]
    return jax.nn.silu(q) * median


@breaks("cost.cost_grows_linearly")
class ScansOverCache(MultiHead):
  """Claims linear time; reads the whole cache for each token of a scan."""

  honours = ()
  linear_time = True

  def attend(self, q, k, v, mask):
    def step(carry, row):
      q, allowed = row
      scores = jnp.einsum("BNK,BSNK->BNS", q, k) * self.key_size**-0.5
      weights = jax.nn.sigmoid(scores) * allowed
      total = weights.sum(axis=-1, keepdims=True) + 1e-6
      return carry, jnp.einsum("BNS,BSNK->BNK", weights / total, v)

    rows = jnp.moveaxis(q, 1, 0), jnp.moveaxis(mask.dense(), 2, 0)
    return jnp.moveaxis(jax.lax.scan(step, None, rows)[1], 0, 1)


@breaks("claims.options_have_an_effect")
class IgnoresMode(Standard):
  """Accepts a mode and never reads it."""

  mode: Literal["mean", "sum"] = "mean"


@breaks("claims.options_have_an_effect")
class IgnoresChoice(Standard):
  """Declares choices of a string and never reads it."""

  mode: str = dataclasses.field(
    default="mean", metadata={"choices": ("mean", "sum", "last")}
  )


@breaks("claims.options_have_an_effect")
class IgnoresFlag(Standard):
  """Accepts a flag and never reads it."""

  normalise: bool = False


@breaks("claims.options_have_an_effect")
class ReadsOneChoiceOnly(Standard):
  """Treats two of three modes alike."""

  mode: Literal["mean", "sum", "double"] = "mean"

  def attend(self, q, k, v, mask):
    y = super().attend(q, k, v, mask)
    return 2 * y if self.mode == "double" else y


@breaks("claims.options_have_an_effect")
class RenamesParameters(Standard):
  """Accepts a name that changes nothing but the names of its parameters."""

  label: Literal["alpha", "beta"] = "alpha"

  def merge(self, heads):
    if not self.output_projection:
      return super().merge(heads)
    x = heads.reshape(*heads.shape[:2], -1)
    return Linear(self.d_model, False, self.output_init, self.label)(x)


@breaks("claims.options_have_an_effect")
class ComparesWrongWord(Standard):
  """Compares its mode with a misspelt word."""

  mode: Literal["plain", "scaled"] = "plain"

  def attend(self, q, k, v, mask):
    y = super().attend(q, k, v, mask)
    return 2 * y if self.mode == "scalled" else y


@breaks("claims.options_have_an_effect")
class ChunkChangesResult(Weighted):
  """Marks an option as SAME_RESULT that decides what a query sees beyond a chunk."""

  chunk: int = dataclasses.field(default=64, metadata={"same_result": True})

  def attend(self, q, k, v, mask):
    near = (difference(mask) < self.chunk) & present(mask)
    weights = self.weights(self.scores(q, k, mask), mask.dense() & near)
    return self.read_out(weights, v)


@breaks("claims.schemes_have_an_effect", depth="full")
class IgnoresRotationOfKeys(Standard):
  """Projects keys without rotating them."""

  def keys_values(self, x, positions):
    return tuple(self.project(x, self.kv_heads, name) for name in ("key", "value"))


@breaks("claims.schemes_have_an_effect")
class AddsBiasToAll(Weighted):
  """Adds the mean of the bias to all scores, which a softmax cancels."""

  def position_bias(self, mask):
    bias = super().position_bias(mask)
    return bias if isinstance(bias, float) else bias.mean(axis=-1, keepdims=True)
