"""Tests of `attention_lab.check` on functions of other frameworks, classes and names."""

import equinox
import jax
import jax.numpy as jnp
import pytest

import attention_lab as al
from attention_lab.conformance import check, claims, numerics
from attention_lab.errors import UserError

# Laws that compile much, or that say nothing about how functions are called.
SLOW = (numerics.compiled_equals_eager, numerics.outputs_are_deterministic)
FEATURES = 5


@pytest.fixture(autouse=True)
def fewer_laws(monkeypatch):
  """Leave the slow laws out."""
  laws = tuple(law for law in check.LAWS if law not in SLOW)
  monkeypatch.setattr(check, "LAWS", laws)


def init(key, x):
  """Return the parameters of linear attention (arXiv:2006.16236) with one head."""
  width = x.shape[-1]
  shapes = {"q": (width, FEATURES), "k": (width, FEATURES), "v": (width, width)}
  keys = jax.random.split(key, len(shapes))
  return {
    name: jax.random.normal(own, shape) / width**0.5
    for own, (name, shape) in zip(keys, shapes.items(), strict=True)
  }


def features(params, x, positions):
  q, k = (jax.nn.elu((x @ params[name]).astype(jnp.float32)) + 1 for name in "qk")
  k = jnp.where((positions >= 0)[..., None], k, 0)
  return q, k, (x @ params["v"]).astype(jnp.float32)


def apply(params, x, positions):
  q, k, v = features(params, x, positions)
  seen = jnp.tril(jnp.einsum("BTF,BSF->BTS", q, k))
  y = jnp.einsum("BTS,BSV->BTV", seen, v) / (seen.sum(axis=-1, keepdims=True) + 1e-6)
  return y.astype(x.dtype)


def state_of(batch_size, length, dtype):
  del length, dtype
  return jnp.zeros((batch_size, FEATURES, 16)), jnp.zeros((batch_size, FEATURES))


def extend(params, x, state, positions):
  q, k, v = features(params, x, positions)
  kv = state[0][:, None] + jnp.cumsum(k[..., :, None] * v[..., None, :], axis=1)
  total = state[1][:, None] + jnp.cumsum(k, axis=1)
  y = jnp.einsum("BTF,BTFV->BTV", q, kv)
  y = y / (jnp.einsum("BTF,BTF->BT", q, total)[..., None] + 1e-6)
  return y.astype(x.dtype), (kv[:, -1], total[:, -1])


def failures(report):
  return {verdict.law for verdict in report.failed}


def test_right_functions_pass():
  report = al.check(init, apply, state_of, extend, constant_state=True, depth="quick")
  assert report.passed, str(report)
  assert str(report).splitlines()[0] == "apply"
  held = {verdict.law for verdict in report.verdicts if verdict.status == "holds"}
  assert {"decoding equals the full pass", "padding is ignored"} <= held


def test_leaking_function_is_detected():
  def leaking(params, x):
    return apply(params, x, jnp.zeros(x.shape[:2], jnp.int32)) + x.mean(
      1, keepdims=True
    )

  report = al.check(init, leaking, depth="quick")
  assert "outputs do not depend on future tokens" in failures(report)
  reasons = {v.case for v in report.verdicts if v.status == "not applicable"}
  assert {"apply takes no `positions`", "no `extend` was given"} <= reasons


def test_wrong_state_is_detected():
  def forgetful(params, x, state, positions):
    y, (kv, total) = extend(params, x, state, positions)
    return y, (kv, 0 * total)

  report = al.check(init, apply, state_of, forgetful, depth="quick")
  assert failures(report) == {"decoding equals the full pass"}


def test_equinox_module_passes():
  def make(key, x):
    return equinox.nn.Linear(x.shape[-1], x.shape[-1], key=key)

  def mix(module, x, positions):
    """Return the mean of the past, projected."""
    real = (positions >= 0)[..., None]
    count = jnp.cumsum(real, axis=1)
    past = jnp.cumsum(jnp.where(real, x, 0).astype(jnp.float32), axis=1)
    mean = (past / jnp.maximum(count, 1)).astype(x.dtype)
    return jax.vmap(jax.vmap(module))(mean)

  report = al.check(make, mix, depth="quick")
  assert report.passed, str(report)


def test_widths_that_init_refuses_are_refused(monkeypatch):
  """A library of layers divides the width by its number of heads."""

  def divided(key, x):
    assert x.shape[-1] % 4 == 0, f"{x.shape[-1]} must be divisible by 4"
    return init(key, x)

  monkeypatch.setattr(check, "LAWS", (claims.odd_sizes_work,))
  (verdict,) = al.check(divided, apply, depth="quick").verdicts
  assert verdict.status == "holds"
  (note,) = verdict.notes
  assert "init refuses d_model=15:" in note
  assert "15 must be divisible by 4" in note


def test_bidirectional_and_cross_attention_pass():
  def attend(params, x, positions, causal, context=None, context_positions=None):
    context = x if context is None else context
    at = positions if context_positions is None else context_positions
    scores = jnp.einsum("BTF,BSF->BTS", x @ params["q"], context @ params["k"])
    allowed = at[:, None] >= 0
    if causal:
      allowed = allowed & (positions[..., None] >= at[:, None])
    weights = al.softmax(scores, allowed).astype(x.dtype)
    return weights @ (context @ params["v"])

  kinds = ("causal", "bidirectional", "cross")
  report = al.check(init, attend, kinds=kinds, depth="quick")
  assert report.passed, str(report)


def test_class_and_name_are_checked(monkeypatch):
  monkeypatch.setattr(check, "LAWS", check.LAWS[:3])
  from tests.conformance.broken import OffByOne

  assert al.check("standard", depth="quick").passed
  assert not al.check(OffByOne, depth="quick").passed


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    (("standrad",), "Did you mean 'standard'"),
    ((init,), "the functions init and apply"),
    ((init, apply, state_of), "both initial_state and extend"),
  ],
)
def test_mistaken_arguments_are_refused(arguments, message):
  with pytest.raises(UserError, match=message):
    al.check(*arguments)


def test_mistaken_kinds_and_depth_are_refused():
  with pytest.raises(UserError, match="Did you mean 'causal'"):
    al.check(init, apply, kinds=("casual",))
  with pytest.raises(UserError, match="keyword `causal`"):
    al.check(init, apply, kinds=("causal", "bidirectional"))
  with pytest.raises(UserError, match="Did you mean 'quick'"):
    al.check("standard", depth="quickly")
