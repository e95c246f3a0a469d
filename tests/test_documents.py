"""The documents name what exists: files, headings, flags, settings, components."""

import ast
import re
import shlex
from itertools import chain

import numpy as np
import pytest
from absl import flags

import attention_lab
from attention_lab import config as configs
from attention_lab import main
from attention_lab.architecture.base.architecture import architectures
from attention_lab.attention.base.attention import attentions
from attention_lab.dataset.base.dataset import datasets
from attention_lab.experiment import assemble
from attention_lab.plugin import discovery
from attention_lab.position.base.position import positions
from tests.commands import ROOT
from tests.parts import tiny_config

README = ROOT / "README.md"
CONTRIBUTING = ROOT / "docs" / "contributing.md"
NOTES = ROOT / "BUILD_NOTES.md"
MEASUREMENTS = ROOT / "docs" / "measurements"
GUIDE = ROOT / "docs" / "guides" / "writing_an_attention.md"
DOCS = ROOT / "docs"
USING = ROOT / "docs" / "guides" / "using_an_attention.md"
DOCUMENTS = [
  *sorted(ROOT.glob("*.md")),
  *sorted(path for path in DOCS.rglob("*.md") if "_generated" not in path.parts),
  *sorted((ROOT / "experiments").rglob("*.md")),
]
EVERY = pytest.mark.parametrize(
  "path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT))
)
CODE = ("attention_lab", "tests", "experiments")
# Flags of other programs: sbatch, TensorBoard, JoeyNMT, absl.
FOREIGN = {
  "nodes",
  "ntasks-per-node",
  "gpus-per-task",
  "logdir",
  "skip-test",
  "output-path",
  "help",
}
# Stands for any setting.
PLACEHOLDER = "section.key"


def text_of(path):
  return path.read_text("utf-8")


def without_code(text):
  """Return Markdown without its fenced code blocks."""
  return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(text):
  """Return the anchors that GitHub gives to the headings of a Markdown text."""
  headings = re.findall(r"^#+ (.+)$", without_code(text), flags=re.MULTILINE)
  return {
    re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings
  }


def links(text):
  """Return the targets of the links that lead into the repository."""
  targets = re.findall(r"\]\(([^)\s]+)\)", without_code(text))
  return [target for target in targets if not target.startswith("http")]


def broken_links(path):
  """Return the links of a document that lead to no file or to no heading."""
  broken = []
  for target in links(text_of(path)):
    name, _, anchor = target.partition("#")
    file = (path.parent / name).resolve() if name else path
    if not file.exists() or (anchor and anchor not in anchors(text_of(file))):
      broken.append(target)
  return broken


@pytest.mark.parametrize(("path", "limit"), [(README, 200), (NOTES, 250)])
def test_document_is_short(path, limit):
  assert len(text_of(path).splitlines()) < limit


@EVERY
def test_links_lead_to_existing_files_and_headings(path):
  assert broken_links(path) == []


def test_broken_links_are_detected(tmp_path):
  path = tmp_path / "a.md"
  path.write_text("# The title: `x`\n[a](b.md) [b](#the-title-x) [c](#no) [d](a.md)\n")
  assert broken_links(path) == ["b.md", "#no"]


@EVERY
def test_paths_in_the_text_exist(path):
  folders = "attention_lab|tests|experiments|docs"
  named = re.findall(
    rf"(?<![\w./])(?:{folders})/[\w./]*\w\.(?:py|md|png|txt|sbatch)", text_of(path)
  )
  assert [name for name in named if not (ROOT / name).exists()] == []


def test_documents_named_in_the_code_exist():
  sources = chain(*((ROOT / folder).rglob("*.py") for folder in CODE))
  named = chain(*(re.findall(r"docs/[\w/]+\.md", text_of(path)) for path in sources))
  assert [name for name in sorted(set(named)) if not (ROOT / name).exists()] == []


def test_every_page_is_in_the_navigation_of_the_site():
  trees = re.findall(r"```\{toctree\}\n(.*?)```", text_of(DOCS / "index.md"), re.DOTALL)
  listed = {line for tree in trees for line in tree.splitlines()}
  pages = [
    path
    for path in DOCUMENTS
    if path.is_relative_to(DOCS) and path not in (DOCS / "README.md", DOCS / "index.md")
  ]
  tree = text_of(MEASUREMENTS / "README.md")
  for path in pages:
    name = str(path.relative_to(DOCS).with_suffix(""))
    assert name in listed or f"]({path.name})" in tree, name


def test_the_citation_file_has_the_required_keys():
  text = text_of(ROOT / "CITATION.cff")
  keys = set(re.findall(r"^([a-z-]+):", text, flags=re.MULTILINE))
  assert {"cff-version", "message", "title", "authors", "type", "license"} <= keys
  assert f"\nversion: {attention_lab.__version__}\n" in text
  assert "\nauthors:\n  - name: " in text


def flags_of_scripts():
  """Return the flags that the scripts of experiments/ and tests/ declare."""
  folders = ("experiments", "tests")
  sources = chain(*((ROOT / folder).rglob("*.py") for folder in folders))
  literals = (re.findall(r'"--([\w-]+)"', text_of(path)) for path in sources)
  return set(chain(*literals))


def unknown_flags(text):
  """Return the flags in a text that no program declares."""
  found = re.findall(r"(?<![\w#-])--([a-z][\w-]*)(?![\w.-])", text)
  known = set(flags.FLAGS) | flags_of_scripts() | FOREIGN
  return {name for name in found if name not in known and not name.startswith("xla_")}


@EVERY
def test_flags_exist(path):
  assert unknown_flags(text_of(path)) == set()


def test_unknown_flags_are_detected():
  assert main  # It declares the flags.
  text = "`--attention=a --atention=b`, and `--plugn x.py`"
  assert unknown_flags(text) == {"atention", "plugn"}


def unknown_settings(text):
  """Return the settings of the form --config.section.key in a text that do not exist."""
  known = {key for key, _ in configs.flatten(configs.get_config())}
  named = re.findall(r"--config\.([\w.]*\w)", text)
  return set(named) - known - {PLACEHOLDER}


@EVERY
def test_settings_exist(path):
  assert unknown_settings(text_of(path)) == set()


def test_unknown_settings_are_detected():
  text = "--config.model.d_ff=320 --config.model.dff=1 --config.section.key=value"
  assert unknown_settings(text) == {"model.dff"}


@pytest.mark.parametrize(
  "registry",
  [attentions, positions, datasets, architectures],
  ids=lambda registry: registry.kind,
)
def test_every_component_is_in_the_catalogue(registry):
  catalogue = text_of(README).partition("## The catalogue")[2].partition("\n## ")[0]
  named = set(re.findall(r"`(\w+)(?:\([^`]*\))?`", catalogue))
  own = {
    name for name in registry if registry[name].__module__.startswith("attention_lab.")
  }
  assert own <= named


def map_paths(text):
  """Yield the paths of a map: two columns of spaces per level, then a file or folder."""
  above = []
  for line in text.splitlines():
    found = re.match(r"( *)([\w.]+/?)(?: |$)", line)
    assert found, line
    level = len(found[1]) // 2
    above = [*above[:level], found[2]]
    yield "".join(above)


def test_the_map_names_existing_files_and_every_folder():
  section = text_of(CONTRIBUTING).partition("## Map")[2]
  paths = list(map_paths(re.findall(r"```text\n(.*?)\n```", section, re.DOTALL)[0]))
  assert [path for path in paths if not (ROOT / path).exists()] == []
  package = ROOT / "attention_lab"
  folders = {
    f"attention_lab/{init.parent.name}/" for init in package.glob("*/__init__.py")
  }
  assert folders <= set(paths)


def test_reading_order_names_existing_modules():
  section = text_of(CONTRIBUTING).partition("## Map")[2]
  order = re.findall(r"`([\w/]+\.py)`", section.partition("```")[0])
  assert order == ["main.py", "experiment.py", "update.py", "training/loop.py"]
  assert all((ROOT / "attention_lab" / name).exists() for name in order)


def test_the_test_command_is_that_of_continuous_integration():
  command = "-r requirements.txt -e '.[test]' && python -m pytest -n 2"
  assert f"\npip install {command}\n" in text_of(README)
  assert command in text_of(ROOT / ".ci" / "run")


def test_every_document_is_in_the_index_of_its_folder():
  for index in (ROOT / "docs" / "README.md", MEASUREMENTS / "README.md"):
    listed = {(index.parent / link).resolve() for link in links(text_of(index))}
    folders = [index.parent, *index.parent.glob("guides")]
    pages = {page for folder in folders for page in folder.glob("*.md")}
    pages -= {index, DOCS / "index.md"}  # The first page of the site.
    assert pages <= listed, index


@pytest.mark.parametrize(
  "path", sorted(MEASUREMENTS.glob("[!R]*.md")), ids=lambda path: path.stem
)
def test_measurements_name_a_command_and_a_commit(path):
  text = text_of(path)
  assert re.search(r"`[0-9a-f]{7}`", text)
  assert re.search(r"python (-m|experiments/)", text)


@EVERY
def test_python_examples_parse(path):
  for code in re.findall(r"```python\n(.*?)```", text_of(path), flags=re.DOTALL):
    ast.parse(code)


def sections(path):
  """Return the Python of each section of a document that has any, by its heading."""
  parts = re.split(r"^## (.+)$", text_of(path), flags=re.MULTILINE)
  blocks = zip(parts[1::2], parts[2::2], strict=True)
  found = {
    heading: "".join(re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL))
    for heading, text in blocks
  }
  return {heading: code for heading, code in found.items() if code}


@pytest.mark.parametrize(
  "heading", [name for name in sections(USING) if name != "Haiku"]
)
def test_snippets_about_using_an_attention_run(heading):
  """Run a section after the first, whose names it uses."""
  code = sections(USING)[heading]
  for library in re.findall(r"^(?:import|from) (\w+)", code, flags=re.MULTILINE):
    pytest.importorskip(library)
  names = {}
  for source in (sections(USING)["Haiku"], code):
    exec(compile(source, str(USING), "exec"), names)
  assert names["y"].shape in {(2, 10, 64), (2, 64)}


def test_the_readme_uses_an_attention_in_python():
  names = {}
  exec(sections(README)["Use it in Python"], names)
  assert names["y"].shape == names["x"].shape == (2, 16, 64)
  params = names["init"](names["jax"].random.key(1), names["x"])
  np.testing.assert_allclose(names["apply"](params, names["x"]), names["y"], atol=1e-5)


@pytest.fixture
def examples(tmp_path, monkeypatch):
  """Return a folder with the guide's components, registered for one test only."""
  for registry in (attentions, positions):
    monkeypatch.setattr(registry, "_parts", dict(registry._parts))
  for code in re.findall(r"```python\n(.*?)```", text_of(GUIDE), flags=re.DOTALL):
    name = re.findall(r'@attention_lab\.register_\w+\("(\w+)"\)', code)[0]
    (tmp_path / f"{name}.py").write_text(code)
  monkeypatch.chdir(tmp_path)
  return tmp_path


@pytest.mark.parametrize(
  ("attention", "position"),
  [
    ("mean", "sinusoidal"),
    ("windowed(window=3)", "rope"),
    ("moving_average", "none"),
    ("gated_softmax", "rope"),
    ("standard", "logarithmic(slope=0.5)"),
  ],
)
def test_components_of_the_guide_are_accepted(examples, attention, position):
  discovery.load(str(path) for path in examples.glob("*.py"))
  assert assemble(tiny_config(attention=attention, position=position)).decodes


@EVERY
@pytest.mark.usefixtures("examples")
def test_mistakes_are_answered_as_shown(path, command):
  shown = re.findall(
    r"^\$ python -m attention_lab\.main (.*)\n(error: .*)$", text_of(path), re.MULTILINE
  )
  for words, answer in shown:
    assert command(*shlex.split(words)) == (2, "", f"{answer}\n")
    flags.FLAGS.unparse_flags()
