"""One attention as pure functions of its parameters: `attention_lab.functions`."""

import functools
from typing import Any, NamedTuple, Protocol, TypeAlias

import haiku as hk
from jaxtyping import Array, Bool, Float, Int, Key

from attention_lab.api.attention import recipe_of, with_signature_of
from attention_lab.api.layer import AttentionLayer, DecodeState
from attention_lab.api.parts import Recipe

Parameters: TypeAlias = Any  # Of Haiku: module → name → array.


class Init(Protocol):
  """The function `Functions.init`."""

  def __call__(
    self,
    key: Key[Array, ""],
    x: Float[Array, "B T D"],
    context: Float[Array, "B S D"] | None = None,
  ) -> Parameters: ...


class Apply(Protocol):
  """The function `Functions.apply`."""

  def __call__(
    self,
    params: Parameters,
    x: Float[Array, "B T D"],
    context: Float[Array, "B S D"] | None = None,
    *,
    padding: Bool[Array, "B T"] | None = None,
    context_padding: Bool[Array, "B S"] | None = None,
    segments: Int[Array, "B T"] | None = None,
    num_segments: int | None = None,
    key: Key[Array, ""] | None = None,
  ) -> Float[Array, "B T D"]: ...


class DecodeInit(Protocol):
  """The function `Decode.init`."""

  def __call__(
    self, params: Parameters, batch_size: int, length: int, dtype: Any = None
  ) -> DecodeState: ...


class DecodeStep(Protocol):
  """The function `Decode.step`."""

  def __call__(
    self,
    params: Parameters,
    state: DecodeState,
    x: Float[Array, "B *T D"],
    *,
    padding: Bool[Array, "B T"] | None = None,
  ) -> tuple[Float[Array, "B *T D"], DecodeState]: ...


class Decode(NamedTuple):
  """Pure functions that decode token by token; the attention is causal.

  `state = init(params, batch_size, length)` is empty, for up to `length` tokens per row.
  `y, state = step(params, state, x)` attends from the next tokens [B, T, D], or the next
  one [B, D]. They are `AttentionLayer.initial_state` and `AttentionLayer.extend`.
  """

  init: DecodeInit
  step: DecodeStep


class Functions(NamedTuple):
  """Pure functions of an attention's parameters, not jitted.

  `params = init(key, x)` returns fresh parameters; of x, only shape and dtype matter.
  `y = apply(params, x, context, padding=…, key=…)` maps [B, T, D] to [B, T, D], with the
  keywords of `AttentionLayer.__call__`. A random key turns dropout on, where the attention
  has any. `decode` decodes.
  """

  init: Init
  apply: Apply
  decode: Decode


@with_signature_of(recipe_of)
def functions(*args: Any, **settings: Any) -> Functions:
  """Return an attention as pure functions, for plain JAX and other frameworks.

      init, apply, decode = attention_lab.functions("standard", num_heads=4, d_model=64)
      params = init(jax.random.key(0), x)
      y = apply(params, x)

  They can be jitted, mapped, differentiated, scanned and traced abstractly. The arguments
  are those of `attention_lab.attention`.

  Raises:
    UserError: as `attention_lab.attention`.
  """
  return _functions(recipe_of(*args, **settings))


# Equal arguments give the same functions, so that modules which hold them are equal too.
@functools.lru_cache(maxsize=256)
def _functions(recipe: Recipe) -> Functions:
  def methods() -> Any:
    net = AttentionLayer(recipe)
    return net.__call__, (net.__call__, net.initial_state, net.extend)

  transformed = hk.multi_transform(methods)
  call, initial_state, extend = transformed.apply

  def init(key: Any, x: Any, context: Any = None) -> Parameters:
    """Return fresh parameters for vectors like x [B, T, D]; see `Functions`."""
    return transformed.init(key, x, context)

  def apply(
    params: Parameters,
    x: Any,
    context: Any = None,
    *,
    padding: Any = None,
    context_padding: Any = None,
    segments: Any = None,
    num_segments: int | None = None,
    key: Any = None,
  ) -> Any:
    """Attend: [B, T, D] → [B, T, D]; see `Functions` and `AttentionLayer`."""
    return call(
      params,
      key,
      x,
      context,
      padding=padding,
      context_padding=context_padding,
      segments=segments,
      num_segments=num_segments,
    )

  def start(params: Parameters, batch_size: int, length: int, dtype: Any = None) -> Any:
    """Return the empty decode state; see `AttentionLayer.initial_state`."""
    return initial_state(params, None, batch_size, length, dtype)

  def step(
    params: Parameters, state: DecodeState, x: Any, *, padding: Any = None
  ) -> Any:
    """Return the next tokens' results and state; see `AttentionLayer.extend`."""
    return extend(params, None, state, x, padding=padding)

  return Functions(init, apply, Decode(start, step))
