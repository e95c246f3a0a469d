"""Tests that a mistake in any mode gives one line, at once, and changes no folder."""

import os
import shutil
from pathlib import Path

import pytest

from tests.commands import ROOT, TINY, assert_refused

STORED = ROOT / "tests" / "stored"


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
  """Start in a folder with a run, a run of pairs, a comparison and some files."""
  monkeypatch.chdir(tmp_path)
  for name in ("run", "pairs", "comparison"):
    shutil.copytree(STORED / name, name)
  Path("blank").write_text("\n" * 100)
  Path("link").symlink_to("run")
  before = content()
  yield
  assert content() == before


def content():
  """Return the time of the last change of every file, by its path."""
  return {
    str(path): os.lstat(path).st_mtime_ns
    for path in sorted(Path().rglob("*"))
    if path.is_file()
  }


# Mode, flags separated by spaces, and a part of the answer.
OF_A_RUN = [
  ("evaluate", "", "Name a run with --workdir=..."),
  ("evaluate", "--workdir=nowhere", "There is no run in nowhere."),
  ("evaluate", "--workdir=run/checkpoints", "There is no run in run/checkpoints."),
  ("evaluate", "--workdir=run/config.json", "There is no run in run/config.json."),
  ("evaluate", "--workdir=run --attention=standard", "holds a run of another"),
  ("evaluate", "--workdir=run --config.model.d_model=16", "model.d_model: 8 there"),
  ("evaluate", "--workdir=run --batch_size=7", "does not divide over 8 devices"),
  ("evaluate", "--workdir=run --dry_run", "is for --mode=train and --mode=compare"),
  ("train", "--workdir=run --dry_run --batch_size=16", "Type --batch_size=8 to resume"),
  ("evaluate", "--workdir=run --config.evaluation.average=5", "only 1 of the newest"),
  (
    "evaluate",
    "--workdir=run --config.evaluation.average=2 --config.evaluation.checkpoint=best",
    "omit one of the two",
  ),
  (
    "evaluate",
    "--workdir=run --config.evaluation.files=('a','b')",
    "this run does not translate",
  ),
  (
    "evaluate",
    "--workdir=run --dataset=copy(sequence_length=8,alphabet=20)",
    "trained with 9 tokens, and the dataset has 21",
  ),
  (
    "evaluate",
    "--workdir=run --config.evaluation.split=test",
    "has the splits train, validation.",
  ),
  ("evaluate", "--workdir=run --config.evaluation.split=tset", "Did you mean 'test'?"),
  ("evaluate", "--workdir=run --config.evaluation.stride=0", "take a number above 0"),
  (
    "evaluate",
    "--workdir=run --config.evaluation.stride=2",
    "are not consecutive windows of a text or of token files; omit it.",
  ),
  (
    "evaluate",
    "--workdir=pairs --config.evaluation.stride=1",
    "not consecutive windows",
  ),
  (
    "evaluate",
    "--workdir=run --config.evaluation.split=train --config.evaluation.stride=1",
    "the training split is evaluated on windows in random order",
  ),
  (
    "evaluate",
    "--workdir=run --config.evaluation.extra_lengths=7",
    "take an even number, 2 or more",
  ),
  ("sample", "", "Name a run with --workdir=..."),
  ("sample", "--workdir=run --prompt=zz", "The character 'z' is not"),
  ("sample", "--workdir=run --prompt=", "--prompt is empty"),
  ("sample", "--workdir=run --config.sample.temperature=-1", "take 0 or more"),
  ("sample", "--workdir=run --input_file=blank", "which does not use it"),
  ("sample", "--workdir=run --config.sample.count=0", "take a number above 0"),
  ("sample", "--workdir=run --config.sample.context=long", "Known: extend, trained"),
  ("sample", "--workdir=run --seed=-1", "--config.sample.seed=-1: take 0 or more"),
  ("sample", "--workdir=pairs --input_file=nowhere", "No such file or directory"),
  ("train", "--workdir=run --batch_size=16", "Type --batch_size=8 to resume it"),
  ("train", "--workdir=run --seed=5", "seed: 0 there, 5 here"),
  ("train", "--workdir=run --seeds=2", "name another --workdir for 2 seeds"),
  ("train", "--workdir=run --from=run", "train.start_from: '' there, 'run' here"),
  ("train", "--from=run/checkpoints", "there is no run in this folder"),
  ("train", "--from=", "--from='' is not a path"),
  ("train", "--from=run --config.model.d_model=16", "is of another model"),
  ("train", "--from=run --config.train.from_optimizer=old", "Known: fresh, kept"),
  ("train", "--seeds=1001", "--seeds=1001: take less than 1001"),
  ("compare", "--workdir=run", "holds a single run, not a comparison"),
  ("list", "x", "'x' is no flag"),
  ("benchmark", "--lengths=0", "take whole numbers of 1 or more"),
  ("benchmark", "--config.benchmark.rounds=0", "take a number above 0"),
  ("benchmark", "--attention=linaer", "Did you mean 'linear'?"),
  ("check", "--attention=linaer", "Did you mean 'linear'?"),
  ("check", "--position=ropee", "'ropee' is not a position"),
  ("check", "--workdir=/dev/null/x", "Cannot write to /dev/null/x"),
  ("report", "", "Name the folders of runs or comparisons to join"),
  ("report", "nowhere", "There is no folder nowhere."),
  ("report", "run run", "run is named twice."),
  ("report", "link run", "link is named twice."),
  ("report", "comparison/cells", "is neither a run nor a comparison"),
  ("report", "run/config.json", "There is no folder run/config.json."),
  ("report", "run --steps=3", "--steps has no effect with --mode=report"),
  ("report", "run --config.log.every=3", "--config.log.every has no effect"),
  ("report", "run --config.compare.margin=x", "--config.compare.margin=x: give"),
  ("report", "run --workdir=run", "--workdir=run is in run, which the report reads"),
  ("report", "run --workdir=pairs", "holds config.json, which --mode=report did not"),
  ("train", "--num_processes=2", "go together"),
  ("train", "--coordinator=localhost", "go together"),
  (
    "train",
    "--num_processes=2 --process_id=5 --coordinator=localhost:1",
    "2 processes are numbered from 0 to 1",
  ),
  (
    "train",
    "--num_processes=2 --process_id=x --coordinator=localhost:1",
    "--process_id=x: expected a whole number",
  ),
  (
    "evaluate",
    "--num_processes=2 --process_id=0 --coordinator=localhost:1",
    "runs in one process, and this is one of 2",
  ),
  ("train", "--dataset=text", "needs an option: text(path=...)"),
  ("train", "--dataset=text(path=3)", "text(path=3): expected str"),
  ("train", "--dataset=text(path='blank')", "fewer than 2 distinct"),
  ("train", "--dataset=parallel_text(source='blank')", "needs an option"),
]


@pytest.mark.parametrize(("mode", "words", "answer"), OF_A_RUN)
def test_mistake_in_a_mode_is_rejected(command, mode, words, answer):
  assert_refused(command(f"--mode={mode}", *words.split()), answer)


TWO = "--attention=standard,linear"
ROWS = "--config.compare.rows=(('a',{}),('b',"
OF_A_COMPARISON = [
  ("", "There is nothing to compare"),
  ("--attention=standard,standard", "lists standard twice"),
  ("--attention=standard,linaer", "Row 'linaer': 'linaer' is not an attention"),
  (f"{TWO} --seeds=2,3", "--seeds=2,3: give one value"),
  (f"{TWO} --steps=10,20", "--steps=10,20: give one value"),
  (f"{TWO} --seeds=1000 --batch_size=8,16,24,32,40,48", "rows × 1000 seeds are 12000"),
  (f"{TWO} --tune=x", "write settings with their values"),
  (f"{TWO} --tune=x=1,2", "There is no setting --config.x."),
  (f"{TWO} --tune=train.learning_rate=1", "leaves no choice"),
  (f"{TWO} --tune=train.learning_rate=1,1", "lists 1.0 twice"),
  (f"{TWO} --tune=train.learning_rate=1,x", "learning_rate=x: expected float"),
  (f"{TWO} --tune=batch_size=8,16;batch_size=24,32", "names batch_size twice"),
  (f"{TWO} --tune=attention=standard,linear", "it is either compared or tuned"),
  (f"{TWO} --tune=dataset=copy,sort", "changes what a loss is measured on"),
  (f"{TWO} --tune=model.d_ff=8,16", "changes the size that matched rows share"),
  (f"{TWO} --tune=steps=8,16", "steps cannot be tuned"),
  (f"{TWO} --config.compare.margin=-5%", "give a difference in units"),
  (f"{TWO} --config.compare.stale=drop", "Known: keep, refuse, retrain"),
  (f"{TWO} --config.compare.tune_seeds=1", "take a number above 1"),
  (f"{TWO} --config.compare.jobs=-1", "take 0 or more"),
  (f"{TWO} --config.compare.slurm.minutes=0", "take a number above 0"),
  (f"{TWO} --config.compare.rows=(5,)", "compare.rows has the item 5"),
  ("--config.compare.rows=(('a',{}),)", "has the row 'a' alone"),
  (f"{ROWS}{{'seed':3}}))", "sets seed, which all rows share"),
  (f"{ROWS}{{'stesp':3}}))", "there is no setting 'stesp'"),
  (f"{ROWS}{{'batch_size':'x'}}))", "Row 'b': --config.batch_size='x'"),
  (f"{ROWS}{{}}))", "Rows 'a' and 'b' have equal settings"),
  (f"{ROWS}{{'batch_size':16,'against':'c'}}))", "which is no row"),
  (f"{ROWS}{{'batch_size':16,'against':'b'}}))", "is compared with itself"),
  (f"{ROWS}{{'log.every':16}}))", "sets log.every, which all rows share"),
  (f"{ROWS}{{'batch_size':16}})) --batch_size=8,16", "change that row instead"),
  ("--config.compare.grid=(('attention',('a','b')),)", "Write lists in flags"),
]


@pytest.mark.parametrize(("words", "answer"), OF_A_COMPARISON)
def test_mistake_in_a_comparison_is_rejected(command, words, answer):
  flags = ["--mode=compare", "--workdir=made", *TINY, "--skip_checks", *words.split()]
  assert_refused(command(*flags), answer)


NINES = "9" * 100_000
MANY = ",".join(map(str, range(1, 5000)))
FEWER = ",".join(map(str, range(1, 900)))
HUGE = [
  ("--attention=" + "a*10000," * 2000, "has 16000 characters; a spec has at most"),
  ("--attention=" + "standard*10000," * 600, "names 6000000 layers; a pattern has"),
  ("--attention=standard*10000,standard", "names 10001 layers"),
  (f"--attention={'x' * 100_000}", "has 100000 characters"),
  (f"--attention=standard*{NINES[:4000]}", "write repeats as a whole number"),
  (f"--attention=standard(dropout={NINES[:5000]})", "is not of the form"),
  (f"--position=rope(base={NINES[:3000]}.0)", "rope(base=inf): expected float"),
  (f"--dataset=copy(seed={NINES[:3000]})", "take less than"),
  ("--config.train.schedule=" + "continued(of=" * 700, "is not of the form"),
  (f"--config.train.optimizer={'(' * 9000}", "is not of the form"),
  (f"--{'x' * 100_000}=1", "There is no flag --xxx"),
  (f"--config.{'a.' * 50_000}=1", "There is no setting --config.a.a."),
  (f"--mode={'x' * 100_000}", "--mode=xxx"),
  (f"--workdir={'x/' * 3000}", "File name too long"),
  (f"--plugin={'a.' * 50_000}", "Plugin a.a."),
  (f"--from={'z' * 100_000}", "there is no run in this folder"),
  (f"--steps={NINES}", "expected int"),
  (f"--config.train.learning_rate={NINES}", "take a finite number"),
  (f"--config.train.learning_rate=1e-{NINES}", "take a number above 0"),
  (f"--config.evaluation.extra_lengths={MANY}", "has 4999 numbers; take at most 100"),
  (f"--lengths={MANY}", "--lengths has 4999 numbers; take at most 100"),
  (f"--config.evaluation.extra_lengths={'[' * 5000}", "expected tuple"),
  ("--config.plugins=(5,)", "expected tuple of texts"),
  (f"--mode=compare --batch_size={MANY}", "--batch_size has 4999 combinations"),
  (
    f"--mode=compare {TWO} --batch_size={FEWER}",
    "combinations; a comparison has at most 1000",
  ),
  (
    f"--mode=compare {TWO} --tune=train.learning_rate={MANY}",
    "--tune has 4999 combinations",
  ),
]


@pytest.mark.parametrize(("words", "answer"), HUGE, ids=[a for _, a in HUGE])
def test_what_is_too_much_is_refused_before_it_is_made(command, words, answer):
  assert_refused(command(*TINY, "--skip_checks", *words.split()), answer)
