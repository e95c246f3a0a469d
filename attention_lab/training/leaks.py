"""The leak check that goes on while training, by the very programs that compute losses.

The loss of tokens before a cut must not depend on the tokens from the cut on. A step that
is not taken and an evaluation tell the loss of a batch, and of the same batch with other
tokens; every row has a random cut of its own.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

import jax
import numpy as np

from attention_lab.conformance.leak import computes_in_float32, culprits, hint
from attention_lab.conformance.probe import replaced
from attention_lab.dataset.base.dataset import Batch, Dataset
from attention_lab.distributed.devices import process_shard, shard, unreplicate
from attention_lab.errors import UserError
from attention_lab.experiment import Experiment
from attention_lab.training.run import Run
from attention_lab.training.stepper import Stepper
from attention_lab.update import Measure

# Batch of this process → sums of the loss in nats over the whole batch, one for each run.
Losses = Callable[[Batch], np.ndarray]

# Largest change of the mean loss by rounding, relative to 1 nat or the loss if that is
# larger: of models whose outputs are bit for bit the same, whatever tokens follow; of
# others in float32, and in a shorter dtype or on other devices than a CPU.
EXACT, FLOAT32, LOW_PRECISION = 1e-5, 1e-4, 0.02


class Leak(NamedTuple):
  """A loss that depends on tokens from a cut on."""

  run: int  # Number of the run, of several in one program.
  cut: int
  token: int  # Whose loss changes.
  before: float  # Its loss in nats.
  after: float  # Its loss if the tokens from the cut on are replaced.


class Trial(NamedTuple):
  """A batch, and the same batch with other tokens from each row's cut on."""

  original: Batch  # Rows of this process.
  changed: Batch
  own: slice  # Their numbers among all rows.
  weights: np.ndarray  # [rows, T]: the most for the token before the cut, then less.
  cuts: np.ndarray  # [rows]: the cut of every row of all processes.

  def losses(self, losses: Losses, weights: np.ndarray) -> np.ndarray:
    """Return weighted sums of the losses of both batches: [2, runs]."""
    own = weights[self.own].astype(np.float32)
    both = [
      losses(batch._replace(weights=own)) for batch in (self.original, self.changed)
    ]
    return np.stack(both).astype(np.float64)


def make_trial(
  dataset: Dataset,
  split: str,
  number: int,
  batch_size: int,
  devices: Sequence[jax.Device],
  seed: tuple[int, ...],
) -> Trial:
  """Return a batch of a split, by its number, with random cuts and other tokens."""
  index, count = process_shard(devices)
  batch = dataset.batch(split, number, batch_size, (index, count))
  rows, length = batch.inputs.shape
  rng = np.random.default_rng(seed)
  first = max(1, dataset.prefix_length)  # Tokens of a prefix may see each other.
  cuts = rng.integers(first, max(first + 1, length), size=rows * count)
  distance = cuts[:, None] - np.arange(length)
  own = slice(index * rows, (index + 1) * rows)
  other = replaced(batch.inputs, dataset.vocabulary.size, (*seed, index))
  changed = np.where(distance[own] > 0, batch.inputs, other)
  weights = np.where(distance > 0, 1 / np.maximum(distance, 1), 0.0)
  return Trial(batch, batch._replace(inputs=changed), own, weights, cuts)


def find_leak(losses: Losses, trial: Trial, limit: float) -> Leak | None:
  """Return a leak that the trial shows, or None."""
  before, after = trial.losses(losses, trial.weights) / trial.weights.sum()
  excess = np.abs(after - before) / np.maximum(1, np.abs(before)) - limit
  if not (excess > 0).any():  # Losses that are not finite are not compared.
    return None
  run = int(np.nanargmax(excess))
  places = np.argwhere(trial.weights > 0)  # (row, token), by rows.

  def sums(places: np.ndarray) -> np.ndarray:
    weights = np.zeros_like(trial.weights)
    weights[tuple(places.T)] = 1
    return trial.losses(losses, weights)[:, run]

  while len(places) > 1:  # Halve them; keep the half whose loss changes more.
    halves = np.array_split(places, 2)
    places = max(halves, key=lambda half: abs(np.subtract(*sums(half))))
  ((row, token),) = places
  return Leak(run, int(trial.cuts[row]), int(token), *map(float, sums(places)))


def refuse_leak(runs: Sequence[Run], stepper: Stepper) -> None:
  """Raise `UserError` if a loss depends on future tokens, and record it as an event.

  It takes a step that is not taken and an evaluation, each on two batches of each shape.
  """
  run, step = runs[0], stepper.step
  if run.options.leak_check != "passed":
    return
  dataset, limit = run.experiment.dataset, _limit(run.experiment, run.options.exact)

  def losses(batch: Batch) -> np.ndarray:
    return np.atleast_1d(stepper.trial(batch).sums.loss)

  for number in dataset.shapes("train", run.options.batch_size):
    trial = make_trial(
      dataset, "train", number, run.options.batch_size, run.devices, (run.seed, step)
    )
    if leak := find_leak(losses, trial, limit):
      _stop(runs[leak.run], step, leak, " in a step")
  for run in runs:
    _refuse_in(run, step, run.measure, dataset, "")


def refuse_leak_at_lengths(
  run: Run, step: int, measures: Mapping[int, Measure]
) -> None:
  """Raise `UserError` if a loss at another length depends on future tokens."""
  if run.options.leak_check == "passed":
    for length, dataset in run.extra_lengths.items():
      _refuse_in(run, step, measures[length], dataset, f" at {length} tokens")


def _refuse_in(
  run: Run, step: int, measure: Measure, dataset: Dataset, where: str
) -> None:
  """Raise `UserError` if an evaluation of a run leaks, and record it as an event."""
  leak = find_in_evaluation(
    run.experiment,
    measure,
    run.state.params,
    dataset,
    "validation",
    run.options.batch_size,
    run.devices,
    (run.seed, step),
    run.options.exact,
  )
  if leak is not None:
    _stop(run, step, leak, where)


def find_in_evaluation(
  experiment: Experiment,
  measure: Measure,
  params: Any,
  dataset: Dataset,
  split: str,
  batch_size: int,
  devices: Sequence[jax.Device],
  seed: tuple[int, ...],
  exact: bool = False,
) -> Leak | None:
  """Return a leak in an evaluation, or None.

  Args:
    experiment: the experiment.
    measure: computes sums over a batch, from `update.make_evaluate`.
    params: parameters, replicated over the devices.
    dataset: source of the batches, at the experiment's length or another one.
    split: one of the dataset's splits.
    batch_size: examples in a batch, over all devices.
    devices: the devices to compute on.
    seed: seed of the cuts and tokens.
    exact: whether outputs are bit for bit the same, whatever tokens follow.
  """

  def losses(batch: Batch) -> np.ndarray:
    sums = unreplicate(measure(params, shard(batch, devices))).sums
    return np.atleast_1d(sums.loss)

  for number in dataset.shapes(split, batch_size):
    trial = make_trial(dataset, split, number, batch_size, devices, seed)
    if leak := find_leak(losses, trial, _limit(experiment, exact)):
      return leak
  return None


def message(experiment: Experiment, attention: str, leak: Leak, where: str) -> str:
  """Return what leaks, the cut and the size, and what to do."""
  return (
    f"{culprits(experiment, attention)} to future tokens: with the tokens from "
    f"{leak.cut} on replaced, the loss of token {leak.token}{where} changes from "
    f"{leak.before:.5g} to {leak.after:.5g} nats, so its losses are meaningless and "
    f"none is reported. {hint(attention)}"
  )


def _stop(run: Run, step: int, leak: Leak, where: str) -> NoReturn:
  """Record a leak and raise `UserError`."""
  run.recorder.event(
    step,
    "leak",
    cut=leak.cut,
    token=leak.token,
    token_loss=leak.before,
    token_loss_replaced=leak.after,
  )
  of_seed = f" of seed {run.seed}" if run.siblings > 1 else ""
  text = message(run.experiment, run.options.attention, leak, where)
  raise UserError(f"Training{of_seed} stopped at step {step}. {text}")


def _limit(experiment: Experiment, exact: bool) -> float:
  if exact:
    return EXACT
  cpu = jax.default_backend() == "cpu"
  return FLOAT32 if cpu and computes_in_float32(experiment) else LOW_PRECISION
