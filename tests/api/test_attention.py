"""One attention in one's own code equals that of a model, whatever the attention."""

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attention_lab as al
from attention_lab.architecture.base.mixing import self_mask
from attention_lab.attention.base.attention import attentions
from attention_lab.conformance.subject import fast_jit
from attention_lab.errors import UserError
from attention_lab.kernel.mask import Mask, default_positions
from tests.parts import D_MODEL, HEADS, T, fill, inputs, make_attention

HALF = T // 2
SETTINGS = {"num_heads": HEADS, "d_model": D_MODEL, "max_length": 64}
SEGMENTS = np.repeat([[0, 1], [0, 1]], HALF, axis=1)


@pytest.fixture
def unchecked(monkeypatch):
  """Build without the checks of compatibility, which have tests of their own."""
  for module in ("attention", "layer"):
    monkeypatch.setattr(f"attention_lab.api.{module}.refuse", lambda *_: None)


def position_of(spec):
  """Return rope, or none where the attention does not use it."""
  return "rope" if "rotate" in attentions[spec].honours else "none"


def functions(spec, **settings):
  return al.functions(spec, **SETTINGS, position=position_of(spec), **settings)


def in_a_model(spec, causal):
  """Return the attention as a layer of a model calls it, with `init` and `apply`."""

  def call(x, context=None):
    attention = make_attention(spec, position_of(spec))
    if context is None:
      return attention(x, x, self_mask(x, None, causal=causal))
    at = default_positions(x), default_positions(context)
    return attention(x, context, Mask(*at, causal=False))

  return hk.transform(call)


def program(function, *arguments):
  """Return a function's program as text, and the shapes of its results."""
  traced, shapes = jax.make_jaxpr(function, return_shape=True)(*arguments)
  return str(traced), shapes


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("spec", attentions)
def test_an_attention_computes_what_a_model_computes(spec):
  """Compare programs, which need no compilation."""
  x, context, kinds = inputs(), inputs(length=HALF, seed=1), attentions[spec].kinds
  causal, key = "causal" in kinds, jax.random.key(0)
  f, model = functions(spec, causal=causal), in_a_model(spec, causal)
  init = program(f.init, key, x)
  assert init == program(model.init, key, x)
  params = init[1]
  calls = [(x,), (x, context)] if "cross" in kinds else [(x,)]
  for arguments in calls:
    f = functions(spec, causal=causal and len(arguments) == 1)
    expected = program(lambda p, *a: model.apply(p, None, *a), params, *arguments)
    assert program(f.apply, params, *arguments) == expected


def pieces(x):
  """Return the segments as rows of their own: [B, T, D] → [2 B, T / 2, D]."""
  return x.reshape(-1, HALF, D_MODEL)


def decoded(f, params, x):
  """Return the results of decoding all tokens but one at once, and then that one."""
  state = f.decode.init(params, len(x), x.shape[1])
  first, state = f.decode.step(params, state, x[:, :-1])
  last, state = f.decode.step(params, state, x[:, -1])
  return jnp.concatenate([first, last[:, None]], axis=1)


def compare(results):
  for name, (actual, expected) in results.items():
    np.testing.assert_allclose(actual, expected, rtol=2e-4, atol=2e-5, err_msg=name)
    assert np.abs(expected).max() > 0.01, name


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("spec", attentions)
def test_segments_equal_rows_and_decoding_equals_the_full_pass(spec):
  causal = "causal" in attentions[spec].kinds
  f, x = functions(spec, causal=causal), inputs()

  def run(params, x):
    alone, results = f.apply(params, pieces(x)), {}
    if attentions[spec].ignores_padding:
      segmented = f.apply(params, x, segments=SEGMENTS)
      results["segments"] = (pieces(segmented), alone)
    if causal:
      results["decoding"] = (decoded(f, params, pieces(x)), alone)
    return results

  params = fill(jax.eval_shape(f.init, jax.random.key(0), x))
  compare(fast_jit(run)(params, x))


def test_programs_of_two_sets_of_options_differ():
  """See that the comparison of programs can fail."""
  f, model = functions("standard", causal=False), in_a_model("standard", causal=True)
  params = jax.eval_shape(f.init, jax.random.key(0), inputs())
  expected = program(lambda p, x: model.apply(p, None, x), params, inputs())
  assert program(f.apply, params, inputs()) != expected


@pytest.fixture(scope="module")
def standard():
  """Return functions of causal and of bidirectional attention, and large parameters."""
  causal, both = (functions("standard", causal=causal) for causal in (True, False))
  return causal, both, fill(jax.eval_shape(both.init, jax.random.key(0), inputs()))


def test_padding_anywhere_equals_its_absence(standard):
  padding = np.array([[True, False, True, True, False, False], [True] * 6])
  context_padding = np.array([[True, False, True]] * 2)

  def run(params, x, context):
    results = {}
    for f in standard[:2]:
      y = f.apply(params, x, padding=padding)
      alone = f.apply(params, x[:1, padding[0]])
      results["row", f] = (y[:1, padding[0]], alone)
      results["full row", f] = (y[1:], f.apply(params, x[1:]))
    both = standard[1]
    y = both.apply(params, x, context, context_padding=context_padding)
    results["context", both] = (y, both.apply(params, x, context[:, ::2]))
    return list(results.values())

  context = inputs(length=HALF, seed=1)
  compare(dict(enumerate(fast_jit(run)(standard[2], inputs(), context))))


def test_rows_of_different_lengths_decode_together(standard):
  padding = np.array([[False, False, True, True], [True] * 4])

  def run(params, x):
    f = standard[0]
    state = f.decode.init(params, 2, T)
    first, state = f.decode.step(params, state, x[:, :4], padding=padding)
    second, state = f.decode.step(params, state, x[:, 4:])
    y = jnp.concatenate([first, second], axis=1)
    beyond, _ = f.decode.step(params, state, x[:, 0])
    padded = (y[:1, 2:], f.apply(params, x[:1, 2:]))
    return {"padded": padded, "whole": (y[1:], f.apply(params, x[1:]))}, beyond

  results, beyond = fast_jit(run)(standard[2], inputs())
  compare(results)
  assert np.isnan(beyond).all()


def test_negative_segments_are_padding_and_unexpected_ones_are_nan(standard):
  segments = jnp.array([[-1, 0, 0, 1, 1, 2]])

  def run(params, x, segments):
    y = standard[0].apply(params, x, segments=segments, num_segments=2)
    return y, standard[0].apply(params, x[:, 1:3])

  y, alone = fast_jit(run)(standard[2], inputs(1), segments)
  compare({"segment": (y[:, 1:3], alone)})
  assert np.isfinite(y[:, :5]).all()
  assert np.isnan(y[:, 5]).all()


def test_functions_can_be_transformed(standard):
  """Map, differentiate, scan and jit in one program."""
  f, _, params = standard

  def loss(params, x):
    return (f.apply(params, x, segments=SEGMENTS[:1], num_segments=2) ** 2).sum()

  @fast_jit
  def run(params, x):
    def step(state, token):
      y, state = f.decode.step(params, state, token)
      return state, y

    state = f.decode.init(params, 2, T)
    _, ys = jax.lax.scan(step, state, jnp.moveaxis(x, 1, 0))
    many = jax.vmap(jax.grad(loss), (None, 0))(params, x[:, None])
    one = jax.grad(loss)(params, x[1:])
    first = [jax.tree.leaves(gradients)[0] for gradients in (many, one)]
    scanned = (jnp.moveaxis(ys, 0, 1), f.apply(params, x))
    return {"scan": scanned, "vmap": (first[0][1], first[1])}

  compare(run(params, inputs()))


def test_a_key_turns_dropout_on():
  f = functions("standard", dropout=0.5, causal=True)
  params, x, key = f.init(jax.random.key(0), inputs()), inputs(), jax.random.key(1)
  dropped = f.apply(params, x, key=key)
  np.testing.assert_array_equal(dropped, f.apply(params, x, key=key))
  assert np.abs(dropped - f.apply(params, x)).max() > 0.01


def test_a_dtype_is_that_of_the_computation_alone():
  f = functions("gated_delta_net", causal=True, dtype=jnp.bfloat16)
  params = jax.eval_shape(f.init, jax.random.key(0), inputs())
  assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}
  assert jax.eval_shape(f.apply, params, inputs()).dtype == jnp.bfloat16
  state = jax.eval_shape(lambda params: f.decode.init(params, 2, T), params)
  assert state.attention.recent.dtype == jnp.bfloat16


class Doubled(al.Weighted):
  """Twice the softmax; it has no name."""

  def weights(self, scores, allowed):
    return 2 * al.softmax(scores, allowed)


def test_options_may_be_given_in_each_form(standard):
  in_name = al.functions("sliding_window(window=2)", num_heads=HEADS, causal=True)
  as_option = al.functions("sliding_window", window=2, num_heads=HEADS, causal=True)
  assert in_name is as_option
  assert al.functions(Doubled, num_heads=HEADS) is al.functions(
    Doubled, num_heads=HEADS
  )
  params = jax.tree.map(lambda x: x, standard[2])
  for module in ("key", "query", "value", "output"):
    params[f"doubled/{module}"] = params[f"standard/{module}"]
  twice = functions_of(Doubled).apply(params, inputs())
  compare({"class": (twice, 2 * standard[1].apply(params, inputs()))})
  assert "doubled" not in attentions


def functions_of(cls):
  return al.functions(cls, **SETTINGS)


def test_a_haiku_module_has_its_own_name_and_initialisers():
  def model(x):
    init = hk.initializers.Constant(0.5)
    first = al.attention(num_heads=2, w_init=init, name="first")
    second = al.attention("cosine", num_heads=2, position="t5")
    return second(first(x)), first.params_dict()

  params = hk.transform(model).init(jax.random.key(0), inputs())
  assert {name.partition("/")[0] for name in params} == {"first", "cosine"}
  assert "cosine/t5" in params
  np.testing.assert_array_equal(params["first/query"]["w"], 0.5)
  _, own = jax.eval_shape(hk.transform(model).apply, params, None, inputs())
  assert {name.partition("/")[0] for name in own} == {"first"}


def call(spec="standard", x=None, keywords=None, context=None, **settings):
  """Call an attention abstractly; return the message of its refusal."""
  x = jnp.zeros((2, T, D_MODEL)) if x is None else x
  f = al.functions(spec, **{"num_heads": HEADS, **settings})
  call = lambda key: f.apply(f.init(key, x), x, context, **(keywords or {}))  # noqa: E731
  jax.eval_shape(call, jax.random.key(0))


X = jnp.zeros((2, T, D_MODEL))
MISTAKES = [
  ({"spec": "standrad"}, "Did you mean 'standard'"),
  ({"spec": "standard(dropouts=1)"}, "Did you mean 'dropout'"),
  ({"num_head": 4}, "no option 'num_head'. Did you mean 'num_heads'"),
  ({"dropout": "a"}, "expected float"),
  ({"spec": "standard(dropout=0.1)", "dropout": 0.1}, "set twice"),
  ({"spec": 3}, "An attention is a name"),
  ({"spec": int}, "must be a subclass of Attention"),
  ({"num_heads": 0}, "num_heads=0: take a whole number"),
  ({"num_heads": 3}, "num_heads=3 does not divide d_model=8"),
  ({"num_heads": 3, "d_model": 8}, "num_heads=3 does not divide d_model=8"),
  ({"kernel": "fast"}, "no kernel='fast'. Known"),
  ({"dtype": jnp.int32}, "take a floating-point dtype"),
  ({"dtype": "float33"}, "take a floating-point dtype"),
  ({"num_heads": None}, "num_heads=None: take a whole number"),
  ({"d_model": 8.0}, "d_model=8.0: take a whole number"),
  ({"causal": "yes"}, "causal='yes': take True or False"),
  ({"position": "ropes"}, "Did you mean 'rope'"),
  ({"position": "learned"}, "pass position='none'"),
  ({"position": "randomized(of='sinusoidal')"}, "pass position='none'"),
  ({"spec": "haiku", "position": "rope"}, "which the attention 'haiku' does not use"),
  ({"spec": "fourier", "position": "none", "causal": True}, "Pass causal=False"),
  ({"spec": "gated_delta_net"}, "is causal, not bidirectional. Pass causal=True"),
  ({"d_model": 16}, "x has width 8, but d_model=16"),
  ({"x": X[0]}, "pass x[None]"),
  ({"x": jnp.zeros((2, T, D_MODEL), int)}, "Embed tokens"),
  ({"keywords": {"padding": jnp.ones((2, T))}}, "but must be bool[2, 6]"),
  ({"keywords": {"padding": jnp.ones((2, 3), bool)}}, "True where a token is real"),
  ({"keywords": {"segments": jnp.ones((2, T), bool)}}, "but must be int[2, 6]"),
  ({"keywords": {"segments": SEGMENTS, "padding": SEGMENTS > 0}}, "cannot be combined"),
  ({"keywords": {"segments": SEGMENTS, "num_segments": 0}}, "num_segments=0"),
  ({"keywords": {"num_segments": 2}}, "belongs to segments"),
  ({"keywords": {"context_padding": SEGMENTS > 0}}, "belongs to a context"),
  ({"context": X, "causal": True}, "Cross-attention is not causal"),
  ({"context": X[:1]}, "context has 1 rows, but x has 2"),
  ({"context": X[..., :4]}, "context has width 4, but d_model=8"),
  (
    {"spec": "nystrom", "context": X, "keywords": {"segments": SEGMENTS}},
    "segments and",
  ),
  ({"spec": "sliding_window", "context": X}, "Call it without a context"),
  (
    {"spec": "fourier", "position": "none", "keywords": {"segments": SEGMENTS}},
    "depends on how much padding there is",
  ),
]


@pytest.mark.parametrize(
  ("given", "message"), MISTAKES, ids=lambda value: str(value)[:60]
)
def test_mistakes_are_refused_in_one_line(given, message):
  with pytest.raises(UserError) as caught:
    call(**given)
  assert message in str(caught.value)
  assert "\n" not in str(caught.value)


def test_mistakes_of_decoding_are_refused_in_one_line():
  params = {}
  decode = al.functions(num_heads=2, d_model=8, causal=True).decode
  with pytest.raises(UserError, match="x has 2 rows, but the state has 3"):
    decode.step(params, decode.init(params, 3, T), X)
  with pytest.raises(UserError, match="Only causal attention decodes"):
    al.functions(num_heads=2, d_model=8).decode.init(params, 2, T)
  with pytest.raises(UserError, match="pass d_model"):
    al.functions(num_heads=2, causal=True).decode.init(params, 2, T)
  f = functions("standard", causal=True)
  state = f.decode.init(params, 2, T)
  with pytest.raises(UserError, match="x has 3 rows"):
    f.decode.step(params, state, jnp.zeros((3, D_MODEL)))
  with pytest.raises(UserError, match="pass num_segments"):
    jax.eval_shape(lambda s: f.apply(params, X, segments=s), jnp.asarray(SEGMENTS))


def test_a_class_that_is_called_without_what_a_model_supplies_says_what_to_type():
  with pytest.raises(
    UserError, match=r"attention_lab\.attention\(Doubled, num_heads=…\)"
  ):
    hk.transform(lambda: Doubled(num_heads=2)).apply({}, None)
