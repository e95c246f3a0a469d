"""The leak check before training: a causal model must not depend on future tokens.

It is made on what training and evaluation run: the assembled model, their shapes and
dtypes, with a random key and without. Verdicts are stored in the user's cache, under a hash
of everything they depend on.
"""

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from attention_lab.attention.base.attention import attentions
from attention_lab.conformance.probe import (
  SECONDS,
  Probe,
  Reading,
  Request,
  ordered_cuts,
  perturbed,
  replaced,
  same_program,
)
from attention_lab.dataset.base.dataset import Batch, Dataset, each_array
from attention_lab.errors import UserError
from attention_lab.experiment import Experiment
from attention_lab.plugin import spec as specs
from attention_lab.system.code_hash import code_hash
from attention_lab.system.files import user_cache, write_json
from attention_lab.system.slow import announced

NOTICE = (
  "Checking that no output depends on later tokens, once for this model and its shapes; "
  "--skip_checks omits it."
)


class Limits(NamedTuple):
  """Largest rounding errors of models that do not leak."""

  change: float  # Of an output, relative to the largest one.
  gradient: float  # Relative to the largest one.


# Ten times what was measured and more, over all attentions and unusual ones.
FLOAT32, BFLOAT16, ELSEWHERE = (
  Limits(1e-4, 1e-4),
  Limits(0.05, 1e-3),
  Limits(0.05, 0.01),
)


class Calls(NamedTuple):
  """Settings of how a run calls its model."""

  batch_size: int  # Examples per step, over all devices.
  micro_batches: int
  devices: int
  extra_lengths: Mapping[int, Dataset]  # Of the last evaluation.


class Case(NamedTuple):
  """A call of the model, on the shapes of training or evaluation."""

  batch: Batch
  training: bool  # Whether it has a random key and is differentiated.

  @property
  def shape(self) -> tuple[Any, ...]:
    """Shapes of the batch's tokens."""
    source = self.batch.source
    return self.batch.inputs.shape, None if source is None else source.shape


def refuse_leak(
  experiment: Experiment,
  calls: Calls,
  make_params: Callable[[], Any],
  attention: str,
  settings: Any,
) -> bool:
  """Raise `UserError` if outputs of a causal model depend on future tokens.

  So it does if documents are to be kept apart, and one depends on that before it.

  Returns whether outputs do not depend on future tokens by rounding either.

  Args:
    experiment: the experiment; one of its attentions is causal, or it has a separator.
    calls: how the run calls the model.
    make_params: () → the parameters that training starts with.
    attention: the setting `attention`, for messages.
    settings: everything that the model depends on in addition, as its `repr` tells.
  """
  cases = list(_cases(experiment.dataset, calls))
  inputs = (
    settings,
    list(experiment.causal),
    [(case.shape, case.training) for case in cases],
    (experiment.dataset.vocabulary.size, experiment.model.separator),
    str(experiment.policy),
    jax.local_devices()[0].device_kind,
    jax.config.values.get("jax_default_matmul_precision"),
    jax.__version__,
    code_hash(),
  )
  name = hashlib.sha256(repr(inputs).encode()).hexdigest()
  path = user_cache() / "leaks" / f"{name}.json"
  verdict = _load(path)
  if verdict is None:
    with announced(NOTICE):
      leak, exact = _find(experiment, cases, make_params)
    verdict = {"leak": leak, "exact": exact}
    _store(path, verdict)
  if verdict["leak"]:
    raise UserError(
      f"{culprits(experiment, attention)} {verdict['leak']}, so its loss would be "
      f"meaningless. {hint(attention)}"
    )
  return bool(verdict["exact"])


def culprits(experiment: Experiment, attention: str) -> str:
  """Return the subject and verb of a message about a leak: "The attention 'x' attends"."""
  causal = [repr(name) for name in experiment.causal]
  if len(causal) > 1:
    return f"One of the attentions {', '.join(causal)} attends"
  return f"The attention {causal[0] if causal else repr(attention)} attends"


def hint(attention: str) -> str:
  """Return what to do after a leak."""
  return (
    f"For details, use --mode=check --attention={attention!r}; to train without this "
    f"check, add --skip_checks."
  )


def _cases(dataset: Dataset, calls: Calls) -> Iterator[Case]:
  """Yield a call of each shape: those of training, then those of evaluation."""
  size, seen = calls.batch_size, set()
  own = [
    (True, dataset, "train", calls.devices * calls.micro_batches),
    *((False, dataset, split, calls.devices) for split in dataset.splits),
    *(
      (False, other, "validation", calls.devices)
      for other in calls.extra_lengths.values()
    ),
  ]
  for training, source, split, parts in own:
    for step in source.shapes(split, size):
      batch = source.batch(split, step, size)
      rows = max(1, len(batch.inputs) // parts)
      case = Case(each_array(lambda x, rows=rows: x[:rows], batch), training)
      if (case.shape, training) not in seen:
        seen.add((case.shape, training))
        yield case


def _find(
  experiment: Experiment, cases: list[Case], make_params: Callable[[], Any]
) -> tuple[str | None, bool]:
  """Return what depends on future tokens, or None, and whether outputs never change.

  Gradients tell small leaks from rounding. A model whose outputs do not change at all
  needs none.
  """
  output = partial(experiment.output, experiment.policy)
  probe, limits, rounding = Probe(output), _limits(experiment), 0.0
  separator = experiment.model.separator
  for label, case, request in _requests(experiment, cases, make_params):
    where = _where(experiment, case, label)
    if separator is not None and case.training:
      found = probe.document_change(request, separator)
      if not found.size <= limits.change:
        return _describe_documents(found, where), False
    if not experiment.causal:
      continue
    change = probe.change(request)
    rounding = max(rounding, change.size)
    if not change.size <= limits.change:
      return _describe_change(change, where), False
    if change.size and case.training:
      gradient = probe.gradient(request)
      if not gradient.size <= limits.gradient:
        return _describe_gradient(gradient, where), False
    if case.training and label == "perturbed" and not rounding:
      rounding = _rounding_in_float32(experiment, request)
  return None, rounding == 0


def _rounding_in_float32(experiment: Experiment, request: Request) -> float:
  """Return the largest change of outputs in float32; a short dtype hides small ones."""
  if computes_in_float32(experiment):
    return 0.0
  wide = dataclasses.replace(experiment.policy, compute_dtype=jnp.float32)
  probe = Probe(partial(experiment.output, wide))
  return probe.change(request._replace(key=None, seconds=0.0)).size


def _requests(
  experiment: Experiment, cases: list[Case], make_params: Callable[[], Any]
) -> Iterator[tuple[str, Case, Request]]:
  """Yield the inputs of the probe for each case, with a label of the parameters."""
  initial, key = jax.tree.map(jnp.asarray, make_params()), jax.random.key(0)
  params = {
    "initial": (initial, 0.0),  # Only the most important cuts.
    "perturbed": (jax.tree.map(jnp.asarray, perturbed(initial, 1)), SECONDS),
    "oppositely perturbed": (jax.tree.map(jnp.asarray, perturbed(initial, -1)), 0.0),
  }
  prefix = experiment.dataset.prefix_length  # Its tokens may see each other.
  sizes = [size for name in experiment.causal for size in _option_sizes(name)]
  output = partial(experiment.output, experiment.policy)
  deterministic = set()  # Shapes whose programs do not use the random key.
  for case in cases:
    inputs = case.batch.inputs
    if case.training and same_program(output, initial, key, case.batch):
      deterministic.add(case.shape)
    if not case.training and case.shape in deterministic:
      continue
    other = replaced(inputs, experiment.dataset.vocabulary.size, seed=0)
    cuts = ordered_cuts(inputs.shape[1], [prefix, *sizes] if prefix else sizes)
    cuts = [cut for cut in cuts if cut >= prefix]
    for label, (values, seconds) in params.items():
      own = key if case.training else None
      yield label, case, Request(values, own, case.batch, other, cuts, seconds)


def _limits(experiment: Experiment) -> Limits:
  if jax.default_backend() != "cpu":  # It may round the factors of products.
    return ELSEWHERE
  return FLOAT32 if computes_in_float32(experiment) else BFLOAT16


def computes_in_float32(experiment: Experiment) -> bool:
  """Return whether the model computes in float32, not in a shorter dtype."""
  return jnp.dtype(experiment.policy.compute_dtype) == jnp.float32


def _where(experiment: Experiment, case: Case, label: str) -> str:
  rows, length = case.batch.inputs.shape
  dtype = jnp.dtype(experiment.policy.compute_dtype).name
  key = "with" if case.training else "without"
  return (
    f"({dtype}, {rows} row{'s' * (rows > 1)} of {length} tokens, {label} parameters, "
    f"{key} the random key)"
  )


def _describe_documents(found: Reading, where: str) -> str:
  return (
    f"to other documents: with the tokens before a separator at {found.cut} replaced, the "
    f"logits of token {found.token} change by {percent(found.size)} {where}"
  )


def _describe_change(found: Reading, where: str) -> str:
  return (
    f"to future tokens: with the tokens from {found.cut} on replaced, the logits of "
    f"token {found.token} change by {percent(found.size)} {where}"
  )


def _describe_gradient(found: Reading, where: str) -> str:
  return (
    f"to future tokens: the gradient of the logits before token {found.cut} with respect "
    f"to token {found.token} is {percent(found.size)} of the largest {where}"
  )


def percent(size: float) -> str:
  """Return a relative size, such as "12 %"."""
  return f"{100 * size:.2g} %" if size < 1 else f"{100 * size:.0f} %"


def _option_sizes(text: str) -> list[int]:
  """Return numbers of tokens that the options of a spec may name, such as a window."""
  spec = specs.parse(text)
  parameters = attentions.options(spec.name)
  values = {name: each.default for name, each in parameters.items()} | spec.options
  return [value for value in values.values() if type(value) is int and value > 1]


def _load(path: Path) -> dict[str, Any] | None:
  try:
    verdict: dict[str, Any] = json.loads(path.read_text())
    return verdict if {"leak", "exact"} <= set(verdict) else None
  except (OSError, ValueError, TypeError):
    return None


def _store(path: Path, verdict: dict[str, Any]) -> None:
  with contextlib.suppress(OSError):  # The next run then repeats the check.
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, verdict)
