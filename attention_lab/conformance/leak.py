"""The leak check before training: a causal attention must not depend on future tokens.

Verdicts are stored in the user's cache, under a hash of everything they depend on.
"""

import contextlib
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from attention_lab.attention.base.attention import Attention
from attention_lab.conformance import causality
from attention_lab.conformance.law import judge
from attention_lab.conformance.subject import Subject
from attention_lab.errors import UserError
from attention_lab.system.code_hash import code_hash
from attention_lab.system.files import user_cache, write_json

LAWS = (causality.no_gradient_from_future, causality.no_dependence_on_future)
# Optimisation does not change which tokens an output depends on, and the programs run
# only a few times, so compile time matters more than speed.
FAST_COMPILATION = {
  "xla_backend_optimization_level": 0,
  "xla_llvm_disable_expensive_passes": True,
}


def refuse_leak(spec: str, build: Callable[[], Attention], *setup: Any) -> None:
  """Raise `UserError` if outputs of a causal attention depend on future tokens.

  Args:
    spec: name and options of the attention.
    build: makes the attention inside a transform, as the run does.
    *setup: everything else in the run that the attention depends on, such as the
      positional scheme.
  """
  subject = Subject(
    spec, lambda position, sizes: build(), compiler_options=FAST_COMPILATION
  )
  inputs = (spec, subject.sizes, setup, jax.__version__, code_hash())
  name = hashlib.sha256(repr(inputs).encode()).hexdigest()
  path = user_cache() / "leaks" / f"{name}.json"
  verdicts = _load(path)
  if verdicts is None:
    verdicts = [judge(law, subject)._asdict() for law in LAWS]
    _store(path, verdicts)
  for verdict in verdicts:
    if verdict["status"] == "raises":
      raise UserError(
        f"The attention {spec!r} fails in the leak check: {verdict['case']}. "
        f"For details, use --mode=check --attention={spec!r}."
      )
    if verdict["status"] == "broken":
      raise UserError(
        f"The attention {spec!r} attends to future tokens, so its loss would be "
        f"meaningless. Broken law: {verdict['law']} ({verdict['case']}). "
        f"Usual cause: {verdict['meaning']}. "
        f"For details, use --mode=check --attention={spec!r}; to train without this "
        f"check, add --skip_checks."
      )


def _load(path: Path) -> list[dict[str, Any]] | None:
  try:
    verdicts: list[dict[str, Any]] = json.loads(path.read_text())
    return verdicts
  except (OSError, ValueError):
    return None


def _store(path: Path, verdicts: list[dict[str, Any]]) -> None:
  with contextlib.suppress(OSError):  # The next run then repeats the check.
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, verdicts)
