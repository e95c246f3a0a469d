"""Texts that a trained model writes: the result of `attention_lab.sample`."""

import dataclasses
import html
from typing import Any

from attention_lab.api.results import show


@dataclasses.dataclass(frozen=True)
class Sample:
  """A prompt with its continuations, or a source with its translations.

  Attributes:
    prompt: the prompt or source.
    texts: what follows the prompt, one text for each continuation; or the translations,
      the best first.
  """

  prompt: str
  texts: tuple[str, ...]


@dataclasses.dataclass(frozen=True, repr=False)
class Samples(show.Printed):
  """Continuations of prompts, or translations of sources; printed, the texts alone.

  Attributes:
    samples: one for each prompt.
    translates: whether the texts are translations.
    note: what should be known about the prompt; "" for nothing.
  """

  samples: tuple[Sample, ...]
  translates: bool
  note: str = ""

  @property
  def text(self) -> str:
    """The first continuation, or the best translation, of the first prompt."""
    return self.samples[0].texts[0]

  def to_pandas(self) -> Any:
    """Return a `pandas.DataFrame` with a line per text: prompt, number, text.

    Raises:
      UserError: pandas is not installed.
    """
    return show.frame(
      [
        {"prompt": each.prompt, "number": number, "text": text}
        for each in self.samples
        for number, text in enumerate(each.texts, 1)
      ]
    )

  def __str__(self) -> str:
    return "\n\n".join(
      text if self.translates else each.prompt + text
      for each in self.samples
      for text in each.texts
    )

  def _repr_html_(self) -> str:
    blocks = []
    for each in self.samples:
      prompt = f"<b>{html.escape(each.prompt)}</b>"
      for text in each.texts:
        between = "<br>" if self.translates else ""
        style = "white-space: pre-wrap"
        blocks.append(f'<p style="{style}">{prompt}{between}{html.escape(text)}</p>')
    return "".join([*blocks, f"<p>{html.escape(self.note)}</p>" * bool(self.note)])
