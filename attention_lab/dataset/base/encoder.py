"""Encoding of text in several processes.

A process is this module, run by the same Python, that receives a vocabulary and then units
of text on its standard input. It imports neither jax nor the user's script, as a fork or
the spawned processes of `multiprocessing` would.
"""

import concurrent.futures
import contextlib
import importlib.util
import itertools
import os
import pickle
import queue
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any, NamedTuple

import numpy as np

from attention_lab.dataset.base.division import Piece
from attention_lab.errors import UserError
from attention_lab.tokenizer.base.tokenizer import TextVocabulary

FAST = 40e6  # Bytes per second from which on sending text to processes costs more.
TRIED = 8  # Units that are encoded in this process first, to measure the speed.
ENOUGH = 3.0  # Seconds of encoding that are not worth starting processes.


class Encoding(NamedTuple):
  """Means to encode a unit of text."""

  vocabulary: TextVocabulary
  decoded: bool  # Whether the vocabulary encodes str, not bytes.
  dtype: str  # Of the tokens.

  def encode(self, unit: Sequence[Piece]) -> list[np.ndarray]:
    """Return the tokens of each piece of a unit.

    Raises:
      UserError: a piece has a symbol without a token.
    """
    contents = [piece.content for piece in unit]
    documents = [x.decode() for x in contents] if self.decoded else contents
    try:
      tokens = self.vocabulary.encode_documents(documents)
    except UserError as error:
      if len(unit) == 1:
        raise UserError(f"{unit[0].origin}: {error}") from None
      return [self.encode([piece])[0] for piece in unit]
    return [np.asarray(each).astype(self.dtype, copy=False) for each in tokens]


def encoded(
  units: Iterable[Sequence[Piece]],
  encoding: Encoding,
  total: int,
  processes: int | None,
) -> Iterator[list[np.ndarray]]:
  """Yield the tokens of each piece of each unit, in order.

  Args:
    units: some pieces each.
    encoding: how they are encoded.
    total: number of bytes of all units, by which the time is estimated.
    processes: number of processes; None for as many as pay.
  """
  units = iter(units)
  if processes is None:
    started, size = time.perf_counter(), 0
    for unit in itertools.islice(units, TRIED):
      yield encoding.encode(unit)
      size += sum(len(piece.content) for piece in unit)
    seconds = max(time.perf_counter() - started, 1e-9)
    slow = size < FAST * seconds and (total - size) * seconds > ENOUGH * size
    processes = (os.cpu_count() or 1) if slow else 1
  if processes < 2 or not _can_be_sent(encoding.vocabulary):
    yield from map(encoding.encode, units)
    return
  with contextlib.ExitStack() as stack:
    workers: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
    for _ in range(processes):
      workers.put(stack.enter_context(contextlib.closing(_Worker(encoding))))
    threads = stack.enter_context(concurrent.futures.ThreadPoolExecutor(processes))

    def run(unit: Sequence[Piece]) -> list[np.ndarray]:
      worker = workers.get()
      try:
        return worker.encode(unit)
      finally:
        workers.put(worker)

    yield from _in_order(threads, run, units, 2 * processes)


def _in_order(
  threads: concurrent.futures.Executor, run: Any, units: Iterable[Any], ahead: int
) -> Iterator[Any]:
  """Yield the results of units, of which `ahead` at most are being computed."""
  waiting: deque[concurrent.futures.Future[Any]] = deque()
  try:
    for unit in units:
      waiting.append(threads.submit(run, unit))
      if len(waiting) >= ahead:
        yield waiting.popleft().result()
    while waiting:
      yield waiting.popleft().result()
  finally:
    for each in waiting:
      each.cancel()


def _can_be_sent(vocabulary: Any) -> bool:
  """Return whether another process can import the class: not that of a plugin's file."""
  module = type(vocabulary).__module__
  try:
    pickle.dumps(vocabulary)
    known = importlib.util.find_spec(module) is not None and module != "__main__"
    return known and bool(sys.executable)
  except Exception:  # Whatever pickling a plugin's class raises.
    return False


class _Worker:
  """A process that encodes units."""

  def __init__(self, encoding: Encoding):
    # Each process is one of many: libraries that use all cores would get in their way.
    environment = os.environ | {"RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "0"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    self._process = subprocess.Popen(
      [sys.executable, "-m", __name__],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      env=environment,
    )
    assert self._process.stdin is not None
    assert self._process.stdout is not None
    self._input, self._output = self._process.stdin, self._process.stdout
    with contextlib.suppress(OSError):  # `encode` reports that the process has ended.
      _send(self._input, encoding)

  def encode(self, unit: Sequence[Piece]) -> list[np.ndarray]:
    """Return the tokens of each piece of a unit."""
    try:
      _send(self._input, list(unit))
      answer = _receive(self._output)
    except (OSError, EOFError):
      status = self._process.wait()
      raise UserError(
        f"A process that encodes text ended with status {status}, perhaps for lack of "
        f"memory. Start again: what is finished is kept."
      ) from None
    if isinstance(answer, Exception):
      raise answer
    found: list[np.ndarray] = answer
    return found

  def close(self) -> None:
    """End the process."""
    with contextlib.suppress(OSError):
      self._input.close()
    self._process.kill()
    self._process.wait()
    self._output.close()


def _send(file: IO[bytes], content: Any) -> None:
  data = pickle.dumps(content, protocol=5)
  file.write(struct.pack("<Q", len(data)) + data)
  file.flush()


def _receive(file: IO[bytes]) -> Any:
  """Return what was sent; raise `EOFError` if the sender has ended."""
  head = file.read(8)
  if len(head) < 8:
    raise EOFError
  return pickle.loads(file.read(struct.unpack("<Q", head)[0]))


def serve(source: IO[bytes], target: IO[bytes]) -> None:
  """Encode the units that are received until there are no more."""
  with contextlib.suppress(EOFError, BrokenPipeError):
    encoding = _receive(source)
    while True:
      unit = _receive(source)
      try:
        answer: Any = encoding.encode(unit)
      except Exception as error:
        answer = error
      _send(target, answer)


if __name__ == "__main__":
  import signal

  # Ctrl-C at a terminal reaches all its processes; the first one ends the others.
  signal.signal(signal.SIGINT, signal.SIG_IGN)
  output = os.fdopen(os.dup(1), "wb")
  os.dup2(2, 1)  # What a library prints is not an answer.
  serve(sys.stdin.buffer, output)
