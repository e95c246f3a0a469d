"""Evaluation of trained runs: `attention_lab.evaluate`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attention_lab.api.components import classes_among, missing
from attention_lab.api.load import loaded, refuse_of_model
from attention_lab.api.model import TrainedModel
from attention_lab.api.process import api_call
from attention_lab.api.results.evaluation import Evaluation
from attention_lab.api.settings import by_key, key_of


@api_call()
def evaluate(
  run: str | Path | TrainedModel,
  checkpoint: str | int = "last",
  *,
  split: str = "all",
  stride: int | None = None,
  workdir: str | Path | None = None,
  progress: bool = True,
  plugins: Sequence[str] = (),
  trust_plugins: bool = False,
  **settings: Any,
) -> Evaluation:
  """Measure the metrics of a trained run on its splits, and print nothing.

  Args:
    run: the folder of a run, a file that `TrainedModel.save` has written, or a model from
      `load` or `train`.
    checkpoint: of a folder, "last", "best", or a step.
    split: the split to evaluate, or "all".
    stride: as that of `TrainedModel.evaluate`.
    workdir: folder for evaluation.json and translations; None for no files.
    progress: whether to show a bar, on a terminal or in a notebook.
    plugins: of a folder or file, as those of `load`.
    trust_plugins: of a folder or file, as that of `load`.
    **settings: as those of `TrainedModel.evaluate`; of a folder or file, also the classes
      and functions that `load` takes.

  Raises:
    UserError: there is no run or checkpoint, or it cannot be evaluated with the settings.
  """
  given: dict[str, Any] = {
    "split": split,
    "stride": stride,
    "workdir": workdir,
    "progress": progress,
  }
  if isinstance(run, TrainedModel):
    refuse_of_model(checkpoint, plugins, trust_plugins)
    return run.evaluate(**given, **settings)
  classes = classes_among(by_key(settings, {}))
  model = loaded(
    *(run, checkpoint, 1, plugins, trust_plugins),
    lambda config: missing(config, classes),
  )
  own = [word for word in settings if key_of(word) in model.classes]
  others = {word: value for word, value in settings.items() if word not in own}
  return model.evaluate(**given, **others)
