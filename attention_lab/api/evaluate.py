"""Evaluation of trained runs: `attention_lab.evaluate`."""

from pathlib import Path
from typing import Any

from attention_lab.api.load import load
from attention_lab.api.model import TrainedModel
from attention_lab.api.results.evaluation import Evaluation


def evaluate(
  run: str | Path | TrainedModel,
  checkpoint: str | int = "last",
  *,
  workdir: str | Path | None = None,
  progress: bool = True,
  **settings: Any,
) -> Evaluation:
  """Measure the metrics of a trained run on every split, and print nothing.

  Args:
    run: the folder of a run, or a model from `load` or `train`: a run with plugins or
      classes is loaded first.
    checkpoint: of a folder, "last", "best", or a step.
    workdir: folder for evaluation.json and translations; None for no files.
    progress: whether to show a bar, on a terminal or in a notebook.
    **settings: as those of `TrainedModel.evaluate`.

  Raises:
    UserError: there is no run or checkpoint, or it cannot be evaluated with the settings.
  """
  model = run if isinstance(run, TrainedModel) else load(run, checkpoint)
  return model.evaluate(workdir=workdir, progress=progress, **settings)
