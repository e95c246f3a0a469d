"""Updates per second of a JoeyNMT run, by the clock of its log.

python experiments/peers/joeynmt_speed.py PEER/model/train.log

From the first line about an update to the last one: reading the data and starting up are
left out, and joeynmt_config.py asks for no validation. The loss is JoeyNMT's, the KL
divergence from smoothed targets: cross-entropy less the smoothing's entropy.
"""

import argparse
import datetime
import re
import sys
from pathlib import Path

LINE = re.compile(
  r"([\d-]+ [\d:]+,\d+) .*Epoch +\d+, Step: +(\d+), Batch Loss: +(\S+),"
)


def main() -> None:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument("log", type=Path)
  lines = LINE.findall(parser.parse_args().log.read_text("utf-8"))
  if len(lines) < 2:
    sys.exit("The log tells of less than two updates.")
  times = [
    datetime.datetime.strptime(line[0], "%Y-%m-%d %H:%M:%S,%f") for line in lines
  ]
  seconds = (times[-1] - times[0]).total_seconds()
  updates = int(lines[-1][1]) - int(lines[0][1])
  print(
    f"{updates:,} updates in {seconds:,.1f} s: {updates / seconds:.3f} a second; "
    f"loss {lines[0][2]} → {lines[-1][2]} nats a target token"
  )


if __name__ == "__main__":
  main()
