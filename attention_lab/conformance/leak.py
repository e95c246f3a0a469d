"""The leak check before training: no loss is reported of an attention that sees ahead.

A verdict is kept in the user's cache, under a hash of all that it depends on.
"""

import contextlib
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from attention_lab.attention.base.attention import Attention
from attention_lab.conformance import seeing
from attention_lab.conformance.law import judge
from attention_lab.conformance.subject import Subject
from attention_lab.errors import UserError
from attention_lab.system.code_hash import code_hash
from attention_lab.system.files import user_cache, write_json

LAWS = (seeing.future_by_gradient, seeing.future_by_suffix)
# Who sees whom is the formula's doing: programs that run a few times are not optimised.
QUICKLY = {
  "xla_backend_optimization_level": 0,
  "xla_llvm_disable_expensive_passes": True,
}


def refuse_leak(spec: str, build: Callable[[], Attention], *about: Any) -> None:
  """Raises UserError if a causal attention's outputs depend on what comes after them.

  Args:
    spec: its name and options.
    build: makes it inside a transform, as the run does.
    *about: what else of the run it is made of, such as the positional scheme.
  """
  subject = Subject(spec, lambda position, sizes: build(), compiler_options=QUICKLY)
  known = (spec, subject.sizes, about, jax.__version__, code_hash())
  name = hashlib.sha256(repr(known).encode()).hexdigest()
  path = user_cache() / "leaks" / f"{name}.json"
  found = _stored(path)
  if found is None:
    found = [judge(law, subject)._asdict() for law in LAWS]
    _store(path, found)
  for verdict in found:
    if verdict["status"] == "raises":
      raise UserError(
        f"The attention {spec!r} fails where it is checked for leaks: {verdict['case']}. "
        f"Look closer with --mode=check --attention={spec!r}."
      )
    if verdict["status"] == "broken":
      raise UserError(
        f"The attention {spec!r} sees the future, so its loss would mean nothing. "
        f"Broken: {verdict['law']} ({verdict['case']}); usually {verdict['meaning']}. "
        f"Look closer with --mode=check --attention={spec!r}, or train all the same "
        f"with --skip_checks."
      )


def _stored(path: Path) -> list[dict[str, Any]] | None:
  try:
    found: list[dict[str, Any]] = json.loads(path.read_text())
    return found
  except (OSError, ValueError):
    return None


def _store(path: Path, found: list[dict[str, Any]]) -> None:
  with contextlib.suppress(OSError):  # Then it is found again next time.
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, found)
