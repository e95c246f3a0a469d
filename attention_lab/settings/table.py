"""The table of settings, by "section.key". Everything about a setting is said here once.

From it derive the defaults, the flags and their help, the validation of values, what a
resumed run may change, and docs/guides/settings.md.
"""

from collections.abc import Mapping

from attention_lab.settings import commands, compare, experiment
from attention_lab.settings.setting import Setting

SETTINGS: Mapping[str, Setting] = {
  **experiment.SETTINGS,
  **commands.SETTINGS,
  **compare.SETTINGS,
}
# What to say where there are too many names to list.
LISTED = "`python -m attention_lab.settings.page` prints all settings."
