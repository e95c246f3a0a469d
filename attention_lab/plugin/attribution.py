"""Attributes exceptions to plugins: one that a plugin raised is reported in one line."""

import contextlib
import sys
import threading
import traceback
from pathlib import Path

from attention_lab.errors import UserError, frames_of, summary
from attention_lab.system.code_hash import is_plugin_file
from attention_lab.system.files import make_folder, user_cache, write_file


def of_plugin(error: BaseException) -> UserError | None:
  """Return a user's error that names the plugin and line that raised; None if none did.

  The traceback is written to the user's cache folder.
  """
  own = [frame for frame in frames_of(error) if is_plugin_file(frame.filename)]
  if not own:
    return None
  frame = own[-1]
  return UserError(
    f"The plugin {frame.filename}, line {frame.lineno}, in {frame.name}: "
    f"{summary(error)}. {_write_traceback(error)}{_notes(error)}"
  )


def current_line() -> str:
  """Return the plugin's line that the main thread is in, as " (mine.py, line 3)", or ""."""
  frame = sys._current_frames().get(threading.main_thread().ident or 0)
  for entry in reversed(traceback.extract_stack(frame)):
    if is_plugin_file(entry.filename):
      return f" ({Path(entry.filename).name}, line {entry.lineno})"
  return ""


def _notes(error: BaseException) -> str:
  """Return the note of the training loop, which states how far the run progressed."""
  notes = getattr(error, "__notes__", [])
  return "".join(f" {note}" for note in notes if note.startswith("The run in"))


def _write_traceback(error: BaseException) -> str:
  path = user_cache() / "traceback.txt"
  with contextlib.suppress(OSError, UserError):
    make_folder(path.parent, "data_dir")
    text = "".join(traceback.format_exception(error))
    write_file(path, text.encode("utf-8", "backslashreplace"))
    return f"The traceback is in {path}."
  return "Fix the plugin or remove it."
