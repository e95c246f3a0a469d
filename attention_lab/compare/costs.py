"""Measured costs of a comparison's rows and of their attentions, stored in a file."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jmp

from attention_lab import config as configs
from attention_lab.benchmark.measure import Measured, at_length, benches
from attention_lab.benchmark.program import Bench
from attention_lab.benchmark.timing import matmul_peak
from attention_lab.block.base import options as model_options
from attention_lab.compare import plan_file, row_costs
from attention_lab.compare.plan import Plan
from attention_lab.config import Config
from attention_lab.errors import UserError
from attention_lab.named_parts import places_of, position_of
from attention_lab.plugin import spec as specs
from attention_lab.system.code_hash import digest
from attention_lab.system.files import write_json
from attention_lab.training.preflight import code_of

CONDITIONS = "asked"  # The key of the conditions in the stored file.


class Costs(NamedTuple):
  """Measurements apart from training."""

  records: Sequence[Mapping[str, Any]]  # Of each attention, length and kind.
  rows: Mapping[str, Mapping[str, Any]]  # Row → record, from `row_costs.measure`.


NO_COSTS = Costs((), {})


def stored(plan: Plan, lengths: Sequence[int]) -> Costs | None:
  """Return what was stored; None if that was not measured under the same conditions."""
  content = plan_file.read_costs(plan.workdir)
  if content is None or content.get(CONDITIONS) != _conditions(plan, lengths):
    return None
  return Costs(content.get("records", ()), content.get("rows", {}))


def measure(plan: Plan, lengths: Sequence[int]) -> list[str]:
  """Measure all rows and their attentions, and store the records in the work folder.

  Returns:
    One line for each measurement that was not possible, with the reason.
  """
  first = plan.rows[0].config
  dtype = jmp.get_policy(first.train.precision).compute_dtype
  peak = matmul_peak(dtype)
  attentions, records, left_out = _attentions(plan), [], []
  for length in lengths:
    found: dict[str, Bench] = {}
    for name, config in attentions.items():
      try:
        found |= benches({name: measured(config, name)}, length, dtype)
      except UserError as error:
        left_out.append(f"Cost at {length} tokens was not measured: {error}")
    if found:
      records += at_length(found, peak, first.benchmark.rounds)
  content = {
    CONDITIONS: _conditions(plan, lengths),
    "records": records,
    "rows": row_costs.measure(
      {row.name: row.config for row in plan.rows}, first.benchmark.rounds
    ),
    "matmul_flops_per_second": peak,
  }
  write_json(plan.workdir / plan_file.COSTS, content)
  return left_out


def _attentions(plan: Plan) -> dict[str, Any]:
  """Return for each attention the configuration of the first row that uses it."""
  found: dict[str, Any] = {}
  for row in plan.rows:
    for spec in specs.parse_pattern(row.config.attention):
      found.setdefault(str(spec), row.config)
  return found


def _conditions(plan: Plan, lengths: Sequence[int]) -> dict[str, Any]:
  """Return everything that the records depend on, as a dict for JSON."""
  first = plan.rows[0].config
  return {
    "attentions": {
      name: [
        position_of(config),
        config.kernel,
        dict(config.model.to_dict()),
        digest(code_of(config, "attention_lab.benchmark.measure")),
      ]
      for name, config in _attentions(plan).items()
    },
    "rows": {
      row.name: [
        str(configs.differences(configs.get_config(), row.config)),
        digest(code_of(row.config, "attention_lab.compare.row_costs")),
      ]
      for row in plan.rows
    },
    "lengths": list(lengths),
    "precision": first.train.precision,
    "batch_size": first.benchmark.batch_size,
    "device": jax.devices()[0].device_kind,
  }


def measured(config: Config, name: str) -> Measured:
  """Return an attention to measure with the settings of a configuration."""
  (spec,) = specs.parse_pattern(name)
  return Measured(
    spec=spec,
    options=model_options.from_config(config.model.to_dict()),
    position=position_of(config),
    kinds=places_of(config),
    kernel=config.kernel,
    batch_size=config.benchmark.batch_size,
  )
