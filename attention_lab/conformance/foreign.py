"""Mechanisms of other frameworks, given as pure functions, as attentions."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import haiku as hk
import jax
import jax.numpy as jnp

from attention_lab.attention.base.attention import KINDS, Attention
from attention_lab.errors import UserError, nearest, one_line
from attention_lab.kernel.mask import Mask

# Keyword arguments that `apply` may take.
KEYWORDS = ("context", "positions", "context_positions", "causal", "key")
CLAIMS = ("linear_time", "constant_state", "sees_itself", "smooth", "relative")


def as_attention(
  init: Callable[..., Any],
  apply: Callable[..., Any],
  initial_state: Callable[..., Any] | None = None,
  extend: Callable[..., Any] | None = None,
  kinds: Sequence[str] = ("causal",),
  claims: Mapping[str, bool] = MappingProxyType({}),
) -> type[Attention]:
  """Return an attention class that calls pure functions; see `attention_lab.check`.

  Raises:
    UserError: the functions do not go together with each other or with the kinds.
  """
  accepted = _accepted(apply)
  for kind in kinds:
    if kind not in KINDS:
      raise UserError(f"kinds={tuple(kinds)}: {kind!r}. {nearest(kind, KINDS)}")
  if len(kinds) > 1 and "causal" in kinds and "causal" not in accepted:
    raise UserError(
      f"kinds={tuple(kinds)}: apply needs a keyword `causal` to tell them apart."
    )
  if "cross" in kinds and not {"context", "context_positions"} <= set(accepted):
    raise UserError(
      "kinds contains 'cross': apply needs the keywords `context` and "
      "`context_positions`."
    )
  for claim in claims:
    if claim not in CLAIMS:
      raise UserError(f"check takes no {claim!r}. {nearest(claim, CLAIMS)}")
  if (initial_state is None) != (extend is None):
    raise UserError("Give both initial_state and extend, or neither.")
  given = {"init": init, "apply": apply, "initial": initial_state, "extension": extend}
  fields: dict[str, Any] = {k: staticmethod(v) for k, v in given.items() if v}
  fields |= {
    "accepted": accepted,
    "kinds": tuple(kinds),
    "decodes": extend is not None,
    "takes_padding": "positions" in accepted,
    **claims,
  }
  return dataclasses.dataclass(kw_only=True)(type("Functions", (Foreign,), fields))


@dataclasses.dataclass(kw_only=True)
class Foreign(Attention):
  """Calls pure functions; their parameters are Haiku parameters, one per leaf."""

  honours: ClassVar[tuple[str, ...]] = ()
  init: ClassVar[Callable[..., Any]]
  apply: ClassVar[Callable[..., Any]]
  initial: ClassVar[Callable[..., Any]]
  extension: ClassVar[Callable[..., Any]]
  accepted: ClassVar[tuple[str, ...]] = ()
  decodes: ClassVar[bool] = False
  takes_padding: ClassVar[bool] = False

  def __call__(self, query: jax.Array, context: jax.Array, mask: Mask) -> jax.Array:
    params, cls = self._params(query.dtype), type(self)
    given = {
      "context": None if context is query else context,
      "positions": mask.query_positions,
      "context_positions": mask.context_positions,
      "causal": mask.causal,
      "key": hk.maybe_next_rng_key() if "key" in cls.accepted else None,
    }
    if context is not query and "context" not in cls.accepted:
      raise UserError("apply takes no `context`, so it attends to its own tokens only.")
    keywords = {key: value for key, value in given.items() if key in cls.accepted}
    return cls.apply(params, query, **keywords)

  def initial_state(self, batch_size: int, length: int, dtype: Any) -> Any:
    return type(self).initial(batch_size, length, dtype)

  def extend(
    self, query: jax.Array, state: Any, positions: jax.Array
  ) -> tuple[Any, Any]:
    return type(self).extension(self._params(query.dtype), query, state, positions)

  def _params(self, dtype: Any) -> Any:
    """Return the parameters as `init` structures them, in the dtype of the inputs."""
    cls, x = type(self), jnp.zeros((1, 2, self.d_model), jnp.float32)
    try:
      shapes = jax.eval_shape(cls.init, jax.random.key(0), x)
    except (AssertionError, ValueError) as error:  # So do other libraries refuse sizes.
      raise UserError(
        f"init refuses d_model={self.d_model}: {one_line(error)}"
      ) from error
    values = cls.init(hk.next_rng_key(), x) if hk.running_init() else shapes
    leaves = []
    for (path, shape), value in zip(
      jax.tree.leaves_with_path(shapes), jax.tree.leaves(values), strict=True
    ):
      name = jax.tree_util.keystr(path).strip(".[]'\"") or "parameters"
      own = shape.dtype
      if own == jnp.float32:  # As in training, in the dtype of the computation.
        own = dtype
      start = lambda *_, value=value, own=own: value.astype(own)  # noqa: E731
      leaves.append(hk.get_parameter(name, shape.shape, own, init=start))
    return jax.tree.unflatten(jax.tree.structure(shapes), leaves)


def _accepted(apply: Callable[..., Any]) -> tuple[str, ...]:
  """Return the keywords of `KEYWORDS` that a function accepts."""
  try:
    parameters = inspect.signature(apply).parameters.values()
  except (TypeError, ValueError):  # A built-in function.
    return ()
  names = [
    p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
  ]
  return tuple(name for name in KEYWORDS if name in names)
