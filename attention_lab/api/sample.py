"""Texts by trained runs: `attention_lab.sample`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

from attention_lab.api.load import load
from attention_lab.api.model import DecodeOptions, TrainedModel
from attention_lab.api.results.samples import Samples


def sample(
  run: str | Path | TrainedModel,
  prompt: str | Sequence[str] | None = None,
  checkpoint: str | int = "last",
  **options: Unpack[DecodeOptions],
) -> Samples:
  """Continue prompts, or translate sources, with a trained run, and print nothing.

  Args:
    run: the folder of a run, or a model from `load` or `train`: a run with plugins or
      classes is loaded first.
    prompt: a text, or several; None for the dataset's own.
    checkpoint: of a folder, "last", "best", or a step.
    **options: see `DecodeOptions`, for example length=100 and temperature=0.

  Raises:
    UserError: there is no run or checkpoint, an unknown character or option, or a model
      that generates no text.
  """
  model = run if isinstance(run, TrainedModel) else load(run, checkpoint)
  return model.generate(prompt, **options)
