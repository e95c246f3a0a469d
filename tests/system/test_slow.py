"""A context that takes long says so, once; a short one says nothing."""

import threading

from attention_lab.system.slow import announced


def test_a_context_that_takes_long_is_announced(capsys):
  before = threading.active_count()
  with announced("Still checking.", 0):
    while threading.active_count() > before:
      pass  # The timer's thread ends when it has printed.
  assert capsys.readouterr().err == "Still checking.\n"


def test_a_short_context_is_not_announced(capsys):
  with announced("Still checking.", 60):
    pass
  assert capsys.readouterr().err == ""
