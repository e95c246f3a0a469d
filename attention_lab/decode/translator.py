"""Translates sources by beam search, in batches of a few shapes."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from attention_lab.dataset.base.bucketed import bucket_lengths
from attention_lab.dataset.base.pairs import as_pairs, sentences_of
from attention_lab.decode.beam_search import make_beam_search
from attention_lab.decode.bleu import refuse_missing, translation_scores
from attention_lab.errors import UserError
from attention_lab.experiment import Experiment
from attention_lab.system.files import write_file
from attention_lab.system.regular import kept_if_possible

ROWS = 32  # Sources per batch.
BUCKETS = 8  # Number of lengths that sources are padded to.
# A translation is one line, whatever bytes a model writes.
ONE_LINE = str.maketrans("\r\n", "  ")


class Translator:
  """Translates sources with an experiment's model.

  Args:
    experiment: a model that learns pairs, and its vocabulary.
    prompt: the source to translate if no others are given.
    length: largest number of tokens of a translation.
    count: number of best translations to return.
    beam_size: number of hypotheses.
    length_penalty: α of arXiv:1609.08144, eq. 14.
  """

  def __init__(
    self,
    experiment: Experiment,
    prompt: str,
    length: int = 300,
    count: int = 1,
    beam_size: int = 4,
    length_penalty: float = 0.6,
  ):
    self._experiment = experiment
    self._length, self._count = length, count
    self._beam_size, self._length_penalty = beam_size, length_penalty
    self._searches: dict[int, Callable[..., Any]] = {}
    dataset = as_pairs(experiment.dataset)
    self._dataset = dataset
    self.prompt = prompt
    self._tokens(self.prompt, 1)  # Refuses an invalid prompt.

  def __call__(self, params: Any) -> list[str]:
    """Return the best translations of the prompt; `params` are on the host."""
    return self.answers(params, [self.prompt])[0]

  def answers(
    self,
    params: Any,
    texts: Sequence[str],
    on_progress: Callable[[int], None] = lambda done: None,
  ) -> list[list[str]]:
    """Return the best translations of each text, the best first.

    Args:
      params: parameters, on the host.
      texts: the sources.
      on_progress: called with the number of texts translated by each batch.

    Raises:
      UserError: a source has unknown characters, or exceeds the model's positions.
    """
    params = self._experiment.policy.cast_to_compute(params)
    sources = [self._tokens(text, i + 1) for i, text in enumerate(texts)]
    found: list[list[str]] = [[] for _ in texts]
    by_length = sorted(range(len(texts)), key=lambda i: len(sources[i]))
    for length, numbers in self._batches(by_length, sources):
      rows = np.full((ROWS, length), -1, np.int32)
      for row, number in enumerate(numbers):
        rows[row, : len(sources[number])] = sources[number]
      answers = np.asarray(self._search(length)(params, rows).tokens)
      for row, number in enumerate(numbers):
        found[number] = [self._text(tokens) for tokens in answers[row]]
      on_progress(len(numbers))
    return found

  def _batches(self, order: list[int], sources: list[np.ndarray]) -> Any:
    """(length, numbers of at most ROWS sources of up to this length), short ones first."""
    longest = self._experiment.dataset.sequence_length
    lengths = bucket_lengths(longest, BUCKETS) if longest > 1 else (longest,)
    by_bucket: dict[int, list[int]] = {}
    for number in order:
      size = max(1, len(sources[number]))
      fitting = next((n for n in lengths if n >= size), -(-size // longest) * longest)
      by_bucket.setdefault(fitting, []).append(number)
    for length, numbers in by_bucket.items():
      for first in range(0, len(numbers), ROWS):
        yield length, numbers[first : first + ROWS]

  def _search(self, length: int) -> Callable[..., Any]:
    """Return the compiled search for sources of a length."""
    if length not in self._searches:
      dataset = self._dataset
      room = dataset.answer_length
      if dataset.end_token is not None:  # Limits translations that repeat themselves.
        room = min(max(room, length), 2 * length + 10)
      room = min(room, self._length)
      if self._experiment.max_positions is not None:
        room = min(room, self._experiment.max_positions)
      self._searches[length] = make_beam_search(
        self._experiment.model,
        room,
        self._beam_size,
        dataset.start_token,
        dataset.end_token,
        self._length_penalty,
        self._count,
        self._experiment.policy.compute_dtype,
      )
    return self._searches[length]

  def _tokens(self, text: str, line: int) -> np.ndarray:
    """Return the tokens of a source; raise `UserError` if there are too many."""
    tokens = self._dataset.source_tokens(text)
    room = self._experiment.max_positions
    if room is not None and len(tokens) > room:
      raise UserError(
        f"Line {line} has {len(tokens)} tokens, more than the {room} positions that "
        f"this model has learned. Shorten it."
      )
    return tokens

  def _text(self, tokens: np.ndarray) -> str:
    """Return an answer as text, up to its end token."""
    dataset = self._dataset
    over = (tokens < 0) | (tokens == dataset.end_token)
    end = int(np.argmax(over)) if over.any() else len(tokens)
    return dataset.vocabulary.decode(tokens[:end]).translate(ONE_LINE)


def score_answers(
  translator: Translator,
  params: Any,
  pairs: tuple[Sequence[str], Sequence[str]],
  file: Path | None,
  on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, dict[str, Any]]:
  """Return scores of the best translations: score → its value and signature.

  Args:
    translator: translates the sources.
    params: parameters, on the host.
    pairs: sources and references.
    file: file to write the translations to, one per line; None for no file.
    on_progress: called with the numbers of texts translated, and of all.
  """
  sources, references = pairs
  done = 0

  def translated(count: int) -> None:
    nonlocal done
    done += count
    on_progress(done, len(sources))

  best = [several[0] for several in translator.answers(params, sources, translated)]
  scores = translation_scores(best, references)
  if file is not None:
    with kept_if_possible(file):
      write_file(file, ("\n".join(best) + "\n").encode())
  return {key: score._asdict() for key, score in scores.items()}


def refuse_unscored(experiment: Experiment) -> None:
  """Raise `UserError` if the dataset has no sentences, or sacrebleu is missing."""
  if sentences_of(experiment.dataset, "validation") is None:
    raise UserError(
      "--config.evaluation.scores: this dataset has no sentences whose "
      "translations could be scored. Omit it, or use --dataset=parallel_text."
    )
  refuse_missing()
