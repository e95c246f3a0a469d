"""--position=auto takes the scheme of the attention's paper, and runs record its name."""

import contextlib
import json

import pytest

import attention_lab as al
from attention_lab import config as configs
from attention_lab.api.attention import recipe_of
from attention_lab.attention.base.attention import attentions
from attention_lab.catalogue.attention import usable_positions
from attention_lab.errors import UserError
from attention_lab.experiment import assemble
from attention_lab.named_parts import position_of
from attention_lab.training.changes import evaluated_otherwise, refuse_other_config
from tests.parts import tiny_config


@pytest.mark.parametrize("name", attentions)
def test_an_attention_goes_with_its_default(name):
  assert attentions[name].default_position in usable_positions(name)


@pytest.mark.parametrize(
  ("attention", "position"),
  [
    ("standard", "rope"),
    ("gated_linear(rank=4)", "none"),
    ("delta_net", "none"),
    ("forgetting", "none"),
    ("fourier", "learned"),
    # The first one that both honour.
    ("gated_delta_net,standard", "none"),
    ("standard,gated_delta_net", "rope"),
    ("standard,cosformer", "none"),
  ],
)
def test_auto_is_the_scheme_of_the_paper(attention, position):
  assert position_of(tiny_config(attention=attention)) == position
  assert position_of(tiny_config(attention=attention, position="alibi")) == "alibi"


def test_attentions_of_all_places_count():
  places = ("encoder", "decoder", "cross")
  own = {f"architecture__{place}__attention": "haiku" for place in places}
  config = tiny_config(architecture__name="encoder_decoder", **own)
  assert position_of(config) == "sinusoidal"


@pytest.mark.parametrize(("attention", "length"), [("fourier", 9), ("cosformer", None)])
def test_the_model_has_it(attention, length):
  words = {"architecture__name": "encoder", "dataset": "majority(sequence_length=9)"}
  assert assemble(tiny_config(attention=attention, **words)).max_positions == length


def test_stored_runs_without_the_setting_have_rope():
  stored = tiny_config(attention="delta_net").to_dict()
  del stored["position"]
  assert configs.from_stored(stored).position == "rope"


def test_auto_resumes_and_evaluates_a_run_that_recorded_its_scheme(tmp_path):
  chosen = tiny_config(attention="delta_net")
  stored = tiny_config(attention="delta_net", position="none")
  assert evaluated_otherwise(stored, chosen) == {}
  for position in ("none", "rope"):
    stored.position = position
    content = {"config": stored.to_dict(), "provenance": {}}
    (tmp_path / "config.json").write_text(json.dumps(content))
    refused = pytest.raises(UserError, match="position: 'rope' there, 'auto' here")
    with refused if position == "rope" else contextlib.nullcontext():
      refuse_other_config(tmp_path, chosen)


@pytest.mark.parametrize(
  ("name", "position"),
  [("standard", "rope"), ("delta_net", "none"), ("equinox", "none")],
)
def test_a_layer_takes_it_unless_it_is_added_to_embeddings(name, position):
  recipe = recipe_of(name, num_heads=2, causal="causal" in attentions[name].kinds)
  assert recipe.parts.position == position


def test_an_attention_of_ones_own_has_rope():
  class Mine(al.Weighted):
    """Softmax attention."""

  assert Mine.default_position == "rope"
