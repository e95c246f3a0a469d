"""One attention in one's own Haiku code: `attention_lab.attention`."""

import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import haiku as hk

from attention_lab.api.layer import AttentionLayer
from attention_lab.api.masking import refuse_size
from attention_lab.api.parts import Recipe, make_parts, refuse
from attention_lab.attention.base.attention import Attention
from attention_lab.attention.base.default_position import AUTO
from attention_lab.errors import UserError
from attention_lab.plugin import spec as specs

Keywords = ParamSpec("Keywords")
Result = TypeVar("Result")


def recipe_of(
  attention: str | specs.Spec | type[Attention] = "standard",
  *,
  num_heads: int = 8,
  d_model: int | None = None,
  key_size: int | None = None,
  position: str | specs.Spec = AUTO,
  causal: bool = False,
  max_length: int = 1024,
  layer: int = 1,
  num_layers: int = 1,
  w_init: hk.initializers.Initializer | None = None,
  output_init: hk.initializers.Initializer | None = None,
  kernel: str = "auto",
  dtype: Any = None,
  name: str | None = None,
  **options: Any,
) -> Recipe:
  """Return the arguments as a recipe; see `attention` for them and for errors."""
  if d_model is not None:
    refuse_size("d_model", d_model)
  if type(causal) is not bool:
    raise UserError(f"causal={causal!r}: take True or False.")
  parts = make_parts(
    attention,
    options,
    position,
    known=tuple(inspect.signature(recipe_of).parameters)[1:-1],
    num_heads=num_heads,
    key_size=key_size,
    max_length=max_length,
    layer=layer,
    num_layers=num_layers,
    kernel=kernel,
    dtype=dtype,
  )
  if causal:
    parts.refuse_kind("causal")
  elif "cross" not in parts.attention.kinds:
    parts.refuse_kind("bidirectional")
  if d_model is not None:
    refuse(parts, d_model, causal)
  name = name or parts.spec.partition("(")[0]
  return Recipe(parts, d_model, causal, w_init, output_init, name)


def with_signature_of(
  function: Callable[Keywords, Any],
) -> Callable[[Callable[..., Result]], Callable[Keywords, Result]]:
  """Return a decorator that gives a function the parameters of another."""

  def decorate(wrapper: Callable[..., Result]) -> Callable[Keywords, Result]:
    result = inspect.signature(wrapper).return_annotation
    signature = inspect.signature(function).replace(return_annotation=result)
    wrapper.__signature__ = signature  # type: ignore[attr-defined]
    return wrapper

  return decorate


@with_signature_of(recipe_of)
def attention(*args: Any, **settings: Any) -> AttentionLayer:
  """Return an attention as a Haiku module, inside a transform.

  It is built as in a model: the same parameters give the same numbers.

      net = attention_lab.attention("sliding_window", window=64, num_heads=4, causal=True)
      y = net(x)

  Args:
    attention: name, with options as in "sliding_window(window=64)", or a subclass of
      `attention_lab.Attention`, which needs no name.
    num_heads: number of heads.
    d_model: width of the vectors; None for that of x. Decoding needs it.
    key_size: size of one head; None for d_model / num_heads.
    position: positional scheme, with options; "none" for none; "auto" for that of the
      attention's paper. Schemes that are added to token embeddings ("learned",
      "sinusoidal") are refused, and none is taken for "auto": an attention does not see
      the embeddings of a model's first layer.
    causal: whether a token attends only to itself and to previous tokens.
    max_length: tokens of a training example. Some attentions and schemes depend on it:
      sigmoid, cosformer, cosine, linformer; xpos, rope(scaling=yarn), randomized.
    layer: number of the layer that the attention is in, from 1. Some attentions depend on
      it: differential.
    num_layers: number of all layers.
    w_init: initialiser of input projections; None for a truncated normal distribution with
      variance 1 / fan-in.
    output_init: initialiser of the output projection; None as for w_init.
    kernel: implementation of dot products: "auto", "reference", "blocked", "xla", "cudnn".
    dtype: dtype of the computation and of the result, to which parameters and inputs are
      cast; parameters are then stored in float32. None for x's dtype, in which parameters
      are then created.
    name: name of the module; None for that of the attention.
    **options: options of the attention, such as window=64 or num_kv_heads=2.

  Raises:
    UserError: a name, option or value is wrong, or the parts do not work together.
  """
  return AttentionLayer(recipe_of(*args, **settings))
