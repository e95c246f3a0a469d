"""How tests use the processor; in the environment before numpy and jax are imported."""

from attention_lab.system import versions


def xla_flags(devices):
  """XLA's flags for so many CPU devices."""
  flags = f"--xla_force_host_platform_device_count={devices}"
  if (
    versions.installed("jax") == "0.9.0.1"
  ):  # Its other way to write kernels is slower.
    flags += " --xla_cpu_use_fusion_emitters=false"
  return flags


def environment(devices):
  """The variables: tests compile far more than they compute."""
  return {
    "JAX_PLATFORMS": "cpu",
    "XLA_FLAGS": xla_flags(devices),
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "true",  # Halves the time of the suite.
    "JAX_TRACEBACK_IN_LOCATIONS_LIMIT": "0",  # Saves 5 % of it.
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "OPENBLAS_NUM_THREADS": "1",  # What has threads is not safely forked.
    **versions.quieting(),
  }
