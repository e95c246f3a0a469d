"""The plan completes the configurations of its runs."""

import pytest

from attention_lab.attention.base.attention import attentions
from attention_lab.compare import plan
from attention_lab.errors import UserError
from tests.conformance.broken.leaks import OffByOne
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


def test_skipped_checks_take_the_loss_of_the_leaking_row_alone(tmp_path, monkeypatch):
  monkeypatch.setitem(attentions._parts, "off_by_one", OffByOne)
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
  config = tiny_config(steps=50, skip_checks=True)
  config.compare.grid = (("attention", ("standard", "off_by_one")),)
  config.compare.match = "none"
  standard, leaking = plan.make(config, tmp_path / "compared").rows
  assert (standard.config.skip_checks, leaking.config.skip_checks) == (False, True)
