"""Classes and functions that nothing registers stand for every kind of component."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import optax
import pytest

import attention_lab as al
from attention_lab.block.sequential import Sequential
from attention_lab.dataset.copy import Copy
from attention_lab.errors import UserError
from attention_lab.plugin.registry import REGISTRIES as ALL
from attention_lab.plugin.registry import by_setting
from attention_lab.tokenizer.base.tokenizer import tokenizers
from tests.api.cells import MINE, RUN, define

CELL = """
class MyBlock(Sequential):
  pass

class Scaled(al.Norm):
  def __call__(self, x):
    return x * jax.lax.rsqrt(jax.numpy.mean(x * x, axis=-1, keepdims=True) + 1e-6)

def half(learning_rate):
  return optax.sgd(lambda step: learning_rate(step) / 2)

def flat(peak):
  return lambda step: peak
"""
NAMES = {"al": al, "jax": jax, "optax": optax, "Sequential": Sequential}
WORDS = {
  "attention": "MyAttention",
  "model__block": "MyBlock",
  "model__norm_layer": "Scaled",
  "train__optimizer": "half",
  "train__schedule": "flat",
}


@pytest.fixture(scope="module")
def components():
  own = define(MINE, SCALE=1.0)
  found = {
    word: define(CELL, name, file=f"<{name}>", **NAMES)
    for word, name in WORDS.items()
    if word != "attention"
  }
  return found | {"attention": own}


@pytest.fixture(scope="module")
def folder(components, tmp_path_factory):
  """Return a run of components that a cell defines."""
  folder = tmp_path_factory.mktemp("components")
  al.train(workdir=folder, progress=False, **RUN | {"steps": 2} | components)
  return folder


def test_every_registry_takes_classes_or_functions():
  named = [*by_setting().values(), tokenizers]  # An option of datasets names these.
  assert {id(each) for each in named} == {id(each) for each in ALL}


def test_a_run_of_classes_and_functions_is_used_with_them(components, folder):
  settings = json.loads((folder / "config.json").read_text())["config"]
  assert settings["model"]["block"] == "my_block"
  assert settings["train"]["schedule"] == "flat"
  model = al.load(folder, **components)
  tokens = np.array([0, 1, 8])
  assert np.isfinite(model.logits(tokens)).all()  # Layers are looked up while tracing.
  (first, _) = model.attention_weights("ab|")
  assert first.queries == ("a", "b", "|")
  samples = al.sample(folder, "ab|", length=2, seed=1, **components)
  assert samples == model.generate("ab|", length=2, seed=1)
  found = al.evaluate(folder, progress=False, **components)
  assert found.validation.loss == pytest.approx(model.evaluate().validation.loss)


def test_an_evaluation_may_have_another_class(components, folder):
  @dataclasses.dataclass(kw_only=True)
  class Short(Copy):
    sequence_length: int = 4
    validation_examples: int = 8

  found = al.evaluate(folder, progress=False, dataset=Short, **components)
  assert found.record["changed"]["dataset"]["evaluated"] == "short"
  model = al.load(folder, **components)
  with pytest.raises(UserError, match="attention cannot be changed for an evaluation"):
    al.evaluate(model, attention=components["attention"])


def test_plugins_of_a_folder_are_named_or_trusted(components, folder, tmp_path, capsys):
  run, plugin = tmp_path / "run", tmp_path / "mine.py"
  shutil.copytree(folder, run)
  plugin.write_text("import attention_lab\n")
  content = json.loads((run / "config.json").read_text())
  content["config"]["plugins"] = [str(plugin)]
  (run / "config.json").write_text(json.dumps(content))
  for function in (al.evaluate, al.sample):
    with pytest.raises(UserError, match=r"plugins=\['.*mine\.py'\], or trust_plugins"):
      function(run, **components)
  assert al.evaluate(run, plugins=[str(plugin)], **components).validation
  assert al.sample(run, "a|", length=1, trust_plugins=True, **components).text
  assert "mine.py registers nothing" in capsys.readouterr().err


@pytest.mark.parametrize(
  ("settings", "message"),
  [
    ({"train__optimizer": dict}, "dict: it must be a function"),
    ({"model__block": define}, "must be a subclass of Block"),
    ({"model__norm_layer": al.Block}, "it must be a subclass of Norm"),
    ({"train__schedule": lambda rate: rate}, "must take peak"),
    ({"kernel": define}, "kernel takes no function, and define is one"),
  ],
)
def test_what_is_no_component_is_refused(settings, message):
  with pytest.raises(UserError) as error:
    al.train(**settings)
  assert message in str(error.value)
  assert "\n" not in str(error.value)


def test_a_model_in_memory_takes_no_arguments_of_load(trained):
  model = trained.result.model
  for function in (al.evaluate, al.sample):
    with pytest.raises(UserError, match="are for a folder or a file; omit them"):
      function(model, trust_plugins=True)
  with pytest.raises(UserError, match="load takes a class or a function here"):
    al.load("runs/x", attention="standard")
  with pytest.raises(UserError, match="There is no setting 'atention'"):
    al.load("runs/x", atention=dict)
