"""A failed allocation is reported with the settings to lower."""

from types import SimpleNamespace

import pytest

from attention_lab.system import memory
from attention_lab.system.memory import out_of_memory


@pytest.mark.parametrize(
  "error",
  [
    MemoryError(),
    RuntimeError("RESOURCE_EXHAUSTED: 9 bytes"),
    RuntimeError("INTERNAL: Error dispatching computation:\nOut of memory, 9 bytes."),
  ],
)
def test_failed_allocation_is_reported_in_one_line_with_the_remedy(error):
  message = str(out_of_memory(error))
  assert message.startswith("There is not enough memory")
  assert "Lower --batch_size" in message
  assert "\n" not in message


def test_other_errors_are_not_converted():
  assert out_of_memory(RuntimeError("INTERNAL: something else")) is None


def test_free_memory_is_returned_where_the_library_can(monkeypatch):
  calls = []
  library = SimpleNamespace(malloc_trim=calls.append)
  monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: library)
  memory.return_free_memory()
  assert calls == [0]
  del library.malloc_trim
  memory.return_free_memory()
