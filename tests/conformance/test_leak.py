"""Before a causal run starts, its attention is checked for leaks, once for each code."""

import functools
import json

import pytest

from attention_lab.attention.base.attention import attentions
from attention_lab.conformance import leak
from attention_lab.conformance.subject import Sizes, Subject
from attention_lab.errors import UserError
from attention_lab.position.base.position import Position
from tests.conformance.broken import LeakAtChunks, NoRuleForVmap, OffByOne


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
  return tmp_path / "attention_lab" / "leaks"


@pytest.fixture
def build(monkeypatch):
  """What makes an attention of this class, as an experiment does."""

  def of(part):
    monkeypatch.setitem(attentions._parts, "mine", part)
    subject = Subject("mine")
    scheme = functools.partial(Position, max_length=8)
    return lambda: subject.build(scheme(), Sizes(2, 3, 8))

  return of


@pytest.mark.parametrize("part", [OffByOne, LeakAtChunks])
def test_a_leak_is_refused(part, build):
  with pytest.raises(UserError, match="'mine' sees the future.*--skip_checks"):
    leak.refuse_leak("mine", build(part))


def test_what_fails_is_said_to_fail(build):
  with pytest.raises(UserError, match="'mine' fails where it is checked"):
    leak.refuse_leak("mine", build(NoRuleForVmap))


def test_a_verdict_is_kept_for_the_same_code_alone(build, own_cache, monkeypatch):
  part = attentions["standard"]
  leak.refuse_leak("mine", build(part), "rope")
  (path,) = own_cache.glob("*.json")
  assert [verdict["status"] for verdict in json.loads(path.read_text())] == [
    "holds"
  ] * 2
  path.write_text(path.read_text().replace("holds", "broken"))
  with pytest.raises(UserError):  # It is read, and not found again.
    leak.refuse_leak("mine", build(part), "rope")
  leak.refuse_leak("mine", build(part), "alibi")
  monkeypatch.setattr(leak, "code_hash", lambda: "other code")
  leak.refuse_leak("mine", build(part), "rope")
  assert len(list(own_cache.glob("*.json"))) == 3


def test_a_damaged_verdict_is_found_again(build, own_cache):
  leak.refuse_leak("mine", build(attentions["standard"]))
  (path,) = own_cache.glob("*.json")
  path.write_text("{")
  leak.refuse_leak("mine", build(attentions["standard"]))
  assert json.loads(path.read_text())


def test_a_plugins_code_counts(tmp_path, monkeypatch):
  (tmp_path / "helper_of_mine.py").write_text("X = 1\n")
  before = leak.code_hash()
  monkeypatch.syspath_prepend(tmp_path)
  import helper_of_mine

  assert helper_of_mine.X
  between = leak.code_hash()
  (tmp_path / "helper_of_mine.py").write_text("X = 2\n")
  assert len({before, between, leak.code_hash()}) == 3
