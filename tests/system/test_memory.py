"""A failed allocation is reported with the settings to lower."""

import pytest

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
