"""The plan completes the configurations of its runs."""

import pytest

from attention_lab.compare import plan
from attention_lab.errors import UserError
from tests.parts import tiny_config


@pytest.mark.parametrize(("requested", "every"), [(400, 10), (30, 30)])
def test_runs_validate_often_enough_for_a_curve(requested, every, tmp_path):
  config = tiny_config(steps=50, evaluation__every=requested)
  config.compare.grid = (("train.learning_rate", (1e-3, 2e-3)),)
  rows = plan.make(config, tmp_path / "compared").rows
  assert [row.config.evaluation.every for row in rows] == [every, every]


@pytest.mark.parametrize("margin", ["0", "-1", "half", "nan", "%", "inf"])
def test_margin_has_to_be_a_number_or_a_share(margin, tmp_path):
  config = tiny_config(steps=50)
  config.compare.grid = (("train.learning_rate", (1e-3, 2e-3)),)
  config.compare.margin = margin
  with pytest.raises(UserError, match="such as 50%"):
    plan.make(config, tmp_path)
