"""Beam search finds what enumerating every answer finds."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from attention_lab.decode.beam_search import PADDING, BeamSearch, make_beam_search
from attention_lab.decode.sampling import make_generate
from attention_lab.errors import UserError
from attention_lab.experiment import assemble
from attention_lab.kernel.mask import default_positions
from tests.parts import fill, tiny_config

V, LENGTH, END, START = 3, 4, 0, 1
SENTENCES = 3
LEAVES = {END: 31, None: 81}  # Answers of up to 4 tokens that end with 0; of exactly 4.
TABLE = np.random.default_rng(0).normal(size=(SENTENCES, 3**5, V)) * 2
SOURCE = np.arange(SENTENCES, dtype=np.int32)[:, None]


def toy_start(table, source, length):
  """A state that remembers the whole prefix, with the batch at every place."""
  return {
    "sentence": source[:, 0],
    "code": jnp.stack([jnp.zeros(len(source), jnp.int32)] * 2),
    "read": jnp.zeros((), jnp.int32),
  }


def toy_extend(table, tokens, state, positions):
  code = state["code"] * V + tokens[None, :, 0] + 1
  code = jnp.where(state["read"] == 0, 0, code)
  logits = table[state["sentence"], code[0]][:, None]
  return logits, {**state, "code": code, "read": state["read"] + 1}


def toy(beam_size, **options):
  options = {"length": LENGTH, "start_token": START, "end_token": END, **options}
  return BeamSearch(start=toy_start, extend=toy_extend, beam_size=beam_size, **options)


def following(sentence, prefix, table=TABLE):
  """Log-probabilities of the toy's next token [V]."""
  code = functools.reduce(lambda code, token: code * V + token + 1, prefix, 0)
  logits = table[sentence, code]
  return logits - np.log(np.sum(np.exp(logits)))


def grown(hypotheses, sentence):
  """All continuations by a token, the most likely first."""
  found = [
    (score + following(sentence, prefix)[token], (*prefix, token))
    for score, prefix in hypotheses
    for token in range(V)
  ]
  return sorted(found, reverse=True)


def ranked(finished, alpha):
  scored = [(score / ((5 + len(y)) / 6) ** alpha, y) for score, y in finished]
  return sorted(scored, reverse=True)


def searched(sentence, width, alpha, end):
  """Beam search in plain Python, to its end."""
  live, finished = [(0.0, ())], []
  for step in range(LENGTH):
    found = grown(live, sentence)
    ends = lambda y, step=step: y[-1] == end or step == LENGTH - 1  # noqa: E731
    finished += [(score, y) for score, y in found[:width] if ends(y)]
    live = [(score, y) for score, y in found if not ends(y)][:width]
    if len(finished) >= width:
      break
  return ranked(finished, alpha)


def answers(result, row):
  """A sentence's answers as [(score, tokens)], without the padding."""
  found = []
  for tokens, score, length in zip(*(np.asarray(x[row]) for x in result), strict=True):
    assert np.all(tokens[length:] == PADDING)
    if length:
      found.append((float(score), tuple(map(int, tokens[:length]))))
    else:
      assert score == -np.inf
  return found


def assert_same(found, expected):
  assert [y for _, y in found] == [y for _, y in expected]
  np.testing.assert_allclose(
    [score for score, _ in found], [score for score, _ in expected], rtol=1e-5
  )


def every_answer(sentence, alpha, end):
  """All answers there are, the best first, each scored by itself."""
  found = set()
  for tokens in itertools.product(range(V), repeat=LENGTH):
    found.add(tokens[: tokens.index(end) + 1] if end in tokens else tokens)
  scored = [
    (sum(following(sentence, y[:i])[token] for i, token in enumerate(y)), y)
    for y in found
  ]
  return ranked(scored, alpha)


@pytest.mark.parametrize(
  ("alpha", "end"), [(0.0, END), (0.6, END), (2.0, END), (-1.0, END), (0.6, None)]
)
def test_a_beam_as_wide_as_the_tree_is_exhaustive_search(alpha, end):
  count = LEAVES[end]
  search = toy(count + 2, n_best=count + 2, length_penalty=alpha, end_token=end)
  result = jax.jit(search)(TABLE, SOURCE)
  for sentence in range(SENTENCES):
    expected = every_answer(sentence, alpha, end)
    assert len(expected) == count
    assert_same(answers(result, sentence), expected)


@pytest.mark.parametrize(
  ("width", "alpha"), [(1, 0.0), (2, 0.6), (3, 0.0), (3, 2.0), (5, -1.0)]
)
def test_a_narrow_beam_is_that_of_plain_python(width, alpha):
  """A search that never stops early and keeps all that ended."""
  result = jax.jit(toy(width, n_best=width, length_penalty=alpha))(TABLE, SOURCE)
  for sentence in range(SENTENCES):
    expected = searched(sentence, width, alpha, END)[:width]
    assert_same(answers(result, sentence), expected)


@pytest.mark.parametrize("alpha", [0.0, 3.0])
def test_a_beam_of_one_is_greedy(alpha):
  result = jax.jit(toy(1, length_penalty=alpha))(TABLE, SOURCE)
  for sentence in range(SENTENCES):
    text = ()
    while len(text) < LENGTH and text[-1:] != (END,):
      text = (*text, int(np.argmax(following(sentence, text))))
    assert [y for _, y in answers(result, sentence)] == [text]


@pytest.mark.parametrize(
  ("short", "long", "tokens", "alphas"),
  [
    (0.5, 0.3, (2, 2, 2, 0), (1.36, 1.37)),  # ln 0.3 / ln 0.5 = 1.737 = (9 / 6)^1.362
    (0.4, 0.5, (2, 0), (-1.9, -1.8)),  # ln 0.5 / ln 0.4 = 0.756 = (7 / 6)^-1.811
  ],
)
def test_the_length_penalty_by_hand(short, long, tokens, alphas):
  """ln p / ((5 + |Y|) / 6)^α: the longer one wins from the second α on."""
  table = np.full((1, 3**5, V), -np.inf)
  table[..., END] = 0
  table[0, 0] = np.log([short, 1 - short - long, long])
  if len(tokens) == 4:
    table[0, [3, 12]] = [-np.inf, -np.inf, 0]  # After 2 and 2 2 comes 2.
  for alpha, best, chance in zip(alphas, [(0,), tokens], [short, long], strict=True):
    result = jax.jit(toy(3, length_penalty=alpha))(table, SOURCE[:1])
    score = np.log(chance) / ((5 + len(best)) / 6) ** alpha
    assert_same(answers(result, 0), [(score, best)])


@pytest.mark.parametrize("alpha", [0.0, 3.0, -3.0])
def test_stopping_early_changes_nothing(alpha, monkeypatch):
  table = np.random.default_rng(1).normal(size=(60, 3**5, V)) * 2
  steps = []

  def extend(*given):
    jax.debug.callback(steps.append, given[-1])
    return toy_extend(*given)

  def run():
    steps.clear()
    search = jax.jit(dataclasses.replace(toy(6, length_penalty=alpha), extend=extend))
    found = [search(table, np.full((1, 1), i, np.int32)) for i in range(len(table))]
    jax.effects_barrier()
    return found, len(steps)

  early, fewer = run()
  monkeypatch.setattr(BeamSearch, "may_improve", lambda self, beams: jnp.array(True))
  late, steps_to_the_end = run()
  jax.tree.map(np.testing.assert_array_equal, early, late)
  assert fewer < steps_to_the_end == LENGTH * len(table)


def test_a_sentence_is_answered_as_if_it_were_alone():
  """Results do not depend on when others end."""
  search = jax.jit(toy(3, n_best=3))
  together = search(TABLE, SOURCE)
  for row in range(SENTENCES):
    alone = search(TABLE, SOURCE[row : row + 1])
    assert_same(answers(alone, 0), answers(together, row))


def test_scores_are_as_wide_as_the_logits():
  narrow = jax.jit(toy(2))(TABLE.astype(jnp.bfloat16), SOURCE)
  assert narrow.scores.dtype == jnp.float32
  with jax.enable_x64(True):
    wide = jax.jit(toy(2))(TABLE, SOURCE)
  assert wide.scores.dtype == jnp.float64


def test_a_state_without_a_clear_batch_axis_is_refused():
  def start(table, source, length):
    return jnp.zeros((len(source), len(source)))

  search = dataclasses.replace(toy(2), start=start)
  with pytest.raises(TypeError, match="no one axis"):
    search(TABLE, SOURCE)


@pytest.mark.parametrize("sizes", [{"length": 0}, {"n_best": 3}, {"n_best": 0}])
def test_impossible_sizes_are_refused(sizes):
  with pytest.raises(UserError, match="Take"):
    toy(2, **sizes)


PROMPTS = np.array([[1, 2, 3], [4, 0, 2]], np.int32)


def translator(experiment):
  """A decoder that continues its source: as a model that reads one."""
  net = experiment.model
  read = PROMPTS.shape[1]

  def initial_state(params, key, batch_size, length, dtype, source):
    state = net.initial_state(params, key, batch_size, read + length, dtype)
    return net.extend(params, key, source, state, default_positions(source))[1]

  def extend(params, key, tokens, state, positions):
    return net.extend(params, key, tokens, state, positions + read)

  return net._replace(initial_state=initial_state, extend=extend)


def log_probabilities(experiment, params, text):
  """Compute log-probabilities of every next token by a full pass: [B, T] → [B, T, V]."""
  apply = jax.jit(experiment.model.apply)
  logits = apply(params, None, text, default_positions(text))
  return np.asarray(jax.nn.log_softmax(logits))


def built(**changes):
  experiment = assemble(tiny_config(position="rope", **changes))
  return experiment, fill(jax.eval_shape(lambda: experiment.init(0)), 1.0)


@pytest.mark.parametrize(
  ("attention", "layer_stack"),
  [
    ("standard", "never"),
    ("standard", "always"),
    ("sliding_window(window=3)", "always"),
    ("linear", "never"),
    ("retention", "always"),
  ],
)
def test_scores_are_those_of_a_full_pass(attention, layer_stack):
  """Every hypothesis keeps its own past."""
  experiment, params = built(attention=attention, model__layer_stack=layer_stack)
  length, width, alpha, end = 6, 4, 0.6, 5
  search = make_beam_search(
    translator(experiment), length, width, START, end, alpha, n_best=width
  )
  result = search(params, PROMPTS)
  prompts = np.repeat(PROMPTS, width, axis=0)
  start = np.full((len(prompts), 1), START, np.int32)
  tokens = np.asarray(result.tokens).reshape(-1, length)
  text = np.concatenate([prompts, start, np.maximum(tokens, 0)], axis=1)
  chances = log_probabilities(experiment, params, text[:, :-1])[:, -length:]
  chances = np.take_along_axis(chances, text[:, -length:, None], axis=2)[..., 0]
  lengths = np.asarray(result.lengths).ravel()
  within = np.arange(length)[None] < lengths[:, None]
  expected = np.sum(chances * within, axis=1) / ((5 + lengths) / 6) ** alpha
  np.testing.assert_allclose(result.scores.ravel(), expected, rtol=1e-4)
  assert np.all(np.diff(result.scores, axis=1) <= 0)
  for row in range(len(PROMPTS)):
    found = [y for _, y in answers(result, row)]
    assert len(set(found)) == width
    assert all((y[-1] == end) != (len(y) == length and end not in y) for y in found)
    assert all(end not in y[:-1] for y in found)


def test_a_beam_of_one_is_what_generate_gives():
  experiment, params = built()
  length = 6
  search = make_beam_search(translator(experiment), length, 1, START, None)
  text = np.concatenate([PROMPTS, np.full((len(PROMPTS), 1), START, np.int32)], axis=1)
  generate = make_generate(experiment.model, length, temperature=0)
  expected = generate(params, jax.random.key(0), text, default_positions(text))
  np.testing.assert_array_equal(search(params, PROMPTS).tokens[:, 0], expected)
