"""Extensions of the documentation: links between pages, results, pages of the API."""

import importlib
import re

import pytest

import attention_lab
from tests.commands import ROOT

DOCS = ROOT / "docs"


@pytest.fixture
def extension(monkeypatch):
  """Return a function from the name of an extension to its module."""
  monkeypatch.syspath_prepend(str(DOCS))
  return lambda name: importlib.import_module(f"extensions.{name}")


def test_links_without_a_target_are_found(extension, tmp_path):
  (tmp_path / "b.html").write_text('<p id="here">')
  (tmp_path / "a.html").write_text(
    '<a href="b.html#here"><a href="b.html#there"><a href="c.html"><img src="d.svg">'
    '<a href="#no"><a href="https://example.org/x">'
  )
  assert extension("check_links").broken(tmp_path) == [
    "a.html: #no",
    "a.html: b.html#there",
    "a.html: c.html",
    "a.html: d.svg",
  ]


def test_links_into_the_repository_lead_to_pages(extension, monkeypatch, tmp_path):
  repository = extension("repository")
  monkeypatch.setattr(repository, "GENERATED", DOCS / "_generated")
  written = {}
  monkeypatch.setattr(repository, "write", written.__setitem__)
  page = DOCS / "guides" / "first_run.md"
  text = (
    "[a](../../README.md#check-it) [b](checking.md#a-leak) [c](../../setup.py) "
    "[d](https://example.org) [e](../README.md) "
    "![f](../../experiments/compare_selective.png)"
    "\n```bash\n[g](../../README.md)\n```"
  )
  assert repository.with_links(text, page, page) == (
    "[a](../_generated/repository/README.md#check-it) [b](checking.md#a-leak) "
    "[c](../_generated/source/setup.py.md) [d](https://example.org) [e](../index.md) "
    "![f](../../experiments/compare_selective.png)\n```bash\n[g](../../README.md)\n```"
  )
  shown = written[DOCS / "_generated" / "source" / "setup.py.md"]
  assert "# setup.py" in shown
  assert '"""Packaging' in shown


def test_markup_in_docstrings_is_escaped(extension):
  lines = ["A `k_` and k_ of |x|, *args.", "Equation:", "  y = x"]
  extension("docstrings").escape(None, "class", "A", None, None, lines)
  assert lines == [r"A `k_` and k\_ of \|x\|, \*args.", "Equation::", "  y = x"]


def test_every_public_name_has_a_page(extension):
  pages = dict(extension("api").pages())
  documented = "\n".join(pages.values())
  for name in attention_lab.__all__:
    own = f"{name}|api.{name}.{name}|api.{name}.\\w+.Attention"
    found = re.search(rf"auto(class|function):: attention_lab\.({own})\n", documented)
    assert found, name
    assert f"[`{name}`](" in pages["index.md"]
  assert len({stem.lower() for stem in pages}) == len(attention_lab.__all__) + 1


def test_results_are_read_from_the_measurements(extension):
  found = extension("results").by_component()
  recall = found["attention/delta_net"]
  assert "| delta_net | 1.000 | 1.000 |" in recall
  assert "| delta_net(convolution=0) | 0.369 | 0.372 |" in recall
  assert "gated" not in recall
  assert "0.958" in found["position/alibi"]
