"""The Python language reference that ships inside CPython, as text: needs no download."""

import dataclasses
import pydoc_data.topics

from attention_lab.dataset.base.dataset import register_dataset
from attention_lab.dataset.base.text import Text


@register_dataset("python_docs")
@dataclasses.dataclass(kw_only=True)
class PythonDocs(Text):
  """The topics of `help()` in the order of their names, every paragraph once.

  Topics quote each other at length. A paragraph that stands in the training part and
  again in the validation part would be a leak, so only its first copy is kept. The text
  differs between Python versions; its sha256 is recorded in the run.
  """

  def load(self) -> str:
    topics = pydoc_data.topics.topics
    paragraphs: dict[str, str] = {}
    for name in sorted(topics):
      for paragraph in topics[name].split("\n\n"):
        paragraphs.setdefault(" ".join(paragraph.split()), paragraph.strip("\n"))
    return "\n\n".join(text for words, text in paragraphs.items() if words) + "\n"
