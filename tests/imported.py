"""Imports what a run needs; no device is touched, no thread started: it can be forked."""

import attention_lab.main
import attention_lab.mode.compare
import attention_lab.mode.evaluate
import attention_lab.mode.sample
import attention_lab.mode.train  # noqa: F401
from attention_lab import plugins

plugins.load()
