"""Measures the start of several processes on this machine, and what they exchange.

python -m tests.distributed.measure --counts=2,4,8,16
"""

import argparse
import json
import os
import time

from tests import commands, cpu
from tests.distributed.test_group import ended, free_port

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
    print(json.dumps({key: round(value, 3) for key, value in figures.items()}))


def repeat(act, times=REPEATS):
  """Return the milliseconds of a call, the mean over several after the first."""
  act()
  begin = time.monotonic()
  for _ in range(times):
    act()
  return 1000 * (time.monotonic() - begin) / times


if __name__ == "__main__":
  parser = argparse.ArgumentParser()
  parser.add_argument("--counts", default="2,4,8,16")
  os.environ |= cpu.environment(1)
  for number in map(int, parser.parse_args().counts.split(",")):
    place = (free_port(), number)
    processes = [commands.start(*place, i, enter=main) for i in range(number)]
    results = ended(processes, 300)
    assert all(status == 0 for status, _, _ in results), results
    print(results[0][1].splitlines()[-1], flush=True)
