"""Several seeds of one experiment: their configurations, their folders, what pays."""

import os
from pathlib import Path

from ml_collections import config_dict

from attention_lab import config as configs
from attention_lab.errors import UserError
from attention_lab.run.folder import CONFIG

# FLOPs of one seed's step below which an accelerator is assumed to wait more than it
# computes: at 10^14 a second such a step is over in 0.5 ms, and starting its few hundred
# kernels takes longer than that.
SMALL_STEP = 5e10


def side_by_side_pays(flops_per_step: float, platform: str) -> bool:
  """Whether several seeds train faster in one program than one after another.

  On an accelerator, where the model is small. Not on a CPU: there one seed's products
  keep a core busy, and as batched products they are slower (per seed and step 1.05 to
  1.24 times the time of one alone, BUILD_NOTES.md).

  Args:
    flops_per_step: of one seed, from `utilisation.flops_per_step`.
    platform: of the devices: "cpu", "gpu" or "tpu".
  """
  return platform != "cpu" and flops_per_step < SMALL_STEP


def own_configs(config: config_dict.ConfigDict) -> list[config_dict.ConfigDict]:
  """The configuration of each seed's run: that of a run of its own.

  Raises:
    UserError: a seed is too large.
  """
  found = []
  for i in range(config.seeds):
    own = config.copy_and_resolve_references()
    own.seed, own.seeds = config.seed + i, 1
    configs.validate(own)
    found.append(own)
  return found


def own_folders(workdir: Path, own: list[config_dict.ConfigDict]) -> list[Path]:
  """The folder of each seed's run: `workdir` for one seed, else seed0, seed1, … in it.

  Raises:
    UserError: one run is to go where several are, or several where one is.
  """
  if not os.path.isdir(workdir):  # Nor is it one where its name is too long.
    inside, holds_one = [], False
  else:
    inside = sorted(path.parent for path in workdir.glob(f"seed*/{CONFIG}"))
    holds_one = (workdir / CONFIG).exists()
  if len(own) > 1:
    if holds_one:
      raise UserError(
        f"{workdir} holds one run; name another --workdir for {len(own)} seeds."
      )
    return [workdir / f"seed{config.seed}" for config in own]
  if inside and not holds_one:
    raise UserError(
      f"{workdir} holds {len(inside)} seeds: go on with all by --seeds={len(inside)}, or "
      f"with one by --workdir={inside[0]}."
    )
  return [workdir]
