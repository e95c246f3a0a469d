"""Names of rows, numbers with nouns, enumerations and p-values."""

import pytest

from attention_lab.compare.analysis import wording


@pytest.mark.parametrize(
  ("values", "name"),
  [
    ({}, "standard"),
    ({"attention": "standard"}, "standard"),
    ({"position": "rope", "model.d_ff": 64}, "standard, rope, d_ff 64"),
    ({"train.learning_rate": 3e-4}, "standard, learning rate 0.0003"),
    (
      {"model.dropout": 0.1, "train.clip_norm": 1.0},
      "standard, dropout 0.1, clip norm 1",
    ),
  ],
)
def test_row_name(values, name):
  assert wording.row_name(values, "standard") == name


def test_value_keeps_all_digits():
  assert wording.value_text(0.12345678901) == "0.12345678901"


def test_counted_uses_singular_and_plural():
  counts = [wording.counted(n, "seed") for n in (0, 1, 2, 2000)]
  assert counts == ["0 seeds", "1 seed", "2 seeds", "2,000 seeds"]


@pytest.mark.parametrize(
  ("names", "text"), [([], ""), (["a"], "a"), (["a", "b"], "a and b")]
)
def test_listed(names, text):
  assert wording.listed(names) == text


def test_listed_separates_by_commas_and_the_last_by_and():
  assert wording.listed(["a", "b", "c"]) == "a, b and c"


def test_p_value_has_two_digits_or_a_bound():
  assert [wording.p_value(p) for p in (1.0, 0.0214, 1e-5)] == ["1", "0.021", "< 0.0001"]
