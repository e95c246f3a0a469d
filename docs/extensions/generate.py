"""Pages, tables and pictures that are made of the code when the site is built."""

import shutil
from typing import Any

from attention_lab.block.base import options as model_options
from attention_lab.catalogue import costs, page
from attention_lab.config import get_config
from attention_lab.plugin import discovery
from extensions import api, pictures, repository, results

COMPONENTS = repository.GENERATED / "components"


def generate(app: Any) -> None:
  """Write everything below docs/_generated, before Sphinx looks for pages."""
  del app
  shutil.rmtree(repository.GENERATED, ignore_errors=True)
  discovery.load()
  sources = page.Sources(
    model=model_options.from_config(get_config().model.to_dict()),
    measurements=costs.read(),
    results=results.by_component(),
    pictures=pictures.draw(COMPONENTS.parent / "pictures"),
  )
  for name, text in page.pages(sources):
    repository.write(COMPONENTS / name, text)
  for name, text in api.pages():
    repository.write(repository.GENERATED / "api" / name, text)
  repository.copy_pages()
  repository.make_linked_pages()


def setup(app: Any) -> dict[str, bool]:
  app.connect("builder-inited", generate, priority=100)
  return {"parallel_read_safe": True}
