"""What a run needs, imported; no device is touched, no thread started: it can be forked."""

import attention_lab.mode.compare
import attention_lab.mode.evaluate
import attention_lab.mode.sample
import attention_lab.mode.train  # noqa: F401
from attention_lab.benchmark import timing
from attention_lab.plugin import discovery

discovery.load()
# Nobody reads how quick a device of tests is: it takes half a second to measure.
timing.MATRIX, timing.SHORTEST = 64, 0.0
