"""Measures the start of several processes on this machine, and what they exchange.

python -m tests.distributed.measure --counts=2,4,8,16
python -m tests.distributed.measure --counts=2,16 --scenario=is_killed
"""

import argparse
import json
import os
import time

import numpy as np

from tests import commands, cpu
from tests.distributed.test_group import ended, free_port, play

REPEATS = 50
STATE = 1 << 22  # Bytes of a broadcast.


def main(port, count, index):
  """Join the group and measure; the first process prints the figures as JSON."""
  from attention_lab.distributed import service, start
  from attention_lab.system.code_hash import code_hashes

  code, begin = code_hashes(), time.monotonic()
  place = start.Place(index, count, f"127.0.0.1:{port}")
  with start.joined(place, 120.0, 60.0) as group:
    joined = time.monotonic()
    start.refuse_differences(group, "code", code)
    agreed = time.monotonic()
    figures = {
      "processes": count,
      "join_s": joined - begin,
      "agree_s": agreed - joined,
      "highest_ms": repeat(lambda: group.highest(index)),
      "hashes_ms": repeat(lambda: group.gather(bytes(32))),
      "share_4_MiB_ms": repeat(lambda: group.share(lambda: bytes(STATE)), 10),
      "text_ms": repeat(lambda: service.get(start.HELLO)),
    }
    figures["end_s"] = -time.monotonic()
  figures["end_s"] += time.monotonic()
  if group.first:
    print(
      json.dumps({key: np.round(value, 3).tolist() for key, value in figures.items()})
    )


def repeat(act, times=REPEATS):
  """Return the milliseconds of a call and those of this process's CPU time.

  They are the mean over several calls after the first.
  """
  act()
  begin = time.monotonic(), time.process_time()
  for _ in range(times):
    act()
  end = time.monotonic(), time.process_time()
  return [1000 * (b - a) / times for a, b in zip(begin, end, strict=True)]


def run(number):
  """Start a number of processes and print what was measured."""
  port = free_port()
  processes = [commands.start(port, number, i, enter=main) for i in range(number)]
  results = ended(processes, 300)
  assert all(status == 0 for status, _, _ in results), results
  print(results[0][1].splitlines()[-1], flush=True)


def fail(scenario, number):
  """Play a scenario of `member`; print the seconds from the start to the end of all."""
  begin = time.monotonic()
  statuses = {status for status, _, _ in play(scenario, number)}
  print(scenario, number, round(time.monotonic() - begin, 1), statuses, flush=True)


if __name__ == "__main__":
  parser = argparse.ArgumentParser()
  parser.add_argument("--counts", default="2,4,8,16")
  parser.add_argument("--scenario", help="measure the end of a scenario instead")
  options = parser.parse_args()
  os.environ |= cpu.environment(1)
  for count in map(int, options.counts.split(",")):
    fail(options.scenario, count) if options.scenario else run(count)
