"""The checker as a function: `attention_lab.check`.

It judges pure functions of any framework as well:

  init(key, x) → parameters: a tree of arrays
  apply(parameters, x, …) → [B, T, D], for x [B, T, D]
  initial_state(batch_size, length, dtype) → decode state: a tree of arrays
  extend(parameters, x, state, positions) → [B, T, D], the next state

`apply` may also take the keywords positions ([B, T] int32, negative for padding), causal
(bool), context ([B, S, D]), context_positions ([B, S]) and key (a random key, or None);
each is given if the function names it.
"""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from attention_lab.api.display import new_display
from attention_lab.api.process import api_call, jax_settings_kept
from attention_lab.api.results.laws import Report
from attention_lab.attention.base.attention import Attention, attentions
from attention_lab.conformance import check as laws
from attention_lab.conformance.foreign import as_attention
from attention_lab.conformance.law import Law, Verdict
from attention_lab.conformance.sizes import Sizes
from attention_lab.conformance.subject import DEPTHS, Subject
from attention_lab.errors import UserError, nearest

NOTHING = UserError(
  "check takes a name, a subclass of attention_lab.Attention, or the functions init and "
  "apply."
)


@api_call()
def check(
  attention: str | type[Attention] | Callable[..., Any],
  apply: Callable[..., Any] | None = None,
  initial_state: Callable[..., Any] | None = None,
  extend: Callable[..., Any] | None = None,
  *,
  kinds: Sequence[str] = ("causal",),
  d_model: int = 16,
  depth: str = "full",
  position: str | None = None,
  progress: bool = True,
  **claims: bool,
) -> Report:
  """Test the laws that every attention must obey, and print nothing.

  Args:
    attention: name with options, class, or the function `init`.
    apply: computes a full pass; None for a name or a class. Without a keyword
      `positions`, padding is not tested.
    initial_state: makes an empty decode state; None if decoding is not to be tested.
    extend: decodes the next tokens; None if decoding is not to be tested.
    kinds: of "causal", "bidirectional" and "cross"; for functions only.
    d_model: width of the token vectors; for functions only.
    depth: "full", or "quick" for the cases that most often fail.
    position: positional scheme; None for a rotation and a bias.
    progress: whether to show a bar, on a terminal or in a notebook.
    **claims: class variables of an `Attention` such as `linear_time`; for functions only.

  Raises:
    UserError: an unknown name, or functions that do not go together.
  """
  if depth not in DEPTHS:
    raise UserError(f"depth={depth!r}. {nearest(depth, DEPTHS)}")
  own: dict[str, Any] = {"depth": depth, "position": position}
  if isinstance(attention, str):
    return _report(attention, Subject(attention, **own), progress)
  if isinstance(attention, type) and issubclass(attention, Attention):
    attentions.contract.refuse(attention)
    name = attention.__name__
    return _report(name, Subject(name, attention=attention, **own), progress)
  if apply is None:
    raise NOTHING
  cls = as_attention(attention, apply, initial_state, extend, kinds, claims)
  sizes = Sizes(1, d_model, d_model)
  name = getattr(apply, "__name__", "functions")
  subject = Subject("functions", attention=cls, sizes=sizes, **own)
  return _report(name, subject, progress)


def _report(name: str, subject: Subject, progress: bool) -> Report:
  """Test every law, while a bar shows which."""
  found: list[Verdict] = []
  with (
    jax_settings_kept(""),
    contextlib.closing(new_display(progress)) as display,
  ):

    def tell(law: Law, case: str) -> None:
      display.show(
        len(found), len(laws.LAWS), f"{law.name}: {case}" if case else law.name
      )

    for verdict in laws.verdicts(subject, tell):
      found.append(verdict)
  return Report(name, tuple(found))
