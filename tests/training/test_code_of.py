"""The code of a run is what its numbers depend on, and no more."""

import pytest

from attention_lab.plugin import discovery
from attention_lab.system.code_hash import changes
from attention_lab.training.preflight import code_of
from tests.parts import tiny_config


def edit(path):
  path.write_text(path.read_text() + "\n# edited\n")


@pytest.mark.parametrize("file", ["mine.py", "scale_of_mine.py"])
def test_an_edited_plugin_touches_the_runs_that_use_it(mine, file):
  discovery.load([str(mine)])
  configs = [tiny_config(attention=name) for name in ("mine", "standard")]
  before = [code_of(config) for config in configs]
  edit(mine.parent / file)
  after = [code_of(config) for config in configs]
  found = [changes(*pair) for pair in zip(before, after, strict=True)]
  assert found == [[file], []]


def test_shared_code_belongs_to_every_run(mine):
  discovery.load([str(mine)])
  shared = {
    f"attention_lab/{file}.py" for file in ("update", "kernel/mask", "nn/linear")
  }
  shared |= {"attention_lab/attention/base/attention.py", "version of jax"}
  for name in ("mine", "standard", "linear"):
    assert shared <= set(code_of(tiny_config(attention=name)))


def test_other_components_and_presentation_do_not_count():
  code = code_of(tiny_config(attention="standard", position="rope"))
  assert {"attention_lab/attention/standard.py", "attention_lab/position/rope.py"} <= (
    set(code)
  )
  for other in ("attention/linear", "position/alibi", "training/progress", "mode/list"):
    assert f"attention_lab/{other}.py" not in code
  assert not any(name.startswith("attention_lab/compare") for name in code)


def test_a_component_that_an_option_names_counts():
  code = code_of(tiny_config(position="randomized(of='alibi')"))
  assert "attention_lab/position/alibi.py" in code


def test_places_of_an_architecture_count():
  config = tiny_config(
    architecture__name="encoder_decoder", architecture__encoder__attention="linear"
  )
  assert "attention_lab/attention/linear.py" in code_of(config)


def test_a_library_that_only_a_component_imports_counts_by_its_version(mine):
  mine.write_text("import pytest\n" + mine.read_text())
  discovery.load([str(mine)])
  assert (
    code_of(tiny_config(attention="mine"))["version of pytest"] == pytest.__version__
  )
  assert "version of pytest" not in code_of(tiny_config())
