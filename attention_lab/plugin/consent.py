"""Plugins that a run's config.json names are loaded only where the user names them too.

Loading a plugin runs its code, and a run's folder may come from somebody else.
"""

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from attention_lab.errors import UserError
from attention_lab.plugin.discovery import resolve


def merged(
  configured: Sequence[str], typed: Iterable[str], command: str, trusted: bool
) -> tuple[str, ...]:
  """The plugins to load: those of the configuration, and those that were typed.

  Args:
    configured: what the configuration names.
    typed: what --plugin named. A file stands for one of the same name elsewhere.
    command: what was typed, for the message.
    trusted: whether the configuration is the user's own, or is trusted as if it were.

  Raises:
    UserError: the configuration is a run's, and names a plugin that the user does not.
  """
  named = [resolve(plugin) for plugin in typed]
  known = {Path(plugin).name for plugin in named}
  others = [plugin for plugin in configured if Path(plugin).name not in known]
  if others and not trusted:
    words = " ".join(shlex.quote(f"--plugin={plugin}") for plugin in others)
    raise UserError(
      f"This run names the plugin {', '.join(others)}. To load it is to run its code: if "
      f"you trust it, type {command} {words}, or --trust_plugins in its place."
    )
  return tuple(dict.fromkeys([*others, *named]))
