"""Several seeds of one experiment: their configurations and their folders."""

from pathlib import Path

from ml_collections import config_dict

from attention_lab import config as configs
from attention_lab.errors import UserError
from attention_lab.run_folder import CONFIG


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
  if len(own) > 1:
    if (workdir / CONFIG).exists():
      raise UserError(
        f"{workdir} holds one run; name another --workdir for {len(own)} seeds."
      )
    return [workdir / f"seed{config.seed}" for config in own]
  inside = sorted(path.parent for path in workdir.glob(f"seed*/{CONFIG}"))
  if inside and not (workdir / CONFIG).exists():
    raise UserError(
      f"{workdir} holds {len(inside)} seeds: go on with all by --seeds={len(inside)}, or "
      f"with one by --workdir={inside[0]}."
    )
  return [workdir]
