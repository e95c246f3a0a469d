"""An allocation that failed is answered with what to make smaller."""

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
def test_what_found_no_room_is_told_in_a_line_with_the_remedy(error):
  told = str(out_of_memory(error))
  assert told.startswith("There is not enough memory")
  assert "Lower --batch_size" in told
  assert "\n" not in told


def test_another_failure_is_left_to_others():
  assert out_of_memory(RuntimeError("INTERNAL: something else")) is None
