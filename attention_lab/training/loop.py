"""One start of one run, or of several side by side, from its checkpoint to its end."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from attention_lab.benchmark.timing import matmul_peak
from attention_lab.benchmark.utilisation import flops_per_step
from attention_lab.dataset.base.dataset import Dataset
from attention_lab.decode.attention_maps import attention_image
from attention_lab.decode.translator import Translator, score_answers
from attention_lab.distributed.devices import peak_memory, unreplicate
from attention_lab.distributed.group import Group, in_step
from attention_lab.errors import UserError
from attention_lab.experiment import Experiment
from attention_lab.kernel.mask import default_positions
from attention_lab.run.checkpoint import Restored, restore_together
from attention_lab.run.disk_space import refuse_full
from attention_lab.run.recorder import Logbook
from attention_lab.run.shared_folder import share_restored
from attention_lab.system.signals import Interrupt
from attention_lab.training import messages
from attention_lab.training.divergence import advance, refuse_nonfinite
from attention_lab.training.evaluation import (
  evaluate,
  evaluate_lengths,
  length_measures,
)
from attention_lab.training.progress import Show, spreads
from attention_lab.training.stepper import Trainer
from attention_lab.update import make_evaluate


class Training:
  """The trainer, and what is due between its steps.

  Args:
    experiment: what is trained.
    trainer: trains it.
    root: the folder of the run, or of the runs' folders.
    logbooks: one for each run; their seeds follow each other.
    sampler: what continues the prompt, if anything does.
    lengths: the datasets at whose lengths the end is evaluated too.
    devices: where.
    group: the processes whose devices these are.
  """

  def __init__(
    self,
    experiment: Experiment,
    trainer: Trainer,
    root: Path,
    logbooks: list[Logbook],
    sampler: Callable[[Any], list[str]] | None,
    lengths: dict[int, Dataset],
    devices: list[jax.Device],
    group: Group,
  ):
    self._experiment = experiment
    self._root = root
    self._logbooks = logbooks
    self._config = config = logbooks[0].config
    self._devices = devices
    self._group = group
    self._trainer = trainer
    self._evaluate = in_step(
      group, make_evaluate(experiment.measure, devices, experiment.dataset.num_shapes)
    )
    self._sampler = sampler
    self._lengths = lengths
    self._weights = jax.jit(experiment.model.attention_weights)
    self._restore()
    self._show = Show(self._trainer.step, config.steps, quiet=not group.first)

  def run(self) -> int:
    """Trains to the end, or to a signal; returns the exit status."""
    try:
      with Interrupt() as interrupt:
        self._announce()
        self._trainer.compile()
        if self._config.profile:
          self._profile()
        self._group.begin()
        while not (signal := self._group.signal(interrupt.signal)):
          if self._trainer.step == self._config.steps:
            break
          self._advance()
        if signal:
          return self._leave(signal)
        self._finish()
        return 0
    except UserError:
      raise
    except Exception as error:
      error.add_note(messages.left(self._root, self._trainer.step, self._logbooks))
      raise
    finally:
      self._show.close()
      for logbook in self._logbooks:
        logbook.close()

  def _restore(self) -> None:
    restored: list[Restored] = []
    if self._group.first:
      each = [logbook.checkpoints for logbook in self._logbooks]
      restored = restore_together(each, self._trainer.expected)
      refuse_full(each, self._trainer.expected)
      for logbook in self._logbooks:  # It is sure now that they can be gone on with.
        logbook.record(self._experiment.dataset.fingerprint, self._devices)
    restored = share_restored(self._group, restored, self._trainer.expected)
    if restored:
      self._trainer.load(
        [one.tree for one in restored], [one.meta["window"] for one in restored]
      )
    for i, logbook in enumerate(self._logbooks):
      logbook.open(self._trainer.step, restored[i].meta if restored else None)

  def _profile(self) -> None:
    """Records a call that has warmed up, for TensorBoard and Perfetto."""
    self._advance()
    if not self._group.first:
      self._advance()
      return
    with jax.profiler.trace(str(self._root / "profile"), create_perfetto_trace=True):
      self._advance()
    self._show.line(f"Profile in {self._root / 'profile'}")

  def _announce(self) -> None:
    config = self._config
    described = self._experiment.dataset.described(config.batch_size)
    for line in (
      *messages.beginning(config, self._parameters(), self._devices, described),
      *messages.standing(self._root, self._trainer.step, self._logbooks),
    ):
      self._show.line(line)

  def _advance(self) -> None:
    """Takes some steps, and does what is due after them."""
    if self._trainer.step < self._config.steps:
      lines = advance(self._trainer, self._next_due(), self._logbooks, self._config)
      for line in lines:
        self._show.line(line)
      self._show.step(self._trainer.step)
      self._do_due()

  def _next_due(self) -> int:
    """The next step at which something is due."""
    step, config = self._trainer.step, self._config
    intervals = (config.log.every, config.evaluation.every, config.checkpoint.every)
    return min(config.steps, *((step // every + 1) * every for every in intervals))

  def _do_due(self) -> None:
    with self._group.busy("evaluating or saving"):
      self._do_what_is_due()

  def _do_what_is_due(self) -> None:
    step, config = self._trainer.step, self._config
    last = step == config.steps
    if last or step % config.log.every == 0:
      self._report()
    if last or step % config.evaluation.every == 0:
      self._validate()
    if last or step % config.checkpoint.every == 0:
      self._save()

  def _report(self) -> None:
    step = self._trainer.step
    if not self._trainer.windows[0].loss:
      return  # All steps since the last report were passed over.
    rate = float(self._experiment.schedule(step - 1))
    wait = self._trainer.data_wait()
    seeds = self._trainer.take_reports()
    for logbook, figures in zip(self._logbooks, seeds, strict=True):
      speed = self._tokens_per_second(logbook)
      pace = {"tokens_per_second": speed, "data_wait": wait}
      logbook.report(step, figures | {"learning_rate": rate}, pace)
    shown = [{key: x[key] for key in ("loss", "accuracy")} for x in seeds]
    first = self._logbooks[0]
    all_of_it = spreads(shown) | {"tokens/s": self._tokens_per_second(first)}
    seconds = first.training_seconds(self._trainer.seconds) * len(seeds)
    left = (self._config.steps - step) * seconds / step
    self._show.figures(step, "train", all_of_it, left)

  def _validate(self) -> None:
    step = self._trainer.step
    seeds = [self._measure("validation", i) for i in range(len(self._logbooks))]
    for logbook, figures in zip(self._logbooks, seeds, strict=True):
      refuse_nonfinite(logbook, step, figures["loss"])
    self._show.figures(step, "validation", spreads(seeds))
    for i, (logbook, figures) in enumerate(zip(self._logbooks, seeds, strict=True)):
      logbook.validated(step, figures)
      if logbook.boards:
        params = unreplicate(self._trainer.params(i))
        logbook.picture(step, self._sample(params), self._maps(params))

  def _maps(self, params: Any) -> dict[str, np.ndarray]:
    """Attention maps of a fixed validation batch, by place."""
    example = self._experiment.dataset.examples("validation", 0, np.zeros(1, np.int64))
    source = () if example.source is None else (example.source,)
    at = default_positions(example.inputs)
    maps = self._weights(params, None, example.inputs, at, *source)
    by_name = {"attention": maps}
    if isinstance(maps, dict):
      by_name = {f"attention/{place}": maps[place] for place in maps}
    images = {name: attention_image(layers) for name, layers in by_name.items()}
    return {name: image for name, image in images.items() if image is not None}

  def _sample(self, params: Any) -> str | None:
    """The prompt, continued; None from an architecture that continues none."""
    return None if self._sampler is None else self._sampler(params)[0]

  def _measure(self, split: str, index: int) -> dict[str, float]:
    return evaluate(
      self._evaluate,
      self._trainer.params(index),
      self._experiment.dataset,
      split,
      self._config.batch_size,
      self._devices,
    )

  def _save(self) -> list[Path]:
    trainer = self._trainer
    each = zip(self._logbooks, trainer.states(), trainer.windows, strict=True)
    return [
      logbook.save(trainer.step, state, window, trainer.seconds)
      for logbook, state, window in each
    ]

  def _leave(self, signal: int) -> int:
    paths = self._save()
    what = f"all {len(paths)} seeds in {self._root}" if paths[1:] else str(paths[0])
    self._show.line(
      f"Interrupted at step {self._trainer.step}; saved {what}. Go on with: "
      f"{messages.command(self._root, self._logbooks)}"
    )
    return 128 + signal

  def _finish(self) -> None:
    """Evaluates every seed, writes the summaries and tells what they say."""
    measures = {
      length: in_step(self._group, measure)
      for length, measure in length_measures(
        self._experiment.measure, self._lengths, self._devices
      ).items()
    }
    memory = peak_memory() // len(self._logbooks)  # Before what follows takes more.
    flops = flops_per_step(self._config, self._experiment.dataset.files())
    peak = matmul_peak(self._experiment.policy.compute_dtype) * len(self._devices)
    summaries = []
    for i, logbook in enumerate(self._logbooks):
      summary = self._summary(i, flops, peak, memory)
      if self._lengths:
        summary["lengths"] = evaluate_lengths(
          measures,
          self._trainer.params(i),
          self._lengths,
          self._config.batch_size,
          self._devices,
        )
      logbook.summarise(summary)
      summaries.append(summary)
    self._show.close()
    if not self._group.first:
      return
    text = self._sample(unreplicate(self._trainer.params(0)))
    if text is not None:
      self._show.line(f"\n--- sample ---\n{text}\n--------------\n")
    for line in messages.ending(summaries, self._root, self._logbooks):
      self._show.line(line)

  def _summary(
    self, index: int, flops: int, peak: float, memory: int
  ) -> dict[str, Any]:
    """All but the figures of other lengths."""
    logbook, config = self._logbooks[index], self._config
    train = self._measure("train", index)
    seconds = max(logbook.training_seconds(self._trainer.seconds), 1e-9)
    speed = flops * self._trainer.step / seconds
    summary = {
      "attention": config.attention,
      "position": config.position,
      "dataset": config.dataset,
      "parameters": self._parameters(),
      "leak_check": self._leak_check(),
      "steps": self._trainer.step,
      "side_by_side": len(self._logbooks),  # Seconds are the run's share.
      "seconds": logbook.seconds(),
      "tokens_per_second": self._tokens_per_second(logbook),
      "compile_seconds": self._trainer.compile_seconds,
      "flops_per_step": flops,
      "flops_per_second": speed,
      "utilisation": speed / peak,
      "memory_bytes": memory,
      "train": train,
      "validation": (logbook.validation or {}) | self._scores(index),
    }
    best = self._experiment.dataset.best_loss
    if best is not None and logbook.validation:
      summary["above_best"] = logbook.validation["loss"] - best
    return summary

  def _scores(self, index: int) -> dict[str, Any]:
    """BLEU and chrF of a seed's answers, where they are asked for."""
    if not self._config.evaluation.scores or not self._group.first:
      return {}
    pairs = self._experiment.dataset.sentences("validation")
    assert pairs is not None  # It was refused.
    translator = Translator(self._experiment, self._config.sample)
    params = unreplicate(self._trainer.params(index))
    file = self._logbooks[index].folder / "translations.validation.txt"
    return score_answers(translator, params, pairs, file)

  def _leak_check(self) -> str:
    if not self._experiment.causal:
      return "not asked"  # It has nothing that must not see ahead.
    return "skipped" if self._config.skip_checks else "passed"

  def _parameters(self) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(self._trainer.expected.params))

  def _tokens_per_second(self, logbook: Logbook) -> float:
    """Tokens trained on in a second of training, over all starts; side by side, by all
    seeds together."""
    tokens = self._experiment.dataset.tokens_per_step(self._config.batch_size)
    seconds = logbook.training_seconds(self._trainer.seconds)
    return tokens * self._trainer.step / max(seconds, 1e-9)
