"""The three methods that lm-evaluation-harness calls, over a trained model."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from lm_eval.api.model import LM

from attention_lab.api.masking import refuse_size
from attention_lab.api.model import TrainedModel
from attention_lab.errors import UserError, nearest

# Tokens to generate if a task gives no number, as for the harness's own models.
LENGTH = 256
# Names that tasks use for the most tokens to generate; the first that is given counts.
LENGTHS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
SAMPLING = ("temperature", "top_k", "top_p")
KNOWN = ("until", "do_sample", *LENGTHS, *SAMPLING)
PREFIXES = ("\n", " ")


class Window(NamedTuple):
  """Tokens that are read at once, the last of which predict targets."""

  text: int  # Index of the text that it is from.
  inputs: np.ndarray  # [T] int32
  targets: np.ndarray  # [at most T] int32


class HarnessModel(LM):
  """Scores and continues texts for lm-evaluation-harness.

  A text longer than `max_length` is scored in windows, each token once: a window follows
  the one before it with one token of context, and the last is filled up with context.
  Texts are encoded one by one; those with unknown characters raise `UserError`.

  Attributes:
    model: the trained model.
    max_length: most tokens that are read at once.
  """

  def __init__(
    self,
    model: TrainedModel,
    prefix: str | None,
    max_length: int | None,
    batch_size: int,
    seed: int,
  ):
    super().__init__()
    dataset = model.experiment.dataset
    if dataset.task == "pairs" or not model.experiment.decodes:
      raise UserError("This model does not continue text, which the harness needs.")
    if prefix_length := dataset.prefix_length:
      raise UserError(
        f"This model predicts none of the first {prefix_length} tokens of a text, its "
        f"prefix, but the harness scores texts of any length."
      )
    refuse_size("batch_size", batch_size)
    self.max_length = dataset.sequence_length if max_length is None else max_length
    refuse_size("max_length", self.max_length)
    self.model = model
    self._prefix, self._batch_size, self._seed = prefix, batch_size, seed

  def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
    """Return the log-probability of each continuation, and whether it is the likeliest.

    Args:
      requests: `lm_eval.api.instance.Instance`, whose arguments are a context and its
        continuation.

    Returns:
      The log-probability in nats, and whether greedy decoding gives the continuation.
    """
    texts = []
    for context, continuation in (request.args for request in requests):
      before = self._before(context)
      after = self.model.encode(continuation)
      texts.append((np.concatenate([before, after]), len(before)))
    return self._scores(texts)

  def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[float]:
    """Return the log-probability of each text in nats, from the prefix on.

    Args:
      requests: `lm_eval.api.instance.Instance`, whose argument is a text.
    """
    before = self._before("")
    texts = [np.concatenate([before, self.model.encode(*x.args)]) for x in requests]
    scores = self._scores([(text, len(before)) for text in texts])
    return [log_probability for log_probability, _ in scores]

  def generate_until(self, requests: Sequence[Any]) -> list[str]:
    """Return a continuation of each context, up to the first of its stop strings.

    Args:
      requests: `lm_eval.api.instance.Instance`, whose arguments are a context and options:
        until, max_gen_toks, do_sample, temperature, top_k, top_p.

    Raises:
      UserError: there is another option, or a value is wrong.
    """
    found = []
    for number, request in enumerate(requests):
      context, options = request.args
      decoding = _decoding(options) | {"seed": self._seed + number}
      prompt = self.model.decode(self._before(context))
      text = self.model.generate(prompt, **decoding).text
      found.append(_until(text, options.get("until") or ()))
    return found

  def _before(self, context: str) -> np.ndarray:
    """Return the tokens of a context, or those of the prefix if it has none."""
    if len(tokens := self.model.encode(context)):
      return tokens
    for prefix in PREFIXES if self._prefix is None else (self._prefix,):
      with contextlib.suppress(UserError):  # Another vocabulary has no such token.
        if len(tokens := self.model.encode(prefix)):
          return tokens
    raise UserError(
      f"prefix={self._prefix!r}: the vocabulary has no such token to begin a text with. "
      f"Name one that it has: harness(..., prefix=...)."
    )

  def _scores(
    self, texts: Sequence[tuple[np.ndarray, int]]
  ) -> list[tuple[float, bool]]:
    """Return the score of each text: its tokens, and the number of those before it."""
    windows = [
      Window(index, *pair)
      for index, (tokens, known) in enumerate(texts)
      for pair in _windows(tokens, known, self.max_length)
    ]
    windows.sort(key=lambda window: len(window.inputs))
    totals, greedy = np.zeros(len(texts)), np.ones(len(texts), bool)
    for start in range(0, len(windows), self._batch_size):
      batch = windows[start : start + self._batch_size]
      for window, logits in zip(batch, self._logits(batch), strict=True):
        rows = logits[len(window.inputs) - len(window.targets) : len(window.inputs)]
        rows = rows.astype(np.float64)
        chosen = rows[np.arange(len(rows)), window.targets]
        highest = rows.max(axis=-1)
        normaliser = highest + np.log(np.exp(rows - highest[:, None]).sum(axis=-1))
        totals[window.text] += np.sum(chosen - normaliser)
        greedy[window.text] &= bool(np.all(rows.argmax(axis=-1) == window.targets))
    return list(zip(totals.tolist(), greedy.tolist(), strict=True))

  def _logits(self, windows: Sequence[Window]) -> np.ndarray:
    """Return logits [B, T, V] of at most `batch_size` windows, the shortest first.

    They are filled up on the right, which a causal model does not see, to few shapes: each
    shape is compiled.
    """
    longest = len(windows[-1].inputs)
    length = min(self.max_length, 1 << (longest - 1).bit_length())
    tokens = np.zeros((self._batch_size, length), np.int32)
    for row, window in zip(tokens, windows, strict=False):
      row[: len(window.inputs)] = window.inputs
    return np.asarray(self.model.logits(tokens))[: len(windows)]


def _windows(
  tokens: np.ndarray, known: int, length: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
  """Yield inputs and targets that predict each token but the first `known` once.

  Args:
    tokens: the tokens of a text [T].
    known: number of tokens that are not predicted, 1 or more.
    length: most inputs.
  """
  while known < len(tokens):
    end = min(known + length, len(tokens))
    yield tokens[max(0, end - 1 - length) : end - 1], tokens[known:end]
    known = end


def _decoding(options: Mapping[str, Any]) -> dict[str, Any]:
  """Return options of a task as those of `generate`."""
  for name in options:
    if name not in KNOWN:
      raise UserError(
        f"There is no option {name!r} of generation. {nearest(name, KNOWN)}"
      )
  given = {name: value for name, value in options.items() if value is not None}
  found = {name: given[name] for name in SAMPLING if name in given}
  # A task that samples and names no temperature means the model's own distribution.
  found.setdefault("temperature", float(given.get("do_sample", False)))
  if given.get("do_sample") is False:
    found["temperature"] = 0.0
  return found | {"length": next((given[x] for x in LENGTHS if x in given), LENGTH)}


def _until(text: str, stops: str | Sequence[str]) -> str:
  """Return a text up to the first of its stop strings."""
  for stop in [stops] if isinstance(stops, str) else stops:
    text = text.partition(stop)[0] if stop else text
  return text
