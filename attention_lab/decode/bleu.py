"""BLEU and chrF of translations, by sacrebleu (Post, arXiv:1804.08771; an extra)."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from attention_lab.errors import UserError, not_installed


class Score(NamedTuple):
  """A figure, and all that must be equal for another one to be comparable."""

  value: float  # 0 to 100; the more the better.
  signature: str  # sacrebleu's: tokeniser, case, smoothing, version.


def translation_scores(
  hypotheses: Sequence[str], references: Sequence[str]
) -> dict[str, Score]:
  """BLEU and chrF2 of a corpus, in sacrebleu's default settings.

  Args:
    hypotheses: detokenised translations.
    references: what each should have been.

  Raises:
    UserError: the lists differ in length or are empty, or sacrebleu is not installed.
  """
  if len(hypotheses) != len(references) or not hypotheses:
    raise UserError(
      f"{len(hypotheses)} translations and {len(references)} references cannot be "
      f"compared. Give one reference for each translation, and at least one."
    )
  metrics = _import()
  found = {}
  for name, metric in [("bleu", metrics.BLEU()), ("chrf", metrics.CHRF())]:
    value = metric.corpus_score(hypotheses, [references]).score
    found[name] = Score(value, str(metric.get_signature()))
  return found


def refuse_missing() -> None:
  """Raise `UserError` if sacrebleu is not installed."""
  _import()


def _import() -> Any:
  try:
    from sacrebleu import metrics
  except ImportError:
    raise not_installed("BLEU or chrF", "translate", "sacrebleu") from None
  return metrics
