"""Proves that the first signal is only remembered, and the second ends the process."""

import os
import pty
import signal
import subprocess
import sys

import pytest

from attention_lab.system.signals import SHOW_CURSOR, SIGNALS, Interrupt

PIPES = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}


class Usual(Exception):
  """What a signal's usual handler raises in these tests."""


@pytest.fixture(autouse=True)
def usual():
  """Put handlers in place that raise, and the real ones back afterwards."""

  def handler(number, frame):
    raise Usual(number)

  before = {number: signal.signal(number, handler) for number in SIGNALS}
  yield handler
  for number, real in before.items():
    signal.signal(number, real)


def send(number):
  os.kill(os.getpid(), number)


def test_without_a_signal_nothing_is_remembered():
  with Interrupt() as interrupt:
    pass
  assert interrupt.signal is None


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_is_remembered(number):
  with Interrupt() as interrupt:
    send(number)
    assert interrupt.signal == number


@pytest.mark.parametrize("number", SIGNALS)
def test_a_terminal_has_its_cursor_back_before_the_process_may_end(number):
  """A bar that hid it may not come to show it."""
  code = (
    "import os, signal; from attention_lab.system.signals import Interrupt\n"
    f"with Interrupt(): os.kill(os.getpid(), {number:d})"
  )
  terminal, end = pty.openpty()
  command = [sys.executable, "-c", code]
  subprocess.run(command, check=True, stdout=end, stderr=subprocess.PIPE)
  os.close(end)
  assert os.read(terminal, 100) == SHOW_CURSOR
  os.close(terminal)


@pytest.mark.parametrize("number", SIGNALS)
def test_what_was_ignored_stays_ignored(number):
  signal.signal(number, signal.SIG_IGN)
  with Interrupt() as interrupt:
    send(number)
    assert interrupt.signal is None
    assert signal.getsignal(number) == signal.SIG_IGN
  assert signal.getsignal(number) == signal.SIG_IGN


@pytest.mark.parametrize("first", SIGNALS)
@pytest.mark.parametrize("second", SIGNALS)
def test_the_second_signal_ends_the_process(first, second):
  code = (
    "import os, signal; from attention_lab.system.signals import Interrupt\n"
    "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "with Interrupt():\n"
    f"  os.kill(os.getpid(), {first:d}); print('on', flush=True)\n"
    f"  os.kill(os.getpid(), {second:d}); print('and on')"
  )
  ended = subprocess.run([sys.executable, "-c", code], check=False, **PIPES)
  assert (ended.returncode, ended.stdout, ended.stderr) == (-second, "on\n", "")


@pytest.mark.parametrize(
  ("before", "status"), [("SIG_IGN", 0), ("default_int_handler", -signal.SIGINT)]
)
def test_outside_of_it_ctrl_c_ends_the_process_unless_it_is_ignored(before, status):
  code = (
    "import os, signal; from attention_lab.system.signals import end_at_once\n"
    f"signal.signal(signal.SIGINT, signal.{before})\n"
    "end_at_once(); os.kill(os.getpid(), signal.SIGINT)"
  )
  ended = subprocess.run([sys.executable, "-c", code], check=False, **PIPES)
  assert (ended.returncode, ended.stderr) == (status, "")


def test_the_entrypoint_ends_without_a_word():
  code = (
    "import signal; from absl import app; from attention_lab import main\n"
    "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "app.run = lambda *_, **__: signal.raise_signal(signal.SIGINT)\n"
    "main.command()"
  )
  ended = subprocess.run([sys.executable, "-c", code], check=False, **PIPES)
  assert (ended.returncode, ended.stderr) == (-signal.SIGINT, "")


@pytest.mark.parametrize("first", [None, *SIGNALS])
def test_afterwards_the_usual_handlers_are_back(usual, first):
  with Interrupt():
    if first:
      send(first)
  assert {signal.getsignal(number) for number in SIGNALS} == {usual}


def test_an_exception_puts_the_usual_handlers_back(usual):
  with pytest.raises(ValueError, match="mine"), Interrupt():
    raise ValueError("mine")
  assert {signal.getsignal(number) for number in SIGNALS} == {usual}
