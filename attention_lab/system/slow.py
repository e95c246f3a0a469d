"""Says on standard error what goes on, if it takes long."""

import contextlib
import sys
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def announced(text: str, seconds: float = 15.0) -> Iterator[None]:
  """Print a line on standard error once a context has taken some seconds."""
  printing = {"file": sys.stderr, "flush": True}
  timer = threading.Timer(seconds, print, (text,), printing)
  timer.daemon = True
  timer.start()
  try:
    yield
  finally:
    timer.cancel()
