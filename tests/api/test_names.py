"""The public names are complete for tab completion, documentation and type checkers."""

import inspect
import os
import pydoc
import re
import subprocess
import sys

import pytest

import attention_lab as al
from attention_lab.api.settings import in_keywords
from attention_lab.errors import UserError
from attention_lab.settings.table import LISTED
from tests.commands import ROOT

# A user's file, with the type that each comment gives.
USER = """
import jax
import attention_lab as al

x = jax.numpy.zeros((2, 6, 8))
net = al.attention("sliding_window", window=4, num_heads=2, causal=True)
reveal_type(net)  # AttentionLayer
reveal_type(net(x, padding=x[..., 0] > 0))  # Array
y, state = net.extend(net.initial_state(2, 6), x)
reveal_type(y)  # Array
init, apply, decode = al.functions("standard", num_heads=2, d_model=8, causal=True)
reveal_type(apply(init(jax.random.key(0), x), x, segments=x[..., 0].astype(int)))  # Array
state = decode.init({}, 2, 6)
reveal_type(decode.step({}, state, x)[1].room)  # Array
reveal_type(al.equinox.Attention(d_model=8, key=jax.random.key(0))(x))  # Array
al.attention(num_heads="two")  # error: [arg-type]
apply({}, x, paddings=None)  # error: [call-arg]
net(x, 3)  # error: [arg-type]
"""


def test_every_public_name_is_listed_and_exists():
  assert set(dir(al)) == {*al.__all__, "__version__"}
  for name in al.__all__:
    value = getattr(al, name)
    assert inspect.getdoc(value), name
  with pytest.raises(AttributeError):
    _ = al.atention


def test_functions_show_their_arguments():
  for function in (al.attention, al.functions):
    assert {"num_heads", "causal", "options"} <= set(
      inspect.signature(function).parameters
    )


def test_help_shows_the_functions_that_are_packages_too():
  for function in (al.attention, al.benchmark, al.compare):
    text = pydoc.plain(pydoc.render_doc(function))
    assert function.__wrapped__.__doc__.splitlines()[0] in text
    assert f"{function.__name__}(\n" in text
    assert "Raises:" in text


def test_help_of_the_package_names_every_function():
  functions = [name for name in al.__all__ if name.islower() and "_" not in name]
  missing = [name for name in functions if name not in al.__doc__]
  assert missing == ["softmax"]  # A helper for the authors of attentions.


def test_python_suggests_the_nearest_name():
  with pytest.raises(AttributeError) as caught:
    _ = al.trian
  assert (caught.value.name, caught.value.obj) == ("trian", al)


@pytest.mark.parametrize(
  ("text", "expected"),
  [
    (
      "use --mode=check --attention='bad'; add --skip_checks.",
      "use attention_lab.check; add skip_checks=True.",
    ),
    ("--config.model.norm=post: no.", "model__norm='post': no."),
    (
      "There is no setting --config.model.d_modl.",
      "There is no setting model__d_modl.",
    ),
    ("--config=run.py: there is no such file.", "run.py: there is no such file."),
    ("Name another folder with --workdir=...", "Name another folder with workdir=..."),
    ("--steps=3, --match=none.", "steps=3, match='none'."),
    ("Training needs --mode=compare.", "Training needs --mode=compare."),
  ],
)
def test_messages_are_about_keywords(text, expected):
  assert in_keywords(text) == expected


def test_a_name_that_resembles_no_setting_is_told_in_one_line():
  with pytest.raises(UserError, match=f"no setting 'mode'. {LISTED}"):
    al.train("standard", mode="check")


def test_importing_the_package_loads_no_jax():
  code = "import sys, attention_lab as al; dir(al); print('jax' in sys.modules)"
  done = subprocess.run(
    [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
  )
  assert done.stdout == "False\n"


def test_types_are_complete_for_users(tmp_path):
  pytest.importorskip("mypy")
  file = tmp_path / "user.py"
  file.write_text(USER)
  words = [
    "--strict",
    "--config-file=",
    f"--cache-dir={ROOT / '.mypy_cache'}",
    str(file),
  ]
  done = subprocess.run(
    [sys.executable, "-m", "mypy", "--follow-imports=silent", *words],
    capture_output=True,
    text=True,
    check=False,
    cwd=tmp_path,
    env={**os.environ, "PYTHONPATH": "", "MYPYPATH": str(ROOT)},
  )
  found = re.findall(r"^\S+?:(\d+): (.*)$", done.stdout, re.MULTILINE)
  answers = {}
  for line, text in found:
    type_ = re.search(r'Revealed type is "(.*)"', text)
    code = re.search(r"(error: )?.*(\[[a-z-]+\])$", text)
    answer = type_[1] if type_ else f"error: {code[2]}" if code else None
    if answer:
      answers[int(line)] = re.sub(r"[\w.]+\.(\w+)", r"\1", answer)
  expected = {
    number: line.partition("  # ")[2]
    for number, line in enumerate(USER.splitlines(), 1)
    if "  # " in line
  }
  assert answers == expected, done.stdout + done.stderr
