"""The attentions of other libraries are standard attention, and optional to have."""

import subprocess
import sys

import haiku as hk
import jax
import numpy as np
import pytest

from attention_lab import compatibility
from attention_lab.errors import UserError
from attention_lab.experiment import assemble
from attention_lab.kernel.mask import Mask
from tests.commands import ROOT
from tests.parts import T, attention_functions, default_positions, inputs, tiny_config

REFERENCES = ("equinox", "haiku")


def layer(module):
  """The last part of a module's name; hk's attention calls its last layer "linear"."""
  return module.split("/")[-1].replace("linear", "output")


@pytest.mark.parametrize(
  ("reference", "standard"),
  [
    ("equinox", "standard"),
    ("haiku", "standard"),
    ("haiku(bias=True)", "standard(bias=True)"),
  ],
)
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("context_length", [T, 4, 9])
def test_it_equals_standard_attention(
  in_float64, reference, standard, causal, context_length
):
  ours, theirs = attention_functions(standard), attention_functions(reference)
  layers = {layer(module): value for module, value in ours.params.items()}
  assert {layer(module) for module in theirs.params} == set(layers)
  params = {module: layers[layer(module)] for module in theirs.params}
  assert jax.tree.map(np.shape, params) == jax.tree.map(np.shape, theirs.params)
  x, context = inputs(), inputs(length=context_length, seed=1)
  context_at = default_positions(length=context_length)
  padded = context_at.at[:, 1:3].set(-1).at[0, 0].set(-1)
  for at in (context_at, padded):
    mask = Mask(default_positions(), at, causal)
    # Who sees nobody may be given anything.
    seen = np.asarray(mask.dense().any(axis=-1)[:, 0])
    assert seen.mean() > 0.5
    np.testing.assert_allclose(
      theirs.apply(params, None, x, context, mask)[seen],
      ours.apply(ours.params, None, x, context, mask)[seen],
      rtol=1e-12,
      atol=1e-12,
    )


@pytest.mark.parametrize(("position", "hook"), [("rope", "rotate"), ("alibi", "bias")])
@pytest.mark.parametrize("reference", REFERENCES)
def test_schemes_that_find_no_way_in_are_refused(reference, position, hook):
  message = (
    f"--position={position} acts by {hook}, which the attention '{reference}' does "
    f"not use. Use one of: learned, none, sinusoidal."
  )
  with pytest.raises(UserError) as error:
    assemble(tiny_config(attention=reference, position=position))
  assert str(error.value) == message


def test_without_equinox_the_remedy_is_named(monkeypatch):
  monkeypatch.setattr(compatibility, "_ACCEPTED", set())  # As in a new process.
  monkeypatch.setitem(sys.modules, "equinox", None)  # Its import fails.
  with pytest.raises(UserError, match="'equinox' needs .*pip install equinox") as error:
    assemble(tiny_config(attention="equinox", position="none"))
  assert "\n" not in str(error.value)


def test_equinox_is_imported_only_where_it_is_used():
  code = """
import sys
import attention_lab
from attention_lab.plugin import discovery
from attention_lab.attention.base import attentions
discovery.load()
print("equinox" in attentions, "equinox" in sys.modules)
"""
  result = subprocess.run(
    [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
  )
  assert result.stdout == "True False\n", result.stderr


@pytest.mark.parametrize(
  "attention", [*REFERENCES, "selective(output_projection=True)"]
)
def test_the_initialisation_reaches_the_layers_that_it_is_of(attention, monkeypatch):
  # Constants in place of random numbers tell which deviation a layer was drawn with.
  monkeypatch.setattr(hk.initializers, "RandomNormal", hk.initializers.Constant)
  config = tiny_config(attention=attention, position="none", model__init="gpt2")
  params = assemble(config).init(0)
  deviations = {
    layer(module): {round(float(w), 6) for w in np.unique(value["w"])}
    for module, value in params.items()
    if f"/layer_0/{attention.split('(')[0]}/" in module
  }
  incoming, outgoing = {0.02}, {0.01}  # GPT-2's, with two layers.
  assert deviations == {
    "query": incoming,
    "key": incoming,
    "value": incoming,
    "output": outgoing,
  }
