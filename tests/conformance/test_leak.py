"""Tests of the leak check before training, and of its cache."""

import functools
import json

import pytest

from attention_lab.attention.base.attention import attentions
from attention_lab.conformance import leak
from attention_lab.conformance.subject import Sizes, Subject
from attention_lab.errors import UserError
from attention_lab.position.base.position import Position
from tests.conformance.broken import LeaksWithinChunks, NoBatchingRule, OffByOne


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
  return tmp_path / "attention_lab" / "leaks"


@pytest.fixture
def builder(monkeypatch):
  """Function of a class that returns what builds it, as an experiment does."""

  def register(attention):
    monkeypatch.setitem(attentions._parts, "mine", attention)
    subject = Subject("mine")
    scheme = functools.partial(Position, max_length=8)
    return lambda: subject.build(scheme(), Sizes(2, 3, 8))

  return register


@pytest.mark.parametrize("attention", [OffByOne, LeaksWithinChunks])
def test_leaking_attention_is_refused(attention, builder):
  message = "'mine' attends to future tokens.*--skip_checks"
  with pytest.raises(UserError, match=message):
    leak.refuse_leak("mine", builder(attention))


def test_attention_that_raises_is_refused(builder):
  with pytest.raises(UserError, match="'mine' fails in the leak check"):
    leak.refuse_leak("mine", builder(NoBatchingRule))


def test_verdicts_are_stored_per_code_and_setup(builder, cache, monkeypatch):
  attention = attentions["standard"]
  leak.refuse_leak("mine", builder(attention), "rope")
  (path,) = cache.glob("*.json")
  stored = json.loads(path.read_text())
  assert [verdict["status"] for verdict in stored] == ["holds"] * 2
  path.write_text(path.read_text().replace("holds", "broken"))
  with pytest.raises(UserError):  # The stored verdicts are used.
    leak.refuse_leak("mine", builder(attention), "rope")
  leak.refuse_leak("mine", builder(attention), "alibi")
  monkeypatch.setattr(leak, "code_hash", lambda: "other code")
  leak.refuse_leak("mine", builder(attention), "rope")
  assert len(list(cache.glob("*.json"))) == 3


def test_damaged_file_is_replaced(builder, cache):
  leak.refuse_leak("mine", builder(attentions["standard"]))
  (path,) = cache.glob("*.json")
  path.write_text("{")
  leak.refuse_leak("mine", builder(attentions["standard"]))
  assert json.loads(path.read_text())


def test_code_hash_covers_imported_plugin_code(tmp_path, monkeypatch):
  (tmp_path / "helper_of_mine.py").write_text("X = 1\n")
  before = leak.code_hash()
  monkeypatch.syspath_prepend(tmp_path)
  import helper_of_mine

  assert helper_of_mine.X
  between = leak.code_hash()
  (tmp_path / "helper_of_mine.py").write_text("X = 2\n")
  assert len({before, between, leak.code_hash()}) == 3
