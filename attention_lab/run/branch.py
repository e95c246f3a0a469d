"""A new run that starts from the parameters of another run."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax

from attention_lab.errors import UserError
from attention_lab.run import folder as run_folder
from attention_lab.run.checkpoint import Checkpoints, Restored
from attention_lab.tokenizer.base.vocabulary import Vocabulary, difference
from attention_lab.update import TrainState


def stored_config(folder: str) -> dict[str, Any]:
  """Return the configuration of the run to start from, without how it started itself.

  Raises:
    UserError: the folder holds no run.
  """
  stored = run_folder.stored_config(Path(folder))
  if stored is None:
    raise UserError(f"--from={folder}: there is no run in this folder.")
  stored.get("train", {}).pop("from_optimizer", None)
  return stored


def read(folder: str, like: TrainState, which: str, optimizer: str) -> Restored:
  """Return the checkpoint of a run to start from.

  Args:
    folder: the run's folder.
    like: shapes and dtypes of the new run's state.
    which: "newest" or "best".
    optimizer: "kept" to read the state of the optimizer as well, or "fresh".

  Raises:
    UserError: there is no readable checkpoint, or its parameters have other names or
      shapes.
  """
  checkpoints = Checkpoints(Path(folder) / run_folder.CHECKPOINTS, 1)
  if optimizer == "fresh":
    like, only = like._replace(opt_state=()), ".params"
  else:
    only = ""
  try:
    found = checkpoints.restore(like, which, only)
  except UserError as error:
    raise UserError(f"--from={folder}: {error}") from None
  if found is None:
    raise UserError(f"--from={folder}: it holds no checkpoint yet; train it first.")
  return found


def start(source: Restored, fresh: TrainState) -> TrainState:
  """Return the state before the first step of a run that starts from another one.

  A state of the optimizer that was read is kept, but the schedule begins anew.

  Args:
    source: from `read`.
    fresh: the state that the new run would start from alone.
  """
  state = fresh._replace(params=source.tree.params)
  if not source.tree.opt_state:
    return state
  return state._replace(opt_state=_with_new_schedule(source.tree.opt_state))


def _with_new_schedule(opt_state: Any) -> Any:
  """Return the state of an optimizer with the count of its schedule set to 0."""

  def counts(node: Any) -> bool:
    return isinstance(node, optax.ScaleByScheduleState)

  def reset(node: Any) -> Any:
    return node._replace(count=np.zeros_like(node.count)) if counts(node) else node

  return jax.tree.map(reset, opt_state, is_leaf=counts)


def provenance(folder: str, source: Restored) -> dict[str, Any]:
  """Return where a run's first parameters are from, for config.json."""
  return {
    "folder": str(Path(folder).absolute()),
    "step": int(source.tree.step),
    "checkpoint": source.path.name,
    "sha256": source.sha256,
  }


def refuse_other_vocabulary(why: str, there: Vocabulary, new: Vocabulary) -> None:
  """Raise `UserError` unless two vocabularies are equal.

  Args:
    why: the beginning of the message: what requires that they are equal.
    there: the vocabulary that the parameters were trained with.
    new: the vocabulary to use them with.
  """
  found = difference(there, new)
  if found is None:
    return
  token, text, other = found
  raise UserError(
    f"{why} with {there.size} tokens, and the dataset has {new.size}; the first that "
    f"differs is token {token}: {text} there, {other} here. Name a dataset with the "
    f"same vocabulary."
  )
