"""Which jaxlib releases compute wrongly or cry wolf, and the versions of what runs."""

import importlib.metadata
import platform

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

# Of every program that is read from the compilation cache it says, in kilobytes, that it
# may not run on this very machine, if that has AVX-512 (jax#38445). It runs.
CRIES_WOLF = ("0.9.0.1",)

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
  """Raises UserError if the installed jaxlib is known to be wrong. Imports no jax."""
  version = installed("jaxlib")
  if version is None:
    raise UserError("jaxlib is not installed; type: pip install -r requirements.txt")
  if version in BAD_JAXLIB:
    raise UserError(
      f"jaxlib {version} {BAD_JAXLIB[version]}; type: pip install -r requirements.txt"
    )


def quieting() -> dict[str, str]:
  """Variables of the environment that silence false alarms of the installed jaxlib, if
  they are set before jax is imported: XLA then logs what is fatal alone."""
  return {"TF_CPP_MIN_LOG_LEVEL": "3"} if installed("jaxlib") in CRIES_WOLF else {}


def installed(package: str) -> str | None:
  """The installed version of a package, or None."""
  try:
    return importlib.metadata.version(package)
  except importlib.metadata.PackageNotFoundError:
    return None


def all_versions() -> dict[str, str | None]:
  """Python's and every relevant package's version, for a run's provenance."""
  versions: dict[str, str | None] = {"python": platform.python_version()}
  versions.update({package: installed(package) for package in PACKAGES})
  return versions
