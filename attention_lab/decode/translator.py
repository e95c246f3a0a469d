"""Answers sources by beam search, many at a time, in programs of a few shapes."""

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

ROWS = 32  # Sources that are answered side by side.
BUCKETS = 8  # Lengths that sources are padded to, up to the training length.


class Translator:
  """Answers sources with an experiment's model.

  Args:
    experiment: a model that learns pairs, and its vocabulary.
    prompt: the default source; None for the dataset's own.
    length: largest number of tokens of a translation.
    count: number of best translations to return.
    beam_size: number of hypotheses.
    length_penalty: α of arXiv:1609.08144, eq. 14.
  """

  def __init__(
    self,
    experiment: Experiment,
    prompt: str | None = None,
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
    self.prompt = dataset.prompt() if prompt is None else prompt
    self._tokens(self.prompt, 1)  # Refuses an invalid prompt.

  def __call__(self, params: Any) -> list[str]:
    """The best answers to the prompt; `params` as they are trained, on the host."""
    return self.answers(params, [self.prompt])[0]

  def answers(
    self,
    params: Any,
    texts: Sequence[str],
    told: Callable[[int], None] = lambda done: None,
  ) -> list[list[str]]:
    """For each text its `sample.count` best answers, the best first.

    Args:
      params: parameters as they are trained, on the host.
      texts: the sources.
      told: is called with the number of texts that have been answered.

    Raises:
      UserError: a source with unknown characters, or longer than the model knows.
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
      told(len(numbers))
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
    """The compiled search for sources of a length."""
    if length not in self._searches:
      dataset = self._dataset
      room = dataset.answer_length
      if dataset.end_token is not None:  # What repeats itself is cut before long.
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
    """A source; raises UserError if the model has not enough positions for it."""
    tokens = self._dataset.source_tokens(text)
    room = self._experiment.max_positions
    if room is not None and len(tokens) > room:
      raise UserError(
        f"Line {line} has {len(tokens)} tokens, more than the {room} positions that "
        f"this model has learnt. Shorten it."
      )
    return tokens

  def _text(self, tokens: np.ndarray) -> str:
    """An answer up to its end."""
    dataset = self._dataset
    over = (tokens < 0) | (tokens == dataset.end_token)
    end = int(np.argmax(over)) if over.any() else len(tokens)
    return dataset.vocabulary.decode(tokens[:end])


def score_answers(
  translator: Translator,
  params: Any,
  pairs: tuple[Sequence[str], Sequence[str]],
  file: Path,
) -> dict[str, dict[str, Any]]:
  """What the best answers to sources are worth: score → its value and its signature.

  Args:
    translator: answers.
    params: as they are trained, on the host.
    pairs: sources, and what each should be answered with.
    file: the answers are written here, one a line.
  """
  sources, references = pairs
  best = [several[0] for several in translator.answers(params, sources)]
  scores = translation_scores(best, references)
  file.write_text("\n".join(best) + "\n", "utf-8")
  return {key: score._asdict() for key, score in scores.items()}


def refuse_unscored(experiment: Experiment) -> None:
  """Raises UserError unless there are answers to score, and what scores them."""
  if sentences_of(experiment.dataset, "validation") is None:
    raise UserError(
      "--config.evaluation.scores: this dataset has no sentences whose answers could be "
      "scored. Leave it out, or take --dataset=parallel_text."
    )
  refuse_missing()
