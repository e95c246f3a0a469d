"""Errors of JAX about a platform that it does not find."""

import os
import traceback

from attention_lab.errors import UserError

VARIABLE = "JAX_PLATFORMS"


def missing(error: BaseException) -> UserError | None:
  """Return the user's error for a platform that JAX does not find; None for others."""
  requested = os.environ.get(VARIABLE)
  frames = traceback.extract_tb(error.__traceback__)
  inside = bool(frames) and frames[-1].filename.endswith("xla_bridge.py")
  if (
    not requested or not inside or not isinstance(error, RuntimeError | AssertionError)
  ):
    return None
  return UserError(
    f"{VARIABLE}={requested}: JAX finds no such platform on this machine. Unset "
    f"{VARIABLE}, or type {VARIABLE}=cpu; for GPUs, install jax[cuda12]."
  )
