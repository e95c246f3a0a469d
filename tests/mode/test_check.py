"""Tests of --mode=check: its table, check.json and exit status."""

import io
import json
import re
import threading

import pytest
from rich.console import Console

from attention_lab.attention.base.attention import attentions
from attention_lab.attention.standard import Standard
from attention_lab.conformance import check as laws
from attention_lab.conformance.law import Case, Note, law
from attention_lab.errors import UserError
from attention_lab.mode import check
from attention_lab.system import watchdog
from tests import commands
from tests.parts import tiny_config

SEEN = []  # The subjects that were tested.


@law("first", "cause of the first")
def first(subject):
  """Return the error that the class of the attention names."""
  SEEN.append(subject)
  yield Note("a remark")
  yield Case("T=6", getattr(subject.cls, "error", 0.5), 1.0)


@law("second", "cause of the second")
def second(subject):
  """Raise the exception that the class of the attention names."""
  if hasattr(subject.cls, "raises"):
    raise subject.cls.raises
  yield Case("T=6", 0.0, 1.0)


@law("third", "cause of the third", lambda subject: "it is not linear")
def third(subject):
  """Be not applicable."""


class Mine(Standard):
  """Breaks both laws."""

  error = 2.0
  raises = SystemExit(3)


@pytest.fixture(autouse=True)
def three_laws(monkeypatch):
  """Test three laws, the last of which is not applicable."""
  SEEN.clear()
  monkeypatch.setattr(laws, "LAWS", (first, second, third))
  monkeypatch.setitem(attentions._parts, "mine", Mine)


def run(folder, attention, **settings):
  status = check.run(tiny_config(attention=attention, **settings), str(folder))
  return status, json.loads((folder / "check.json").read_text())


def test_laws_that_hold_give_exit_status_0(tmp_path, capsys):
  status, record = run(tmp_path, "standard")
  assert status == 0
  assert (record["depth"], record["position"]) == ("full", None)
  assert record["attentions"]["standard"][0] == {
    "law": "first",
    "status": "holds",
    "worst": 0.5,
    "case": "T=6: 0.5 (at most 1)",
    "meaning": "",
    "notes": ["a remark"],
  }
  assert capsys.readouterr() == (
    f"""standard (depth full, generic rotation and bias)

status          error/limit  law
holds                   0.5  first
holds                     0  second
not applicable               third

Not applicable (it is not linear): third.
Note (first): a remark.

Written to {tmp_path / "check.json"}
2 laws hold, 0 laws are broken, 1 not applicable.
""",
    "",
  )


def test_broken_laws_give_exit_status_1_and_come_last(tmp_path, capsys):
  status, record = run(tmp_path, "mine,standard")
  assert status == 1
  assert list(record["attentions"]) == ["mine", "standard"]
  found = record["attentions"]["mine"]
  assert [verdict["status"] for verdict in found] == [
    "broken",
    "raises",
    "not applicable",
  ]
  out = capsys.readouterr().out
  assert out.index("Not applicable") < out.index(
    "BROKEN: first\n  T=6: 2 (at most 1)\n"
  )
  assert out.count("Usual cause: cause of the first.") == 1
  assert re.search(
    r"\nRAISES: test_check.py, line \d+: SystemExit: 3\n  in: second", out
  )
  assert out.splitlines()[-2:] == [
    "mine: 0 laws hold, 2 laws are broken (first; second), 1 not applicable.",
    "standard: 2 laws hold, 0 laws are broken, 1 not applicable.",
  ]


@pytest.mark.parametrize("columns", ["30", "80", "200"])
def test_rows_are_not_wrapped_and_have_no_escape_codes(
  tmp_path, capsys, monkeypatch, columns
):
  monkeypatch.setenv("COLUMNS", columns)
  run(tmp_path, "mine")
  out = capsys.readouterr().out
  assert "\nBROKEN                    2  first\n" in out
  assert "\x1b" not in out
  assert not [line for line in out.splitlines() if line != line.rstrip()]


def test_depth_and_position_are_passed_to_the_laws(tmp_path, capsys):
  settings = {"check__depth": "quick", "position": "alibi(max_bias=4.0)"}
  _, record = run(tmp_path, "standard", **settings)
  assert (record["depth"], record["position"]) == ("quick", settings["position"])
  (subject,) = SEEN
  assert (subject.full, subject.position) == (False, settings["position"])
  title = "standard (depth quick, --position=alibi(max_bias=4.0))\n"
  assert capsys.readouterr().out.startswith(title)


@pytest.mark.parametrize(
  ("attention", "title"),
  [
    ("retention", "retention (depth full, generic rotation)"),
    ("haiku", "haiku (depth full, without positions)"),
  ],
)
def test_title_names_the_hooks_that_the_attention_honours(
  tmp_path, capsys, attention, title
):
  run(tmp_path, attention)
  assert capsys.readouterr().out.splitlines()[0] == title


@pytest.mark.parametrize(
  ("settings", "answer"),
  [
    ({"attention": "standart"}, "Did you mean 'standard'"),
    ({"attention": "standard", "position": "rop"}, "Did you mean 'rope'"),
    ({"attention": "haiku", "position": "alibi"}, "acts by bias.*does not use"),
  ],
)
def test_mistake_is_refused_before_anything_is_written(tmp_path, settings, answer):
  with pytest.raises(UserError, match=answer):
    run(tmp_path / "new", **settings)
  assert not (tmp_path / "new").exists()


def test_law_that_takes_long_is_reported_with_its_case(tmp_path, monkeypatch, capsys):
  reported = threading.Event()

  @law("endless", "cause")
  def endless(subject):
    """Take long."""
    yield Case("T=6", lambda: float(not reported.wait(600)), 0.0)

  class Watchdog(watchdog.Watchdog):
    """Watchdog that does not wait."""

    def __init__(self, report):
      def tell(seconds):
        report(seconds)
        reported.set()

      super().__init__(tell, first=0.01)

  monkeypatch.setattr(laws, "LAWS", (endless,))
  subject = check._subject("standard", "quick", None, Console(file=io.StringIO()))
  monkeypatch.setattr(check, "Watchdog", Watchdog)
  check._check("standard", subject, Console())
  out, err = capsys.readouterr()
  assert out == "holds                     0  endless\n"
  line = "still testing standard (endless: T=6) after 0 s; Ctrl-C stops."
  assert line in err.splitlines()


def test_terminal_shows_what_is_being_tested():
  text = io.StringIO()
  console = Console(file=text, force_terminal=True, width=80)
  subject = check._subject("standard", "quick", None, console)
  check._check("standard", subject, console)
  shown = text.getvalue()
  assert "0/3 first: T=6" in shown
  assert "\x1b[32mholds\x1b[0m" in shown


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
