"""The first signal only sets a flag, and the second is handled as before."""

import os
import pty
import signal
import subprocess
import sys

import pytest

from attention_lab.system.signals import (
  ENDING,
  NOTICES,
  SHOW_CURSOR,
  SIGNALS,
  Interrupt,
)

PIPES = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}


class HandlerCalled(Exception):
  """Exception of the handlers that these tests install."""


@pytest.fixture(autouse=True)
def handler():
  """Install handlers that raise, and restore the former ones afterwards."""

  def raises(number, frame):
    raise HandlerCalled(number)

  before = {number: signal.signal(number, raises) for number in SIGNALS}
  yield raises
  for number, former in before.items():
    signal.signal(number, former)


def send(number):
  os.kill(os.getpid(), number)


def test_flag_is_unset_without_a_signal():
  with Interrupt() as interrupt:
    pass
  assert interrupt.signal is None


@pytest.mark.parametrize("number", SIGNALS)
def test_first_signal_sets_the_flag(number):
  with Interrupt() as interrupt:
    send(number)
    assert interrupt.signal == number


@pytest.mark.parametrize("number", SIGNALS)
def test_signal_shows_the_cursor_of_the_terminal(number):
  """The progress bar, which hides the cursor, may end before it shows the cursor."""
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
def test_ignored_signal_stays_ignored(number):
  signal.signal(number, signal.SIG_IGN)
  with Interrupt() as interrupt:
    send(number)
    assert interrupt.signal is None
    assert signal.getsignal(number) == signal.SIG_IGN
  assert signal.getsignal(number) == signal.SIG_IGN


@pytest.mark.parametrize("first", SIGNALS)
@pytest.mark.parametrize("second", ENDING)
def test_second_signal_ends_a_command(first, second):
  code = (
    "import os, signal; from attention_lab.system.signals import Interrupt, end_at_once\n"
    "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "end_at_once()\n"
    "with Interrupt():\n"
    f"  os.kill(os.getpid(), {first:d}); print('on', flush=True)\n"
    f"  os.kill(os.getpid(), {second:d}); print('and on')"
  )
  ended = subprocess.run([sys.executable, "-c", code], check=False, **PIPES)
  assert (ended.returncode, ended.stdout, ended.stderr) == (-second, "on\n", "")


@pytest.mark.parametrize("second", NOTICES)
def test_a_second_notice_changes_nothing(second):
  """A closed terminal and its shell both send SIGHUP."""
  with Interrupt() as interrupt:
    send(signal.SIGHUP)
    send(second)
    assert interrupt.signal == signal.SIGHUP


def test_a_closed_terminal_and_slurm_are_answered():
  assert {signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2} < set(SIGNALS)


@pytest.mark.parametrize("first", SIGNALS)
def test_second_ctrl_c_in_a_session_is_handled_as_before(first):
  def interrupt_twice():
    with Interrupt():
      send(first)
      send(signal.SIGINT)

  before = signal.signal(signal.SIGINT, signal.default_int_handler)
  try:
    with pytest.raises(KeyboardInterrupt):
      interrupt_twice()
  finally:
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
  ("before", "status"), [("SIG_IGN", 0), ("default_int_handler", -signal.SIGINT)]
)
def test_ctrl_c_outside_the_context_ends_the_process_unless_ignored(before, status):
  code = (
    "import os, signal; from attention_lab.system.signals import end_at_once\n"
    f"signal.signal(signal.SIGINT, signal.{before})\n"
    "end_at_once(); os.kill(os.getpid(), signal.SIGINT)"
  )
  ended = subprocess.run([sys.executable, "-c", code], check=False, **PIPES)
  assert (ended.returncode, ended.stderr) == (status, "")


def test_ctrl_c_in_the_entrypoint_prints_nothing():
  code = (
    "import signal; from absl import app; from attention_lab import main\n"
    "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "app.run = lambda *_, **__: signal.raise_signal(signal.SIGINT)\n"
    "main.command()"
  )
  ended = subprocess.run([sys.executable, "-c", code], check=False, **PIPES)
  assert (ended.returncode, ended.stderr) == (-signal.SIGINT, "")


@pytest.mark.parametrize("first", [None, *SIGNALS])
def test_handlers_are_restored_after_the_context(handler, first):
  with Interrupt():
    if first:
      send(first)
  assert {signal.getsignal(number) for number in SIGNALS} == {handler}


def test_handlers_are_restored_after_an_exception(handler):
  with pytest.raises(ValueError, match="mine"), Interrupt():
    raise ValueError("mine")
  assert {signal.getsignal(number) for number in SIGNALS} == {handler}
