"""One process of a group, which plays a scenario."""

import ctypes
import os
import signal
import sys
import time

import jax
import numpy as np

from attention_lab.distributed import start
from attention_lab.distributed.devices import AXIS, all_devices
from attention_lab.distributed.group import Group
from attention_lab.errors import UserError

LAG = 2.5
GLOO = 30.0  # Seconds that Gloo waits for all processes at their first collective.
FAULTY = 1  # Number of the faulty process, unless a scenario names another.
# Bits that sums of floats change; more of them than the smallest broadcast has.
SECRET = np.array([-0.0, 1e-45, np.nan] * 30, np.float32).tobytes() + b"\0of the last"


def main(*words):
  """Play a scenario; a mistake ends the process as in `attention_lab.main`."""
  try:
    play(*words)
  except UserError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)


def play(port, count, index, scenario):
  """Join the group, exchange values, and play the scenario at step 3."""
  join = 4.0 if scenario == "is_missing" else 20.0
  if scenario == "has_other_versions" and index == FAULTY:
    versions = start.all_versions()
    start.all_versions = lambda: versions | {"optax": "0.0.1"}
  if scenario == "starts_late" and index == FAULTY:
    connect = start._connect
    start._connect = lambda: (time.sleep(GLOO + 5), connect())
  place = start.Place(index, count, f"127.0.0.1:{port}")
  if scenario == "is_launched":
    place = start.place(None, None, None, os.environ)
    index, count, _ = place
  with start.joined(place, join, LAG) as group:
    group.begin()
    print(group.gather(b"%02d" % index), group.highest(index))
    print(group.share(lambda: SECRET, count - 1) == SECRET, group.share(lambda: b""))
    for step in range(6):
      if step == 3:
        SCENARIOS.get(scenario, nothing)(group)
      group.highest(step)
  print("together")


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


def compile_for_long(group):
  """Keep the others waiting for longer than Gloo waits to connect; then add 1 to 4."""
  if group.index == FAULTY:
    with group.busy("compiling"):
      time.sleep(GLOO + 5)
  add = jax.pmap(lambda x: jax.lax.psum(x, AXIS), AXIS, devices=all_devices())
  with group.busy("calling"):
    assert (np.asarray(add(np.ones(2)).addressable_shards[0].data) == 4).all()


def kill(number):
  """Return what sends a signal to this process."""
  return lambda group: os.kill(os.getpid(), number)


def fail(error):
  """Return what raises an error."""

  def act(group):
    raise error

  return act


SCENARIOS = {
  "compiles_for_long": compile_for_long,
  "is_slow": in_process(FAULTY, lambda group: time.sleep(LAG / 3)),
  "compiles_alone": in_process(FAULTY, be_busy),
  "first_saves": in_process(0, be_busy),
  "is_killed": in_process(FAULTY, kill(signal.SIGKILL)),
  "first_is_killed": in_process(0, kill(signal.SIGKILL)),
  "leaves": in_process(FAULTY, lambda group: os._exit(0)),
  "is_stopped": in_process(FAULTY, kill(signal.SIGSTOP)),
  "first_is_stopped": in_process(0, kill(signal.SIGSTOP)),
  "hangs": in_process(FAULTY, lambda group: time.sleep(60)),
  "first_hangs": in_process(0, lambda group: time.sleep(60)),
  "holds_the_gil": in_process(FAULTY, lambda group: ctypes.PyDLL(None).sleep(60)),
  "makes_a_mistake": in_process(FAULTY, fail(UserError("own mistake"))),
  "first_makes_a_mistake": in_process(0, fail(UserError("own mistake"))),
  "raises": in_process(FAULTY, fail(ValueError("invalid example"))),
  "is_out_of_memory": in_process(
    FAULTY, fail(jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory"))
  ),
}
