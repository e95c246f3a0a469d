"""The parts that one attention is built of, refused as in a model if they do not fit."""

import contextlib
import dataclasses
import functools
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple, cast

import jax.numpy as jnp

from attention_lab.api.masking import refuse_size
from attention_lab.attention.base.attention import Attention, attentions
from attention_lab.attention.base.default_position import AUTO
from attention_lab.compatibility import refuse_incompatible
from attention_lab.errors import UserError, nearest
from attention_lab.kernel.choose import NAMES
from attention_lab.plugin import discovery
from attention_lab.plugin import spec as specs
from attention_lab.position.base.position import (
  Position,
  positions,
  properties_of,
)

# What to do where an attention is not of the requested kind.
ADVICE = {
  "causal": "Pass causal=False",
  "bidirectional": "Pass causal=True",
  "cross": "Call it without a context",
}

load_once = functools.cache(discovery.load)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parts:
  """Everything that an attention is built of, but its width and initialisers."""

  spec: str  # Of the attention, for messages.
  attention: type[Attention]
  position: str
  scheme: type[Position]
  num_heads: int
  key_size: int | None
  max_length: int
  layer: int
  num_layers: int
  kernel: str
  dtype: Any
  # The fields above determine these.
  make: "partial[Attention]" = dataclasses.field(compare=False)
  make_scheme: "partial[Position]" = dataclasses.field(compare=False)

  def build(self, d_model: int, **more: Any) -> Attention:
    """Return the attention, inside a transform; `more` may be initialisers and a name."""
    return self.make(
      num_heads=self.num_heads,
      key_size=self.key_size or d_model // self.num_heads,
      d_model=d_model,
      position=self.make_scheme(),
      kernel=self.kernel,
      layer=self.layer,
      num_layers=self.num_layers,
      **{"w_init": None, "output_init": None, **more},
    )

  def refuse_kind(self, kind: str) -> None:
    """Raise `UserError` unless the attention is of a kind."""
    supported = self.attention.kinds
    if kind in supported:
      return
    others = [name for name in attentions if kind in attentions[name].kinds]  # type: ignore[attr-defined]
    raise UserError(
      f"The attention {self.spec!r} is {' or '.join(supported)}, not {kind}. "
      f"{ADVICE[kind]}, or use one of: {', '.join(others)}."
    )


class Recipe(NamedTuple):
  """Arguments of `attention_lab.attention`, which had no mistake on their own."""

  parts: Parts
  d_model: int | None
  causal: bool
  w_init: Any
  output_init: Any
  name: str


@functools.lru_cache(maxsize=256)
def refuse(parts: Parts, d_model: int, causal: bool) -> None:
  """Raise `UserError` unless the parts work together, as when a model is assembled."""
  if parts.key_size is None and d_model % parts.num_heads:
    raise UserError(
      f"num_heads={parts.num_heads} does not divide d_model={d_model}. Change one of "
      f"them, or pass key_size=…."
    )
  refuse_incompatible(
    parts.spec,
    lambda: parts.build(d_model),
    parts.position,
    properties_of(parts.make_scheme).hooks,
    {"attention": "causal"} if causal else {},
    jnp.dtype(parts.dtype or jnp.float32),
  )


def make_parts(
  attention: str | specs.Spec | type[Attention],
  options: dict[str, Any],
  position: str | specs.Spec,
  *,
  known: tuple[str, ...],
  **fields: Any,
) -> Parts:
  """Return the parts of names.

  Args:
    attention: name, spec or class.
    options: further options of the attention.
    position: spec of the positional scheme.
    known: keywords that are no options, for the hint on a wrong one.
    **fields: further fields of `Parts`.

  Raises:
    UserError: a name, an option or a value is wrong.
  """
  load_once()
  for word in ("num_heads", "max_length", "layer", "num_layers"):
    refuse_size(word, fields[word])
  if fields["layer"] > fields["num_layers"]:
    raise UserError(
      f"layer={fields['layer']} is above num_layers={fields['num_layers']}. Count layers "
      f"from 1, and pass num_layers=…, the number of all."
    )
  if fields["key_size"] is not None:
    refuse_size("key_size", fields["key_size"])
  if (kernel := fields["kernel"]) not in NAMES:
    raise UserError(f"There is no kernel={kernel!r}. {nearest(str(kernel), NAMES)}")
  fields["dtype"] = _floating(fields["dtype"])
  with _named(attention) as named:
    spec = _with_options(named, options, known)
    bound = attentions.bind(spec)
    if position == AUTO:
      position = _default_position(bound.func)  # type: ignore[arg-type]
  scheme = partial(positions.bind(position), max_length=fields["max_length"])
  _refuse_embedding(position, scheme)
  return Parts(
    spec=str(spec),
    attention=bound.func,  # type: ignore[arg-type]
    position=str(position),
    scheme=scheme.func,  # type: ignore[arg-type]
    make=bound,
    make_scheme=scheme,
    **fields,
  )


def _default_position(attention: type[Attention]) -> str:
  """Return the scheme of an attention's paper; "none" if it is added to embeddings."""
  default = attention.default_position
  embeds = "embed" in cast(type[Position], positions.bind(default).func).acts()
  return "none" if embeds else default


def _floating(dtype: Any) -> Any:
  """Return a dtype, or None for None; raise `UserError` if it is not floating-point."""
  if dtype is None:
    return None
  with contextlib.suppress(TypeError):
    if jnp.issubdtype(jnp.dtype(dtype), jnp.floating):
      return jnp.dtype(dtype)
  raise UserError(f"dtype={dtype!r}: take a floating-point dtype, or None for x's.")


@contextlib.contextmanager
def _named(attention: Any) -> Iterator[specs.Spec]:
  """Yield the spec of a name or class; a class is registered for as long as this."""
  if isinstance(attention, str):
    yield specs.parse(attention)
  elif isinstance(attention, specs.Spec):
    yield attention
  elif isinstance(attention, type):
    with attentions.registered(attention) as name:
      yield specs.Spec(name, {})
  else:
    raise UserError(
      f"An attention is a name, such as 'standard', or a subclass of "
      f"attention_lab.Attention, not {attention!r}."
    )


def _with_options(
  spec: specs.Spec, options: dict[str, Any], known: tuple[str, ...]
) -> specs.Spec:
  """Return the spec with more options."""
  own = attentions.options(spec.name)
  for option in options:
    if option in spec.options:
      raise UserError(f"The option {option!r} of {spec.name!r} is set twice.")
    if option not in own:
      raise UserError(
        f"The attention {spec.name!r} has no option {option!r}. "
        f"{nearest(option, (*own, *known))}"
      )
  return specs.Spec(spec.name, {**spec.options, **options})


def _refuse_embedding(position: str | specs.Spec, scheme: "partial[Position]") -> None:
  """Raise `UserError` if a scheme acts on embeddings, which an attention does not see."""
  if "embed" in properties_of(scheme).hooks:
    raise UserError(
      f"position={str(position)!r} is added to token embeddings, once, before the first "
      f"layer: add it to x yourself and pass position='none'."
    )
