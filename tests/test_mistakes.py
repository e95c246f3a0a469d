"""Tests that a mistake in flags, settings or names gives one line and creates no file.

Mistakes in files, data and plugins are in test_mistaken_files.py.
"""

import os

import pytest

from attention_lab import config as configs
from attention_lab.errors import UserError
from attention_lab.settings.table import SETTINGS
from tests.commands import TINY, assert_refused

NUMBERS = {
  key: setting.type for key, setting in SETTINGS.items() if setting.type in (int, float)
}
INVALID = ["-1", "nan", "-inf", "inf", "1e400", "x", "", "None"]
INVALID += ["1e39", "0x10", "(1,)", "True", "1 2", "9" * 5000]
FRACTIONS_OR_TOO_LARGE = ["1.5", "1e3", "1" + "0" * 30, str(2**32)]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)


NOT_NEGATIVE = [key for key, setting in SETTINGS.items() if setting.at_least == 0]


MAY_BE_LARGE = ["train.tokens"]  # Large runs see more tokens than 32 bits hold.


def refusal(key, text):
  """Return the message for a setting's value; "" if it is accepted."""
  config = configs.get_config()
  try:
    configs.set_text(config, key, text)
    configs.validate(config)
  except UserError as error:
    return str(error)
  return ""


@pytest.mark.parametrize("key", NUMBERS)
def test_numeric_setting_rejects_invalid_text(key):
  wrong = INVALID + (FRACTIONS_OR_TOO_LARGE if NUMBERS[key] is int else [])
  if key not in NOT_NEGATIVE:
    wrong = [*wrong, "0"]
  if key in MAY_BE_LARGE:
    wrong = [text for text in wrong if text != str(2**32)]
  flag = configs.flag_of(key)
  for text in wrong:
    message = refusal(key, text)
    assert message.startswith((f"{flag}=", f"--config.{key}=")), (text, message)
    assert "\n" not in message


@pytest.mark.parametrize("key", NOT_NEGATIVE)
def test_setting_that_may_be_zero_accepts_zero(key):
  assert refusal(key, "0") == ""


COMPONENTS = [
  # Specs.
  ("--attention=standard*9999999999", "write repeats as a whole number"),
  ("--attention=standard*10**10", "In 'standard*10**10'"),
  ("--attention=standard(x=" + "(" * 500 + ")", "is not of the form"),
  ("--attention=" + "(" * 300 + "standard" + ")" * 300, "is not of the form"),
  ("--attention=standard(dropout=" + "-" * 5000 + "1)", "is "),
  ("--attention=standard(dropout=[" + "0," * 50_000 + "])", "at most 10000"),
  ("--attention=standard(dropout=1e999)", "expected float"),
  ("--attention=standard(dropout='0.1')", "expected float"),
  ("--attention=standard(dropout=nan)", "expected float"),
  ("--attention=standard(num_kv_heads=0)", "Take one of"),
  ("--attention=standard(num_kv_heads=-1)", "Take one of"),
  ("--attention=standard(num_kv_heads=99999999999)", "take less than 2147483648"),
  ("--attention=standard(heads=2)", "has no option 'heads'"),
  ("--attention=standard(bias=1)", "expected bool"),
  ("--attention=sliding_window(window=0)", "window"),
  ("--attention=sliding_window(window=-5)", "window"),
  ("--attention=sliding_window(window=1.5)", "expected int"),
  ("--attention=sliding_window(8)", "name every option"),
  ("--attention=standrad*1", "Did you mean 'standard'?"),
  ("--attention=standard;standard", "is not of the form"),
  ("--attention=standard(dropout=__import__('os'))", "is not a literal"),
  ("--position=rope(base=0.0)", "base"),
  ("--position=rope(base=-1.0)", "base"),
  ("--position=none(x=1)", "has no option 'x'. It has none."),
  ("--position=rope,none", "names 2 components, but one is expected"),
  ("--position=rope*2", "names 2 components, but one is expected"),
  ("--position=", "is not of the form"),
  ("--dataset=", "is not of the form"),
  ("--dataset=copy,sort", "names 2 components, but one is expected"),
  ("--dataset=copy(sequence_length=0)", "sequence_length=0"),
  ("--dataset=copy(sequence_length=-3)", "sequence_length=-3"),
  ("--dataset=copy(sequence_length=7)", "an even number"),
  ("--dataset=copy(sequence_length=100000000000)", "take less than 2147483648"),
  ("--dataset=copy(sequence_length=1000000000)", "The batches of one call take"),
  ("--dataset=copy(alphabet=1000000000)", "at most 1000000"),
  ("--dataset=copy(train_examples=0)", "train_examples=0): take 1 or more"),
  ("--dataset=copy(validation_examples=-1)", "validation_examples=-1): take 1"),
  ("--dataset=copy(seed=-1)", "seed=-1): take 0 or more"),
  ("--dataset=copy(seed=1e5)", "expected int"),
  ("--dataset=copy(length=8)", "has no option 'length'"),
  ("--dataset=masked", "Use --architecture=encoder, or one of the datasets"),
  ("--dataset=masked(share=1.5)", "take 0 or more and less than 1"),
  ('--dataset=masked(of="copy(length=8)")', "learns next_token"),
  ("--dataset=mixture(of='copy')", "expected tuple"),
  ("--dataset=mixture(of=('copy', 'copy'), weights=(1, 0))", "take numbers above 0"),
  ("--dataset=mixture(of=('copy', 'copy(alphabet=4)'))", "Take one vocabulary"),
  ("--config.data.document_mask=true", "separator=50256"),
  ("--architecture=", "is not of the form"),
  ("--architecture=encoder", "learns labels"),
  ("--architecture=decoder_only(x=1)", "has no option 'x'"),
  ("--config.architecture.encoder.attention=standard", "has no such place"),
  ("--config.train.schedule=cosine(warmup=1.5)", "take a share of the steps"),
  ("--config.train.schedule=cosine(warmup=-1.0)", "take a share of the steps"),
  ("--config.train.schedule=cosine(final=-1.0)", "final=-1.0): take 0 or more"),
  ("--config.train.schedule=warmup(warmup_steps=-3)", "take 0 or more"),
  ("--config.train.schedule=constant(3)", "name every option"),
  ("--config.train.optimizer=adamw(b1=2.0)", "adamw(b1=2.0): take 0 or more and less"),
  ("--config.train.optimizer=adamw(b2=-1.0)", "take 0 or more and less than 1"),
  ("--config.train.optimizer=adamw(eps=-1.0)", "take 0 or more"),
  ("--config.train.optimizer=adamw(weight_decay=-1.0)", "take 0 or more"),
  (
    "--config.train.optimizer=adamw(learning_rate=1.0)",
    "has no option 'learning_rate'",
  ),
  ("--config.train.optimizer=sgd(momentum=5.0)", "take 0 or more and less than 1"),
  ("--config.train.optimizer=", "is not of the form"),
  # Sizes that do not fit.
  ("--config.model.d_model=7", "does not divide d_model=7"),
  ("--config.model.key_size=3", "the head size must be even, not 3"),
  ("--config.model.d_model=1073741824", "Parameters and optimizer state take"),
  ("--config.model.num_layers=10001", "take less than 10001"),
  ("--batch_size=1073741824", "The batches of one call take"),
  ("--config.train.micro_batches=3", "does not divide over"),
  ("--config.train.steps_per_call=2147483647", "The batches of one call take"),
]


@pytest.mark.parametrize(("word", "answer"), COMPONENTS, ids=lambda value: value[:50])
def test_invalid_component_or_size_is_rejected(command, word, answer):
  words = [*TINY, "--skip_checks", "--workdir=run", word]
  assert_refused(command(*words), answer)
  assert os.listdir() == []


FLAGS = [
  # Flags.
  ("--stesp=3", "There is no flag --stesp. Did you mean --steps?"),
  ("--nosteps", "nosteps"),
  ("--steps", "steps"),
  ("--steps=", "--config.steps=: expected int"),
  ("--seed=1.5", "expected int"),
  ("--seed=99999999999", "take less than 4294967296"),
  ("--seeds=0", "take a number above 0"),
  ("--seeds=x", "expected int"),
  ("--seeds=1000000", "take less than 1001"),
  ("--mode=Train", "Did you mean 'train'?"),
  ("--skip_checks=maybe", "skip_checks"),
  ("--dry_run=maybe", "dry_run"),
  ("--trust_plugins=perhaps", "trust_plugins"),
  ("--wandb=maybe", "--wandb=maybe: "),
  ("--match=cost", "--match=cost: "),
  ("--launcher=pbs", "--launcher=pbs: "),
  ("--lengths=x", "expected tuple"),
  ("--lengths=0", "take whole numbers of 1 or more"),
  ("--workdir=", "--workdir='' is not a path"),
  ("--workdir=a\0b", "is not a path"),
  ("--config=", "--config='' is not a path"),
  ("--config.", "Write --config.=value"),
  ("--config.=3", "There is no setting --config.."),
  ("--config.train=", "There is no setting --config.train."),
  ("--config.train.learning_rate=", "expected float"),
  ("--config.train.lerning_rate=1", "Did you mean 'train.learning_rate'?"),
  ("--config.log.tensorboard=perhaps", "expected bool"),
  ("--config.plugins=5", "expected tuple"),
  ("--config.plugins=(((((", "expected tuple"),
  # Choices.
  ("--config.kernel=fast", "--config.kernel=fast: "),
  ("--config.train.precision=float16", "Did you mean 'bfloat16'?"),
  ("--config.train.on_nonfinite=ignore", "Known: rollback, skip, stop"),
  ("--config.model.activation=gleu", "--config.model.activation=gleu: "),
  ("--config.model.init=xavier", "--config.model.init=xavier: "),
  ("--config.model.norm=none", "--config.model.norm=none: "),
  ("--config.model.layer_stack=maybe", "--config.model.layer_stack=maybe: "),
  ("--config.compare.vmap_seeds=yes", "--config.compare.vmap_seeds=yes: "),
  ("--config.evaluation.checkpoint=last", "--config.evaluation.checkpoint=last: "),
  ("--config.evaluation.extra_lengths=8,x", "expected tuple"),
  ("--config.evaluation.extra_lengths=1.5", "take whole numbers"),
  ("--config.evaluation.extra_lengths=99999999999", "take whole numbers"),
  ("--config.sample.top_p=0", "take a number above 0"),
  ("--config.sample.top_p=-1", "take a number above 0"),
  ("--config.sample.beam_size=9", "which does not use it"),
  ("--prompt=", "--prompt is empty"),
  ("--prompt=ü", "The character 'ü' is not in this dataset's vocabulary"),
  ("--prompt=ab\n", "The character '\\n' is not"),
  ("--prompt=😀", "The character '😀' is not"),
  ("--input_file=nowhere", "input_file"),
]


@pytest.mark.parametrize(("word", "answer"), FLAGS)
def test_invalid_flag_or_setting_is_rejected(command, word, answer):
  words = [*TINY, "--skip_checks", "--workdir=run", word]
  assert_refused(command(*words), answer)
  assert os.listdir() == []
