"""A process of a group that does what its scenario says; it needs no jax.

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
WRONG = 1  # The member that misbehaves, but where a scenario says another.


def main(port, count, index, scenario):
  """Meet the others, and behaves."""
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
  """All is well."""


def of(wrong, act):
  """A scenario in which one member does something."""

  def scenario(group: Group):
    if group.index == wrong:
      act(group)

  return scenario


def be_busy(group):
  """Take long over what may take long."""
  with group.busy("compiling"):
    time.sleep(1.5 * LAG)
  time.sleep(LAG / 2)  # The others have waited for longer than this by now.


SCENARIOS = {
  "well": nothing,
  "missing": nothing,
  "straggles": of(WRONG, lambda group: time.sleep(LAG / 3)),
  "compiles": be_busy,
  "compiles_alone": of(WRONG, be_busy),
  "first_saves": of(0, be_busy),
  "is_killed": of(WRONG, lambda group: os.kill(os.getpid(), signal.SIGKILL)),
  "first_is_killed": of(0, lambda group: os.kill(os.getpid(), signal.SIGKILL)),
  "is_stopped": of(WRONG, lambda group: os.kill(os.getpid(), signal.SIGSTOP)),
  "first_is_stopped": of(0, lambda group: os.kill(os.getpid(), signal.SIGSTOP)),
  "sleeps": of(WRONG, lambda group: time.sleep(60)),
  "first_sleeps": of(0, lambda group: time.sleep(60)),
  "keeps_the_lock": of(WRONG, lambda group: ctypes.PyDLL(None).sleep(60)),
  "fails": of(
    WRONG, lambda group: group.end("my own", 2, others="process 1: its words")
  ),
  "is_elsewhere": of(WRONG, lambda group: group.gather("the wrong place", 0)),
}


if __name__ == "__main__":
  main(*map(int, sys.argv[1:4]), sys.argv[4])
