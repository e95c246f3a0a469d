"""A trained model in memory: logits, texts, attention weights, evaluations."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Unpack

import jax
import numpy as np

from attention_lab import config as configs
from attention_lab.api import export
from attention_lab.api.components import Classes, classes_among, held, held_as
from attention_lab.api.display import BarListener
from attention_lab.api.options import DecodeOptions
from attention_lab.api.process import api_call, jax_settings_kept
from attention_lab.api.results.evaluation import Evaluation
from attention_lab.api.results.maps import AttentionMaps
from attention_lab.api.results.samples import Sample, Samples
from attention_lab.api.settings import BY_ARGUMENT, assign, by_key, refuse_of_training
from attention_lab.config import Config
from attention_lab.decode.attention_maps import of_pair, of_text
from attention_lab.errors import UserError, nearest
from attention_lab.experiment import Experiment, assemble
from attention_lab.kernel.mask import default_positions
from attention_lab.mode import evaluate as evaluating
from attention_lab.mode import sample as sampling
from attention_lab.run import branch
from attention_lab.run import code as run_code
from attention_lab.run.restore import Trained
from attention_lab.system.files import make_folder
from attention_lab.training import changes


class Origin(NamedTuple):
  """Place of a model, and hashes that were recorded when it was trained."""

  path: Path  # The run's folder, or the file that the model was exported to.
  code: Mapping[str, str] | None  # Hashes of the code; None if they were not recorded.
  data: str | None  # The sha256 of the data.

  def changed_code(self, code: Mapping[str, str]) -> list[str]:
    """Return the names in which code differs from that of training."""
    return run_code.changed_since(self.code, code)


class TrainedModel:
  """The parameters of a trained run, and what computes with them.

  Attributes:
    parameters: Haiku's parameters: module → name → array on the host, float32.
    config: the run's configuration.
    step: training steps of the parameters.
    folder: the run's folder; None if it was temporary, or the model is from a file.
    experiment: the model as functions, its dataset and its vocabulary.
    code: hashes of the code that the run depends on, as it is today.
    classes: classes and functions of the run that nothing registers, by setting.
    origin: what was recorded when the model was trained.
  """

  def __init__(
    self,
    config: Config,
    experiment: Experiment,
    trained: Trained,
    classes: Classes,
    folder: Path | None,
    code: dict[str, str],
    origin: Origin,
  ):
    self.config, self.folder = config, folder
    self.parameters: Any = trained.params
    self.step = trained.step
    self.experiment, self._trained = experiment, trained
    self.code, self.origin, self.classes = code, origin, classes

  def encode(self, text: str) -> np.ndarray:
    """Return the tokens of a text: [T] int32.

    Raises:
      UserError: the text has unknown characters.
    """
    return np.asarray(self.experiment.dataset.vocabulary.encode(text), np.int32)

  def decode(self, tokens: Sequence[int] | np.ndarray) -> str:
    """Return the text of tokens [T]."""
    tokens = np.asarray(tokens, np.int32)
    return self.experiment.dataset.vocabulary.decode(tokens.tolist())

  @api_call()
  def logits(self, tokens: Any, source: Any = None) -> jax.Array:
    """Return the logits of each next token.

    Args:
      tokens: [T] or [B, T] integers, without padding.
      source: [S] or [B, S] integers, of a model that learns pairs alone.

    Returns:
      [T, V] or [B, T, V] float32, for a vocabulary of V tokens.

    Raises:
      UserError: the arrays have other shapes or dtypes, or hold other tokens.
    """
    pairs = self.experiment.dataset.task == "pairs"
    if pairs != (source is not None):
      need = "a source beside the tokens" if pairs else "tokens alone"
      raise UserError(f"This model takes {need}.")
    rows = self._rows(tokens, "tokens")
    sources = (self._rows(source, "source"),) if pairs else ()
    with self._in_use():
      logits: jax.Array = self._apply(self.parameters, rows, *sources)
    return logits if np.ndim(tokens) == 2 else logits[0]

  @cached_property
  def _apply(self) -> Any:
    """The jitted full pass: (parameters, tokens [B, T], source [B, S]) → logits."""
    model, policy = self.experiment.model, self.experiment.policy

    def apply(params: Any, tokens: jax.Array, *source: jax.Array) -> jax.Array:
      params = policy.cast_to_compute(params)
      logits = model.apply(params, None, tokens, default_positions(tokens), *source)
      return policy.cast_to_output(logits)

    return jax.jit(apply)

  def _rows(self, tokens: Any, name: str) -> np.ndarray:
    """Return tokens as [B, T] int32; raise `UserError` at what are no tokens."""
    array, size = np.asarray(tokens), self.experiment.dataset.vocabulary.size
    if array.ndim not in (1, 2) or not np.issubdtype(array.dtype, np.integer):
      raise UserError(
        f"{name}: expected integers [T] or [B, T], got {array.dtype}{list(array.shape)}. "
        f"encode(text) returns the tokens of a text."
      )
    if array.size and not 0 <= array.min() <= array.max() < size:
      raise UserError(f"{name}: take numbers from 0 to {size - 1}.")
    room = self.experiment.max_positions
    if not array.shape[-1] or (room is not None and array.shape[-1] > room):
      most = f"1 to {room}" if room is not None else "1 or more"
      raise UserError(f"{name}: take {most} tokens, not {array.shape[-1]}.")
    return np.atleast_2d(array).astype(np.int32)

  @api_call("sample")
  def generate(
    self, prompt: str | Sequence[str] | None = None, **options: Unpack[DecodeOptions]
  ) -> Samples:
    """Continue prompts by sampling, or translate sources by beam search.

    Args:
      prompt: a text, or several; None for the dataset's own.
      **options: see `DecodeOptions`, for example length=100 and temperature=0.

    Raises:
      UserError: an unknown character or option, or a model that generates no text.
    """
    prompts = [prompt] if prompt is None or isinstance(prompt, str) else list(prompt)
    for name in options:
      if name not in DecodeOptions.__annotations__:
        known = nearest(name, DecodeOptions.__annotations__)
        raise UserError(f"There is no option {name!r}. {known}")
    config = self._with({f"sample.{name}": x for name, x in options.items()})
    found, note = list[Sample](), ""
    with self._in_use():
      for each in prompts:
        configs.set_value(config, "sample.prompt", each)
        sampler = sampling.sampler_of(self.experiment, config)
        decoding = sampling.decode(sampler, self.parameters)
        found += [Sample(text, tuple(texts)) for text, texts in decoding.decoded]
        note = note or decoding.note
    return Samples(tuple(found), self.experiment.dataset.task == "pairs", note)

  @api_call()
  def attention_weights(self, text: str, answer: str | None = None) -> AttentionMaps:
    """Return the attention weights on a text, of every layer and head.

    Args:
      text: the text; of a model that learns pairs, the source.
      answer: of a model that learns pairs, the answer; None for the model's own.

    Raises:
      UserError: unknown characters, or no attention that forms weights.
    """
    pairs = self.experiment.dataset.task == "pairs"
    if answer is not None and not pairs:
      raise UserError("answer is for models that learn pairs; omit it.")
    if pairs and answer is None:
      answer = self.generate(text).text
    with self._in_use():
      if answer is None:
        return AttentionMaps(tuple(of_text(self.experiment, self.parameters, text)))
      maps = of_pair(self.experiment, self.parameters, text, answer)
      return AttentionMaps(tuple(maps))

  @api_call()
  def evaluate(
    self,
    *,
    split: str = "all",
    stride: int | None = None,
    workdir: str | Path | None = None,
    progress: bool = True,
    **settings: Any,
  ) -> Evaluation:
    """Measure the metrics of the dataset's splits, and BLEU of translations.

    Args:
      split: the split to evaluate, or "all".
      stride: tokens between the starts of the windows of a text, of which the last
        `stride` targets count, so that each has a longer context; None for windows that
        do not overlap. The training split is evaluated without.
      workdir: folder for evaluation.json and translations; None for no files.
      progress: whether to show a bar, on a terminal or in a notebook.
      **settings: settings that change the evaluation: dataset and position (names or
        classes), batch_size, kernel, evaluation__extra_lengths=(16, 64) …

    Raises:
      UserError: a setting is unknown, changes the model, or does not fit it; or the loss
        depends on future tokens; or the run's code has changed.
    """
    values = by_key(settings, BY_ARGUMENT)
    values |= {"evaluation.split": split, "evaluation.stride": stride}
    refuse_of_training(values)
    with contextlib.ExitStack() as stack:
      stack.enter_context(self._in_use())
      values |= stack.enter_context(held(classes_among(values)))
      config = self._with(values)
      changed = changes.evaluated_otherwise(self.config, config)
      prepared = evaluating.prepare(config, self._experiment_of(config, changed))
      changed_code = self.origin.changed_code(self.code)
      policy = config.checkpoint.changed_code
      run_code.refuse_changed(self.origin.path, changed_code, policy)
      if "dataset" not in changed:
        self._refuse_other_data()
      show = stack.enter_context(contextlib.closing(BarListener(shown=progress)))
      folder = None if workdir is None else Path(workdir).expanduser()
      if folder is not None:
        make_folder(folder, "workdir")
      measured = evaluating.measure(prepared, self._trained, show, folder)
    origin = evaluating.record(
      self._trained, prepared.experiment, changed, changed_code
    )
    if folder is not None:
      evaluating.write(folder, origin | measured)
    return Evaluation.of(origin | measured, prepared.experiment.dataset.splits)

  @api_call()
  def save(self, path: str | Path) -> Path:
    """Write the model to one file, which `load` reads, and return its path.

    The file holds the parameters as "module/name", for any reader of safetensors. Its
    metadata has what `load` needs: configuration, step, vocabulary, hashes of data, code
    and content. The state of the optimizer is not in it. A file of this name is replaced.

    Args:
      path: the file, whose name ends in ".safetensors".

    Raises:
      UserError: safetensors is not installed, or the file cannot be written.
    """
    content = export.Content(
      config=self.config,
      trained=self._trained._replace(params=self.parameters),
      files=self.experiment.dataset.files(),
      code=self.origin.code,
      data=self.origin.data,
    )
    return export.write(Path(path).expanduser(), content)

  @contextlib.contextmanager
  def _in_use(self) -> Iterator[None]:
    """Hold the run's classes, which tracing looks up, and keep JAX's configuration."""
    with (
      held_as(self.config, self.classes),
      jax_settings_kept(self.config.compile_cache),
    ):
      yield

  def _with(self, values: dict[str, Any]) -> Config:
    """Return the configuration with other values, by setting."""
    config = self.config.copy_and_resolve_references()
    assign(config, values)
    return config

  def _experiment_of(self, config: Config, changed: dict[str, Any]) -> Experiment:
    """Return the experiment to evaluate; raise `UserError` at another vocabulary."""
    if not changed:
      return self.experiment
    own = self.experiment.dataset
    experiment = assemble(config, own.files())
    if "dataset" in changed:
      new = experiment.dataset.vocabulary
      branch.refuse_other_vocabulary("The model was trained", own.vocabulary, new)
    return experiment

  def _refuse_other_data(self) -> None:
    """Raise `UserError` if the data is not that of training."""
    now, then = self.experiment.dataset.fingerprint, self.origin.data
    if now != then:
      raise UserError(
        f"The data has changed since {self.origin.path} was trained (sha256 {then} then, "
        f"{now} now). Restore the old data."
      )

  def __repr__(self) -> str:
    config = self.config
    count = sum(leaf.size for leaf in jax.tree.leaves(self.parameters))
    return (
      f"TrainedModel({config.attention} attention, position {config.position}, on "
      f"{config.dataset}: {count:,} parameters, step {self.step:,})"
    )
