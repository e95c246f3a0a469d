"""Time and memory of attentions at a sequence length, measured interleaved."""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

from attention_lab.architecture.base.builder import attention_builder
from attention_lab.benchmark.program import Bench, Program, fits
from attention_lab.benchmark.timing import Timing, interleaved
from attention_lab.block.base import options as model_options
from attention_lab.compatibility import refuse_incompatible
from attention_lab.plugin import spec as specs
from attention_lab.position.base.position import positions, properties_of


class Measured(NamedTuple):
  """An attention to measure, and the settings that it is built with."""

  spec: specs.Spec
  options: model_options.Options
  position: str  # Spec of the positional scheme.
  kinds: Mapping[str, str]  # Required kind, by the places that have this attention.
  kernel: str
  batch_size: int  # Sequences.


def benches(of: Mapping[str, Measured], length: int, dtype: Any) -> dict[str, Bench]:
  """Return each attention as programs over sequences of one length, verified.

  Args:
    of: the attentions, by name.
    length: tokens per sequence.
    dtype: dtype of the computation.

  Raises:
    UserError: an attention is incompatible with its settings, or its output is wrong.
  """
  found = {name: _bench(name, one, length, dtype) for name, one in of.items()}
  for name, bench in found.items():
    bench.refuse_wrong(name)
  return found


def _bench(name: str, measured: Measured, length: int, dtype: Any) -> Bench:
  spec, options, text, kinds, kernel, batch_size = measured
  position = partial(positions.bind(text), max_length=length)
  build = partial(attention_builder, spec, options, position)
  hooks = properties_of(position).hooks
  refuse_incompatible(name, build(kernel), text, hooks, kinds, dtype)
  return Bench(
    lambda kernel: build(kernel)(),
    kernel,
    batch_size,
    length,
    dtype,
    causal="causal" in kinds.values(),
  )


def at_length(
  benches: Mapping[str, Bench], peak: float, rounds: int
) -> list[dict[str, Any]]:
  """Return a record per attention and kind (forward, gradient, decode), timed in turns.

  Args:
    benches: from `benches`, at least one.
    peak: FLOP/s of a large matrix product.
    rounds: number of times that each program is timed.
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
