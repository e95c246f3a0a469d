"""Proves that the first signal is only remembered, and the second acts as usual."""

import os
import signal

import pytest

from attention_lab.interrupt import SIGNALS, Interrupt


class Usual(Exception):
  """What a signal's usual handler raises in these tests."""


@pytest.fixture(autouse=True)
def usual():
  """Puts handlers in place that raise, and the real ones back afterwards."""

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
def test_what_was_ignored_stays_ignored(number):
  signal.signal(number, signal.SIG_IGN)
  with Interrupt() as interrupt:
    send(number)
    assert interrupt.signal is None
    assert signal.getsignal(number) == signal.SIG_IGN
  assert signal.getsignal(number) == signal.SIG_IGN


@pytest.mark.parametrize("first", SIGNALS)
@pytest.mark.parametrize("second", SIGNALS)
def test_the_second_signal_acts_as_usual(first, second):
  with Interrupt() as interrupt:
    send(first)
    with pytest.raises(Usual):
      send(second)
  assert interrupt.signal == first


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
