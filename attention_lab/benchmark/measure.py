"""What attentions cost at a length, one beside the other: time and memory of each kind."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from ml_collections import config_dict

from attention_lab.architecture.base import options as model_options
from attention_lab.architecture.base.architecture import architectures
from attention_lab.benchmark.program import Bench, Program, fits
from attention_lab.benchmark.timing import Timing, interleaved
from attention_lab.compatibility import refuse_incompatible
from attention_lab.experiment import attention_builder, named_attentions
from attention_lab.plugin import spec as specs
from attention_lab.position.base.position import facts_of, positions


def benches(
  of: Mapping[str, config_dict.ConfigDict], length: int, dtype: Any
) -> dict[str, Bench]:
  """Each attention alone, over sequences of one length, its output found right.

  Args:
    of: by attention, the configuration whose other settings it is measured with.
    length: tokens.
    dtype: what is computed in.

  Raises:
    UserError: an attention that does not go with its configuration, or computes wrongly.
  """
  found = {name: _bench(name, config, length, dtype) for name, config in of.items()}
  for name, bench in found.items():
    bench.refuse_wrong(name)
  return found


def _bench(name: str, config: config_dict.ConfigDict, length: int, dtype: Any) -> Bench:
  options = model_options.from_config(config.model.to_dict())
  position = partial(positions.bind(config.position), max_length=length)
  house: Any = architectures.bind(config.architecture.name).func
  # What --attention stands for; the places that have another are in the step alone.
  named = named_attentions(config)
  asked = {place: kind for place, kind in house.places.items() if place not in named}
  (spec,) = specs.parse_pattern(name)
  build = partial(attention_builder, spec, options, position)
  acts = facts_of(position).hooks
  refuse_incompatible(name, build(config.kernel), config.position, acts, asked, dtype)
  return Bench(
    lambda kernel: build(kernel)(),
    config.kernel,
    config.benchmark.batch_size,
    length,
    dtype,
    causal="causal" in asked.values(),
  )


def at_length(
  benches: Mapping[str, Bench], peak: float, rounds: int
) -> list[dict[str, Any]]:
  """A record of each attention and kind: forward, gradient and decode, timed in turns.

  Args:
    benches: from `benches`, one or more.
    peak: operations a second of a large matrix product.
    rounds: how often each is timed.
  """
  records = []
  for kind in next(iter(benches.values())).programs:
    these = {name: bench.programs[kind] for name, bench in benches.items()}
    calls = {name: p.call for name, p in these.items() if fits(p.memory)}
    timings = interleaved(calls, rounds)
    for name, program in these.items():
      about = {"attention": name, "length": benches[name].length, "kind": kind}
      records.append(about | _record(program, timings.get(name), peak))
  return records


def _record(program: Program, timing: Timing | None, peak: float) -> dict[str, Any]:
  record: dict[str, Any] = {
    "memory_bytes": program.memory,
    "matmul_flops": program.flops,
  }
  if timing is None:
    return record | {"seconds": None}  # It does not fit into memory.
  return record | {
    "seconds": timing.median / program.steps,
    "seconds_quartiles": [timing.low / program.steps, timing.high / program.steps],
    "tokens_per_second": program.tokens / timing.median,
    "utilisation": program.flops / timing.median / peak,
  }
