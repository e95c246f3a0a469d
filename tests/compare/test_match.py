"""Matched rows have the baseline's cost, and the report states the changed sizes."""

import pytest

from attention_lab import config as configs
from attention_lab.compare import match
from attention_lab.errors import UserError


def tiny(attention):
  config = configs.get_config()
  config.attention = attention
  config.dataset = "copy(sequence_length=8)"
  config.model.num_layers = 1
  return config


def cost(config):
  """Return an artificial cost: affine in d_ff, quadratic in d_model."""
  width = config.model.d_model
  return 20 * width**2 + 2 * width * (config.model.d_ff or 4 * width)


@pytest.mark.parametrize("attention", ["selective", "latent", "gated_delta_net"])
def test_matched_row_has_baseline_parameters_within_one_percent(attention):
  target = match.parameters(tiny("standard"))
  found = match.match(tiny(attention), target, match.parameters)
  assert found.within
  assert found.cost == match.parameters(found.config)
  assert found.cost == pytest.approx(target, rel=match.TOLERANCE)
  changed = configs.differences(tiny(attention), found.config)
  assert set(changed) <= {"model.d_ff"}


@pytest.mark.parametrize("target", [1, 100, 114, 500, 1_893, 99_999])
@pytest.mark.parametrize("start", [1, 2, 256])
def test_nearest_size_is_found(target, start):
  found = match.nearest(lambda size: 100 + 7 * size, target, start)
  best = min(range(1, 20_000), key=lambda size: abs(100 + 7 * size - target))
  assert abs(100 + 7 * found - target) == abs(100 + 7 * best - target)


def test_affine_cost_is_evaluated_at_few_sizes():
  evaluated = set()

  def cost(size):
    evaluated.add(size)
    return 100 + 7 * size

  match.nearest(cost, 1_000, 256)
  assert len(evaluated) <= 3


def test_width_is_reduced_if_no_feed_forward_layer_is_small_enough():
  config = tiny("standard")
  found = match.match(config, cost(config) // 2, cost)
  assert found.within
  assert found.config.model.d_model < config.model.d_model
  text = match.description(config, found, cost(config) // 2, "parameters", "standard")
  assert f"d_model {found.config.model.d_model} instead of 64" in text
  assert "instead of 256" in text


def test_description_of_unreachable_cost_names_the_closest():
  config = tiny("standard")
  found = match.match(config, 10, cost)
  assert not found.within
  text = match.description(config, found, 10, "parameters", "standard")
  assert text.startswith("not within 1 %; closest: ")


def test_widths_that_an_attention_rejects_are_skipped():
  def reject(config):
    raise UserError("no")

  assert match.match(tiny("standard"), 10, reject) is None
