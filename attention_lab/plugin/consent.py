"""Consent: plugins that a run's config.json names are loaded only if the user agrees.

Loading a plugin runs its code, and the folder of a run may come from another user.
"""

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from attention_lab.errors import UserError
from attention_lab.plugin.discovery import resolve


def merged(
  configured: Sequence[str], typed: Iterable[str], command: str, trusted: bool
) -> tuple[str, ...]:
  """Return the plugins to load: those of the configuration, and those of --plugin.

  Args:
    configured: plugins that the configuration names.
    typed: plugins that --plugin names. A file replaces one of the same name elsewhere.
    command: the command line, for the message; "" for a call.
    trusted: whether the configuration is the user's own, or is trusted like it.

  Raises:
    UserError: the configuration is that of a run, and names a plugin that the user did
      not name.
  """
  named = [resolve(plugin) for plugin in typed]
  known = {Path(plugin).name for plugin in named}
  others = [plugin for plugin in configured if Path(plugin).name not in known]
  if others and not trusted:
    words = (shlex.quote(f"--plugin={plugin}") for plugin in others)
    typed_again = " ".join([*filter(None, [command]), *words])
    raise UserError(
      f"This run names the plugin {', '.join(others)}. Loading it runs its code: if "
      f"you trust it, type {typed_again}, or --trust_plugins instead."
    )
  return tuple(dict.fromkeys([*others, *named]))
