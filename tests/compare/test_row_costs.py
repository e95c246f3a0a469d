"""Costs of rows that are measured apart from training."""

from attention_lab.compare import row_costs
from tests.parts import tiny_config


def test_a_row_that_diverges_has_costs_too():
  right = tiny_config(dataset="copy(sequence_length=8)")
  wrong = tiny_config(
    dataset="copy(sequence_length=8)",
    train__optimizer="sgd",
    train__schedule="constant",
    train__learning_rate=1e15,
    train__clip_norm=0.0,
  )
  found = row_costs.measure({"right": right, "wrong": wrong}, rounds=2)
  for cost in found.values():
    assert cost["step_seconds"] > 0
    assert cost["tokens_per_second"] > 0
    assert cost["step_memory_bytes"] > 0
    assert cost["decode_seconds"] > 0
    few, many = (cost["state_bytes"][length] for length in ("1024", "16384"))
    assert 15 * few < many <= 16 * few
