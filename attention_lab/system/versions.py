"""Versions of the packages, and the jaxlib releases that are known to be wrong."""

import importlib.metadata
import platform
import sys

from attention_lab.errors import UserError

# Measured on CPU (BUILD_NOTES.md, "jax versions"): wrong numbers, crashes, or hangs.
BAD_JAXLIB = {
  "0.9.1": "crashes when a donated array is used again",
  "0.9.2": "crashes when a donated array is used again",
  "0.10.0": "crashes when a donated array is used again",
  "0.10.1": "crashes when a donated array is used again",
  "0.10.2": "computes matrix-vector products wrongly on CPU (jax#39103)",
  "0.11.0": "crashes on arrays of rank 8 (jax#39257)",
  "0.11.1": "runs scans in quadratic time (jax#40101)",
}

# Releases that print kilobytes of false warnings for every program read from the
# compilation cache on CPUs with AVX-512 (jax#38445).
FALSE_WARNINGS = ("0.9.0.1",)

PACKAGES = (
  "jax",
  "jaxlib",
  "dm-haiku",
  "optax",
  "chex",
  "jmp",
  "numpy",
  "attention_lab",
)


def refuse_known_bad() -> None:
  """Raise `UserError` if Python or the installed jaxlib would be wrong; import no jax."""
  if sys.flags.optimize:
    raise UserError(
      "python -O (PYTHONOPTIMIZE) removes assertions that JAX, Haiku, chex and this "
      "package check with; run it without."
    )
  version = installed("jaxlib")
  if version is None:
    raise UserError("jaxlib is not installed; type: pip install -r requirements.txt")
  if version in BAD_JAXLIB:
    raise UserError(
      f"jaxlib {version} {BAD_JAXLIB[version]}; type: pip install -r requirements.txt"
    )


def quieting(several: bool = False) -> dict[str, str]:
  """Return the environment variables that silence false warnings of the jaxlib.

  They have to be set before jax is imported. XLA then logs only fatal errors.

  Args:
    several: whether several processes train one run; each of them would warn of the end
      of the others.
  """
  quiet = several or installed("jaxlib") in FALSE_WARNINGS
  return {"TF_CPP_MIN_LOG_LEVEL": "3"} if quiet else {}


def installed(package: str) -> str | None:
  """Return the installed version of a package, or None."""
  try:
    return importlib.metadata.version(package)
  except importlib.metadata.PackageNotFoundError:
    return None


def all_versions() -> dict[str, str | None]:
  """Return the versions of Python and of every relevant package."""
  versions: dict[str, str | None] = {"python": platform.python_version()}
  versions.update({package: installed(package) for package in PACKAGES})
  return versions
