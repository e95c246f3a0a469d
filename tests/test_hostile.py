"""Tests that untrusted files run no code and are read only within their size and folder."""

import ast
import hashlib
import io
import json
import os
import pickle
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest

from attention_lab import config as configs
from attention_lab import main
from attention_lab.dataset.base.token_file import token_file
from attention_lab.errors import UserError
from attention_lab.run import folder as run_folder
from attention_lab.run.checkpoint import DIGEST_LENGTH, Checkpoints
from attention_lab.run.metrics_file import MetricsFile
from attention_lab.settings import flags as command_line
from attention_lab.system.files import made_once, write_atomically, write_json
from tests.commands import ROOT, assert_refused

LIKE = {"w": np.zeros(3, np.float32)}
DATASET = "copy(sequence_length=8, validation_examples=8)"


class Touches:
  """Creates a file when it is unpickled."""

  def __init__(self, path):
    self.path = path

  def __reduce__(self):
    return Path.touch, (self.path,)


@pytest.fixture
def trace(tmp_path):
  """Return code that leaves a file if it is run."""
  path = tmp_path / "trace"
  pickle.loads(pickle.dumps(Touches(path)))
  assert path.exists()
  path.unlink()
  return path


def put(folder, content, step=9):
  """Write a file under the name of a checkpoint with this content."""
  digest = hashlib.sha256(content).hexdigest()[:DIGEST_LENGTH]
  (folder / f"{step:09d}-{digest}.npz").write_bytes(content)


def archive(members, compression=zipfile.ZIP_STORED):
  content = io.BytesIO()
  with zipfile.ZipFile(content, "w", compression) as file:
    for name, data in members.items():
      file.writestr(name, data)
  return content.getvalue()


def array(value, claims=None):
  """Return an array as .npy, with the shape `claims` in its header if it is given."""
  content = io.BytesIO()
  if claims is not None:
    header = {"descr": "<f4", "fortran_order": False, "shape": claims}
    np.lib.format.write_array_header_1_0(content, header)
    return content.getvalue() + np.asarray(value).tobytes()
  np.save(content, value)
  return content.getvalue()


META = {"meta.json.npy": array(np.frombuffer(b"{}", np.uint8))}
HOSTILE = {
  "compressed": archive(META | {"['w'].npy": array(LIKE["w"])}, zipfile.ZIP_DEFLATED),
  "a larger shape": archive(META | {"['w'].npy": array(LIKE["w"], (10**13,))}),
  "a negative shape": archive(META | {"['w'].npy": array(LIKE["w"], (-3,))}),
  "not an array": archive(META | {"['w'].npy": b"something else"}),
  "not an archive": array(LIKE["w"]),
  "empty": b"",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_invalid_checkpoint_counts_as_damaged(tmp_path, capsys, kind):
  checkpoints = Checkpoints(tmp_path, 3)
  checkpoints.save(1, LIKE, {"validation_loss": None})
  put(tmp_path, HOSTILE[kind])
  assert checkpoints.restore(LIKE).path.name.startswith("000000001")
  assert "is damaged; trying the one before it" in capsys.readouterr().err
  assert checkpoints.files() == {}


def test_checkpoint_is_not_unpickled(tmp_path, trace):
  content = io.BytesIO()
  np.savez(content, **{"['w']": np.array([Touches(trace)] * 3, object)})
  folder = tmp_path / "checkpoints"
  folder.mkdir()
  put(folder, content.getvalue())
  with pytest.raises(UserError, match="Every checkpoint in .* is damaged"):
    Checkpoints(folder, 3).restore(LIKE)
  put(folder, pickle.dumps(Touches(trace)))
  with pytest.raises(UserError, match="is damaged"):
    Checkpoints(folder, 3).restore(LIKE)
  assert not trace.exists()


@pytest.mark.parametrize("file", ["ends.npy", "tokens"])
@pytest.mark.parametrize("content", ["pickle", "object array", "short"])
def test_token_file_is_not_unpickled_or_read_beyond_its_end(
  tmp_path, trace, file, content
):
  make = lambda: token_file(  # noqa: E731
    tmp_path / "data" / "tokens", lambda: ["a", "b"], lambda x: [[1, 2]] * len(x), 5, ""
  )
  assert make().lengths.tolist() == [2, 2]
  objects = io.BytesIO()
  np.save(objects, np.array([Touches(trace)] * 3, object))
  (tmp_path / "data" / "tokens" / file).write_bytes(
    {
      "pickle": pickle.dumps(Touches(trace)),
      "object array": objects.getvalue(),
      "short": b"\1",
    }[content]
  )
  with pytest.raises(UserError, match=r"are damaged\. Remove that folder"):
    make()
  assert not trace.exists()


@pytest.mark.parametrize("file", ["ends.npy", "tokens"])
@pytest.mark.parametrize("bit", range(0, 8, 3))
def test_token_file_with_a_flipped_bit_is_refused(tmp_path, file, bit):
  make = lambda: token_file(  # noqa: E731
    tmp_path / "data" / "tokens", lambda: ["a", "b"], lambda x: [[1, 2]] * len(x), 5, ""
  )
  make()
  path = tmp_path / "data" / "tokens" / file
  content = bytearray(path.read_bytes())
  content[-9 if file == "ends.npy" else 1] ^= (
    1 << bit
  )  # The first end, the second token.
  path.write_bytes(content)
  with pytest.raises(UserError, match=r"are damaged\. Remove that folder"):
    make()


@pytest.fixture
def foreign_plugin(tmp_path, monkeypatch, own_flags, trace):
  """Store a run of another user, whose plugin would leave a trace; return the plugin."""
  monkeypatch.chdir(tmp_path)
  Path("theirs.py").write_text(f"open({str(trace)!r}, 'w').close()\n")
  plugin = str(Path("theirs.py").resolve())
  config = configs.get_config().to_dict() | {
    "plugins": [plugin],
    "dataset": DATASET,
    "compile_cache": "theirs",
  }
  os.mkdir("run")
  write_json(Path("run/config.json"), {"config": config})
  return plugin


@pytest.mark.parametrize("mode", main.mode_names())
def test_plugin_of_another_user_needs_consent_and_is_not_run(
  command, foreign_plugin, trace, mode
):
  before = Path("run/config.json").read_bytes()
  result = command("--workdir=run", f"--mode={mode}")
  if mode == "compare":  # No comparison is made in the folder of a run.
    assert_refused(result, "holds a single run")
  elif mode == "report":  # It reads runs without their plugins.
    assert_refused(result, "Name the folders")
  else:
    assert_refused(result, f"--plugin={foreign_plugin}, or --trust_plugins instead")
  assert not trace.exists()
  assert Path("run/config.json").read_bytes() == before


def read(*words):
  return main.read_config(command_line.parse(["main.py", *words]))


@pytest.mark.parametrize("word", ["--plugin=theirs.py", "--trust_plugins"])
def test_named_or_trusted_plugin_is_loaded(foreign_plugin, word):
  assert read("--workdir=run", word).plugins == (foreign_plugin,)


def test_moved_plugin_is_loaded_from_the_path_of_the_user(foreign_plugin):
  os.mkdir("new")
  os.rename("theirs.py", "new/theirs.py")
  named = read("--workdir=run", "--plugin=new/theirs.py").plugins
  assert named == (str(Path("new/theirs.py").resolve()),)


def test_naming_another_plugin_gives_no_consent(foreign_plugin):
  with pytest.raises(UserError, match="This run names the plugin"):
    read("--workdir=run", "--plugin=mine.py")


def test_compile_cache_of_a_stored_run_is_not_used(foreign_plugin):
  assert read("--workdir=run", "--trust_plugins").compile_cache == ""
  words = ("--workdir=run", "--trust_plugins", "--config.compile_cache=mine")
  assert read(*words).compile_cache == "mine"


@pytest.mark.parametrize(
  "code", ["standard(x=__import__('os').system('true'))", "__import__('os')", "a.b()"]
)
def test_stored_setting_is_never_executed(command, foreign_plugin, code):
  content = {"config": {"attention": code, "dataset": DATASET, "skip_checks": True}}
  write_json(Path("run/config.json"), content)
  assert_refused(command("--workdir=run"), repr(code)[1:-1])


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/b", "..", ""])
def test_file_outside_the_folder_of_a_run_is_rejected(tmp_path, name):
  (tmp_path / "secret").write_text("secret")
  (tmp_path / "run").mkdir()
  files = {name: hashlib.sha256(b"secret").hexdigest()}
  write_json(tmp_path / "run" / "config.json", {"config": {}, "files": files})
  with pytest.raises(UserError, match="is not the name of a file"):
    run_folder.kept(tmp_path / "run")


def _make(path):
  write_atomically(path.parent, lambda file: None, lambda _: path.name)


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o027])
def test_permissions_of_files_follow_the_umask(tmp_path, umask):
  before = os.umask(umask)
  try:
    write_json(tmp_path / "a.json", {})
    Checkpoints(tmp_path, 3).save(1, LIKE, {})
    MetricsFile(tmp_path / "metrics.jsonl").close()
    made_once(tmp_path / "data" / "made", _make, "data_dir")
  finally:
    os.umask(before)
  found = {p.name: stat.S_IMODE(p.stat().st_mode) for p in tmp_path.rglob("*")}
  assert len(found) == 6
  for name, mode in found.items():
    allowed = 0o777 if name == "data" else 0o666
    assert mode == allowed & ~umask, name


# Sends pickles over pipes to the processes that it has started, and reads none from files.
PIPES = ROOT / "attention_lab" / "dataset" / "base" / "encoder.py"


def test_package_does_not_unpickle_or_evaluate():
  for path in (ROOT / "attention_lab").rglob("*.py"):
    for node in ast.walk(ast.parse(path.read_text())):
      if isinstance(node, ast.Import | ast.ImportFrom):
        names = {alias.name for alias in node.names} | {getattr(node, "module", "")}
        names -= {"pickle"} if path == PIPES else set()
        assert not names & {"pickle", "dill", "cloudpickle", "yaml", "marshal"}, path
      if isinstance(node, ast.Call):
        name = getattr(node.func, "id", "")
        assert name not in {"eval", "exec", "compile"}, (path, node.lineno)
        for keyword in node.keywords:
          if keyword.arg == "allow_pickle":
            assert keyword.value.value is False, path


def test_settings_of_a_run_are_read_as_json(tmp_path):
  path = tmp_path / "config.json"
  path.write_text(json.dumps({"config": {"steps": "__import__('os')"}}))
  with pytest.raises(UserError, match="expected int"):
    configs.from_stored(run_folder.stored_config(tmp_path))
