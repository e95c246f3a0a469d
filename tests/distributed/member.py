"""One process of a group, which plays a scenario without importing jax.

python tests/distributed/member.py PORT COUNT INDEX SCENARIO
"""

import ctypes
import os
import signal
import sys
import time

from attention_lab.distributed.group import Group
from attention_lab.distributed.join import join, join_as_first, listen
from attention_lab.errors import UserError

LAG = 2.5
JOIN = 20.0
FAULTY = 1  # Index of the faulty process, unless a scenario names another.


def main(port, count, index, scenario):
  """Join the group, exchange values, and play the scenario at step 3."""
  within = {"missing": 1.0, "impatient": 5.0}.get(scenario, JOIN)
  try:
    if index == 0:
      group = join_as_first(listen("127.0.0.1", port), count, within, LAG)
    else:
      group = join(["127.0.0.1"], port, index, count, within, LAG)
  except UserError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)
  group.begin()
  print(group.exchange("a greeting", f"I am {index}.".encode()))
  print(group.share("a secret", lambda: b"\x00of the first"), group.highest("x", index))
  for step in range(6):
    if step == 3:
      SCENARIOS[scenario](group)
    group.gather(f"step {step}", step)
  group.leave(lambda: print("together"))


def nothing(group):
  """Do nothing."""


def in_process(index, act):
  """Return a scenario in which only the process `index` calls `act`."""

  def scenario(group: Group):
    if group.index == index:
      act(group)

  return scenario


def be_busy(group):
  """Exceed the lag within `busy`, and then stay below the lag."""
  with group.busy("compiling"):
    time.sleep(1.5 * LAG)
  time.sleep(LAG / 2)  # The others have already waited for longer than LAG.


SCENARIOS = {
  "succeeds": nothing,
  "missing": nothing,
  "is_slow": in_process(FAULTY, lambda group: time.sleep(LAG / 3)),
  "compiles": be_busy,
  "compiles_alone": in_process(FAULTY, be_busy),
  "first_saves": in_process(0, be_busy),
  "is_killed": in_process(FAULTY, lambda group: os.kill(os.getpid(), signal.SIGKILL)),
  "first_is_killed": in_process(0, lambda group: os.kill(os.getpid(), signal.SIGKILL)),
  "is_stopped": in_process(FAULTY, lambda group: os.kill(os.getpid(), signal.SIGSTOP)),
  "first_is_stopped": in_process(0, lambda group: os.kill(os.getpid(), signal.SIGSTOP)),
  "hangs": in_process(FAULTY, lambda group: time.sleep(60)),
  "first_hangs": in_process(0, lambda group: time.sleep(60)),
  "holds_the_gil": in_process(FAULTY, lambda group: ctypes.PyDLL(None).sleep(60)),
  "fails": in_process(
    FAULTY,
    lambda group: group.end("own message", 2, others="process 1: message for others"),
  ),
  "is_out_of_order": in_process(
    FAULTY, lambda group: group.gather("another exchange", 0)
  ),
}


if __name__ == "__main__":
  main(*map(int, sys.argv[1:4]), sys.argv[4])
