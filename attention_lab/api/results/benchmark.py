"""Measured times and memory of attentions: the result of `attention_lab.benchmark`."""

import dataclasses
import html
from collections.abc import Mapping
from typing import Any, Self

from attention_lab.api.results import show
from attention_lab.benchmark.plot import figure_of_benchmark


@dataclasses.dataclass(frozen=True)
class Timing:
  """Time and memory of one program.

  Attributes:
    attention: its name, with options.
    kind: "forward", "gradient", "decode" (one token), or "step" (a training step).
    length: tokens per sequence.
    seconds: median time; None if the program does not fit into memory.
    seconds_quartiles: quartiles of the time.
    tokens_per_second: None if the program does not fit into memory.
    memory_bytes: temporary memory; None of a training step.
    matmul_flops: FLOPs of the matrix products; None of a training step.
    utilisation: FLOP/s as a share of those of a large matrix product.
    ratio_to_first: time over that of the first attention, of a training step alone.
  """

  attention: str
  kind: str
  length: int
  seconds: float | None
  seconds_quartiles: tuple[float, float] | None = None
  tokens_per_second: float | None = None
  memory_bytes: int | None = None
  matmul_flops: int | None = None
  utilisation: float | None = None
  ratio_to_first: float | None = None

  @classmethod
  def of(cls, record: Mapping[str, Any]) -> Self:
    """Return the measurement in a record of benchmark.json."""
    quartiles = record.get("seconds_quartiles")
    return cls(**{**record, "seconds_quartiles": quartiles and tuple(quartiles)})


@dataclasses.dataclass(frozen=True, repr=False)
class Benchmark(show.Printed):
  """Time and memory of attentions by length; printed, how they grow, if they do.

  Attributes:
    timings: one for each attention, kind and length.
    sentences: how time and memory grow, and from which length on an attention is faster
      than the first.
    device: the device.
    record: what benchmark.json holds.
  """

  timings: tuple[Timing, ...]
  sentences: tuple[str, ...]
  device: str
  record: Mapping[str, Any]

  def to_pandas(self) -> Any:
    """Return a `pandas.DataFrame` with a line per attention, kind and length.

    Raises:
      UserError: pandas is not installed.
    """
    return show.frame([dataclasses.asdict(timing) for timing in self.timings])

  def plot(self) -> Any:
    """Return a figure of time (s) and memory (bytes) by length, on logarithmic axes.

    Returns:
      A `matplotlib.figure.Figure`, which no window shows.

    Raises:
      UserError: matplotlib is not installed.
    """
    names = list(dict.fromkeys(timing.attention for timing in self.timings))
    return figure_of_benchmark(names, self.record["records"])

  def __str__(self) -> str:
    times = ("{}, {}, {} tokens: {} ms".format(*_texts(each)) for each in self.timings)
    return "\n".join(self.sentences or times)

  def _repr_html_(self) -> str:
    head = ["attention", "kind", "length", "ms", "MiB", "tokens/s"]
    said = "".join(f"<li>{html.escape(text)}</li>" for text in self.sentences)
    said = f"<ul>{said}</ul>" if said else ""
    return f"{said}{show.table(head, [_texts(each) for each in self.timings])}"


def _texts(timing: Timing) -> list[str]:
  """Return the cells of a measurement in a table."""
  seconds, memory, speed = (
    timing.seconds,
    timing.memory_bytes,
    timing.tokens_per_second,
  )
  return [
    timing.attention,
    timing.kind,
    f"{timing.length:,}",
    "does not fit" if seconds is None else f"{1e3 * seconds:.3g}",
    "" if memory is None else f"{memory / 2**20:,.2f}",
    "" if speed is None else f"{speed:,.0f}",
  ]
