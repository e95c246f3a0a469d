"""A trained model for lm-evaluation-harness: `attention_lab.harness`."""

from pathlib import Path
from typing import TYPE_CHECKING

from attention_lab.api.load import load
from attention_lab.api.model import TrainedModel
from attention_lab.errors import not_installed

if TYPE_CHECKING:
  from attention_lab.api.harness_model import HarnessModel


def harness(
  run: str | Path | TrainedModel,
  *,
  prefix: str | None = None,
  max_length: int | None = None,
  batch_size: int = 16,
  seed: int = 0,
) -> "HarnessModel":
  """Return a model that lm-evaluation-harness (arXiv:2405.14782) scores.

      lm_eval.simple_evaluate(model=attention_lab.harness("runs/first"), tasks=[...])

  Args:
    run: the folder of a run, a file that `TrainedModel.save` has written, or a model from
      `load` or `train`.
    prefix: text before a document, whose first token is predicted from it; None for a
      line break, or a space if the vocabulary has no line break.
    max_length: most tokens that are read at once; None for those of a training example.
    batch_size: number of texts that are scored at once.
    seed: seed of sampling; the n-th request, from 0, takes `seed` + n.

  Raises:
    UserError: lm_eval is not installed, there is no such run, it does not continue text,
      or a value is wrong.
  """
  try:
    from attention_lab.api.harness_model import HarnessModel
  except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "lm_eval":
      raise
    raise not_installed("attention_lab.harness", "harness", "lm_eval") from None
  model = run if isinstance(run, TrainedModel) else load(run)
  return HarnessModel(model, prefix, max_length, batch_size, seed)
