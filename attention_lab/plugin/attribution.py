"""Attributes exceptions to plugins: one that a plugin raised is reported in one line."""

import contextlib
import traceback

from attention_lab.errors import UserError, summary
from attention_lab.plugin import discovery
from attention_lab.system.files import make_folder, user_cache


def of_plugin(error: BaseException) -> UserError | None:
  """Return a user's error that names the plugin and line that raised; None if none did.

  The traceback is written to the user's cache folder.
  """
  frames = traceback.extract_tb(error.__traceback__)
  own = [frame for frame in frames if discovery.is_plugin_file(frame.filename)]
  if not own:
    return None
  frame = own[-1]
  return UserError(
    f"The plugin {frame.filename}, line {frame.lineno}, in {frame.name}: "
    f"{summary(error)}. {_write_traceback(error)}{_notes(error)}"
  )


def _notes(error: BaseException) -> str:
  """Return the note of the training loop, which states how far the run progressed."""
  notes = getattr(error, "__notes__", [])
  return "".join(f" {note}" for note in notes if note.startswith("The run in"))


def _write_traceback(error: BaseException) -> str:
  path = user_cache() / "traceback.txt"
  with contextlib.suppress(OSError, UserError):
    make_folder(path.parent, "data_dir")
    path.write_text("".join(traceback.format_exception(error)), "utf-8")
    return f"The traceback is in {path}."
  return "Fix the plugin or remove it."
