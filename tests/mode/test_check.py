"""Tests of --mode=check: its table, check.json and exit status."""

import json
import re

import pytest

from attention_lab.attention.base.attention import attentions
from attention_lab.conformance import causality, claims
from attention_lab.errors import UserError
from attention_lab.mode import check
from tests import commands
from tests.conformance.broken import OffByOne
from tests.parts import tiny_config


@pytest.fixture(autouse=True)
def three_laws(monkeypatch):
  """Laws of check.py; the last is not applicable to quadratic attentions."""
  laws = (
    causality.no_gradient_from_future,
    causality.sequences_are_independent,
    claims.cost_grows_linearly,
  )
  monkeypatch.setattr("attention_lab.conformance.check.LAWS", laws)
  monkeypatch.setenv("COLUMNS", "200")


def run(folder, attention):
  status = check.run(tiny_config(attention=attention), str(folder))
  return status, json.loads((folder / "check.json").read_text())["attentions"]


def test_laws_that_hold_give_exit_status_0(tmp_path, capsys):
  status, found = run(tmp_path, "standard,standard(num_kv_heads=1)")
  assert status == 0
  assert list(found) == ["standard", "standard(num_kv_heads=1)"]
  statuses = [verdict["status"] for verdict in found["standard"]]
  assert statuses == ["holds", "holds", "not applicable"]
  out = capsys.readouterr().out
  assert "4 laws hold, 0 laws are broken." in out
  row = "time and memory grow linearly +not applicable +linear_time is not set"
  assert re.search(row, out)


def test_broken_law_gives_exit_status_1_and_usual_cause(tmp_path, capsys, monkeypatch):
  monkeypatch.setitem(attentions._parts, "mine", OffByOne)
  status, found = run(tmp_path, "mine")
  assert status == 1
  statuses = [verdict["status"] for verdict in found["mine"]]
  assert statuses == ["broken", "holds", "not applicable"]
  assert "output 0 by input 1" in found["mine"][0]["case"]
  out = capsys.readouterr().out
  assert "BROKEN" in out
  assert "Usual cause: the mask is off by one" in out
  assert "1 law holds, 1 law is broken." in out


def test_unknown_name_is_refused_before_anything_is_written(tmp_path):
  with pytest.raises(UserError, match="Did you mean 'standard'"):
    run(tmp_path / "new", "standart")
  assert not (tmp_path / "new").exists()


LEAKY = '''
import attention_lab

@attention_lab.register_attention("leaky")
class Leaky(attention_lab.Weighted):
  """Attends to all tokens."""

  def attend(self, q, k, v, mask):
    everything = attention_lab.Mask(
      mask.query_positions, mask.context_positions, causal=False
    )
    return super().attend(q, k, v, everything)
'''


def test_leaking_run_is_refused_unless_checks_are_skipped(tmp_path, monkeypatch):
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
  plugin = tmp_path / "leaky.py"
  plugin.write_text(LEAKY)
  workdir = tmp_path / "run"
  words = [*commands.TINY, "--attention=leaky", f"--plugin={plugin}", "--steps=1"]
  words += [f"--workdir={workdir}"]
  status, out, err = commands.run(*words)
  assert (status, out) == (2, "")
  assert err.startswith("error: The attention 'leaky' attends to future tokens")
  assert err.count("\n") == 1
  assert not workdir.exists()
  status, _, err = commands.run(*words, "--skip_checks")
  assert (status, err) == (0, "")
  summary = json.loads((workdir / "summary.json").read_text())
  config = json.loads((workdir / "config.json").read_text())["config"]
  assert (summary["leak_check"], config["skip_checks"]) == ("skipped", True)
