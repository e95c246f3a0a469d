"""--mode=check: a table, check.json, and an exit status that scripts can read."""

import json

import pytest

from attention_lab.attention.base.attention import attentions
from attention_lab.conformance import seeing
from attention_lab.errors import UserError
from attention_lab.mode import check
from tests import commands
from tests.conformance.broken import OffByOne
from tests.parts import tiny_config


@pytest.fixture(autouse=True)
def two_laws(monkeypatch):
  """The others are tried in tests/conformance."""
  laws = (seeing.future_by_gradient, seeing.rows_are_independent)
  monkeypatch.setattr("attention_lab.conformance.check.LAWS", laws)


def run(folder, attention):
  status = check.run(tiny_config(attention=attention), str(folder))
  return status, json.loads((folder / "check.json").read_text())["attentions"]


def test_what_holds_has_status_0(tmp_path, capsys):
  status, found = run(tmp_path, "standard,standard(num_kv_heads=1)")
  assert status == 0
  assert list(found) == ["standard", "standard(num_kv_heads=1)"]
  assert [v["status"] for v in found["standard"]] == ["holds"] * 2
  assert "4 laws hold, 0 are broken." in capsys.readouterr().out


def test_what_is_broken_has_status_1_and_its_meaning(tmp_path, capsys, monkeypatch):
  monkeypatch.setitem(attentions._parts, "mine", OffByOne)
  status, found = run(tmp_path, "mine")
  assert status == 1
  assert [v["status"] for v in found["mine"]] == ["broken", "holds"]
  assert "output 0 by input 1" in found["mine"][0]["case"]
  out = capsys.readouterr().out
  assert "Usually" in out
  assert "1 laws hold, 1 are broken." in out


def test_an_unknown_name_is_refused_before_anything_is_written(tmp_path):
  with pytest.raises(UserError, match="Did you mean 'standard'"):
    run(tmp_path / "new", "standart")
  assert not (tmp_path / "new").exists()


LEAKY = '''
import attention_lab

@attention_lab.register_attention("leaky")
class Leaky(attention_lab.Weighted):
  """Sees everything."""

  def attend(self, q, k, v, mask):
    everything = attention_lab.Mask(
      mask.query_positions, mask.context_positions, causal=False
    )
    return super().attend(q, k, v, everything)
'''


def test_a_run_that_would_leak_does_not_start(tmp_path, monkeypatch):
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
  plugin = tmp_path / "leaky.py"
  plugin.write_text(LEAKY)
  workdir = tmp_path / "run"
  words = [*commands.TINY, "--attention=leaky", f"--plugin={plugin}", "--steps=1"]
  words += [f"--workdir={workdir}"]
  status, out, err = commands.run(*words)
  assert (status, out) == (2, "")
  assert err.startswith("error: The attention 'leaky' sees the future")
  assert err.count("\n") == 1
  assert not workdir.exists()
  status, _, err = commands.run(*words, "--skip_checks")
  assert (status, err) == (0, "")
  summary = json.loads((workdir / "summary.json").read_text())
  config = json.loads((workdir / "config.json").read_text())["config"]
  assert (summary["leak_check"], config["skip_checks"]) == ("skipped", True)
