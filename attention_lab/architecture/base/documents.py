"""Whether a model keeps the documents of a sequence apart, and by which token."""

import itertools
from collections.abc import Mapping
from typing import Any

from attention_lab.architecture.base.architecture import Architecture, architectures
from attention_lab.attention.base.attention import attentions
from attention_lab.dataset.base.dataset import Dataset
from attention_lab.errors import UserError
from attention_lab.plugin.spec import Spec
from attention_lab.tokenizer.base.vocabulary import separator_of

WANTED = "--config.data.document_mask=true"


def separator_for(
  wanted: bool,
  architecture: type[Architecture],
  patterns: Mapping[str, tuple[Spec, ...]],
  dataset: Dataset,
) -> int | None:
  """Return the token by which a model keeps documents apart; None if it need not.

  Args:
    wanted: the setting `data.document_mask`.
    architecture: the architecture.
    patterns: the attention of each layer, by the architecture's places.
    dataset: the dataset.

  Raises:
    UserError: the architecture, an attention or the dataset cannot keep documents apart.
  """
  if not wanted:
    return None
  if not architecture.separates_documents:
    others = [name for name in architectures if _separates(architectures[name])]
    raise UserError(
      f"{WANTED}: this architecture does not keep documents apart. Use one of: "
      f"{', '.join(others)}."
    )
  kinds = set(architecture.places.values())
  for spec in itertools.chain.from_iterable(patterns.values()):
    if not _separates(attentions[spec.name]):
      others = [
        name
        for name in attentions
        if _separates(attentions[name]) and kinds <= set(attentions[name].kinds)  # type: ignore[attr-defined]
      ]
      raise UserError(
        f"{WANTED}: the attention {spec.name!r} does not keep documents apart. Use one of: "
        f"{', '.join(others)}."
      )
  separator = separator_of(dataset.vocabulary)
  if separator is None:
    raise UserError(
      f"{WANTED} needs a token in front of each document, and this dataset names none. "
      f"For token files: --dataset=\"tokens(train='…', validation='…', separator=50256)\"."
    )
  return separator


def _separates(component: Any) -> bool:
  """Return whether a registered class keeps documents apart."""
  return bool(component.separates_documents)
