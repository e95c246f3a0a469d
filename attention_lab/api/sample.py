"""Texts by trained runs: `attention_lab.sample`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Unpack

from attention_lab.api.components import Components
from attention_lab.api.load import load, refuse_of_model
from attention_lab.api.model import TrainedModel
from attention_lab.api.options import SampleOptions
from attention_lab.api.process import api_call
from attention_lab.api.results.samples import Samples


@api_call("sample")
def sample(
  run: str | Path | TrainedModel,
  prompt: str | Sequence[str] | None = None,
  checkpoint: str | int = "last",
  *,
  plugins: Sequence[str] = (),
  trust_plugins: bool = False,
  **options: Unpack[SampleOptions],
) -> Samples:
  """Continue prompts, or translate sources, with a trained run, and print nothing.

  Args:
    run: the folder of a run, a file that `TrainedModel.save` has written, or a model from
      `load` or `train`.
    prompt: a text, or several; None for the dataset's own.
    checkpoint: of a folder, "last", "best", or a step.
    plugins: of a folder or file, as those of `load`.
    trust_plugins: of a folder or file, as that of `load`.
    **options: see `DecodeOptions`, for example length=100 and temperature=0; of a folder
      or file, also the classes and functions that `load` takes.

  Raises:
    UserError: there is no run or checkpoint, an unknown character or option, or a model
      that generates no text.
  """
  values: dict[str, Any] = dict(options)
  if isinstance(run, TrainedModel):
    refuse_of_model(checkpoint, plugins, trust_plugins)
    return run.generate(prompt, **values)
  own = {
    word: values.pop(word) for word in Components.__annotations__ if word in values
  }
  model = load(run, checkpoint, plugins=plugins, trust_plugins=trust_plugins, **own)
  return model.generate(prompt, **values)
