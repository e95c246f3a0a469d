"""The header of reports: what was trained, on what and when, as far as it is known."""

from attention_lab.compare.report.facts import header
from tests.compare.report import drawn, made_up


def test_header_names_everything():
  assert header(drawn.comparison(3)) == {
    "dataset": "shakespeare(sequence_length=64)",
    "model": "4 layers, 4 heads, d_model 64, d_ff 256, 804,096 parameters in standard",
    "training": "2,000 steps, batch size 16, learning rate 0.006",
    "seeds": "5 per row",
    "hardware": "1 × Abacus 9000, 2 cores (cpu)",
    "code": "commit a4e6b1f000 with uncommitted changes",
    "date": "2026-11-26",
  }


def test_values_of_a_grid_are_listed():
  found = header(drawn.grid())
  assert "learning rate 0.001, 0.003 and 0.01" in found["training"]
  assert "d_ff 128 and 256" in found["model"]


def test_unknown_facts_are_left_out():
  found = header(made_up.comparison(made_up.row("standard", [1.5]), seeds=1))
  assert found == {
    "model": "1,234 parameters in standard",
    "training": "100 steps",
    "seeds": "1 per row",
  }


def test_versions_are_shown_where_they_differ():
  base = made_up.comparison(made_up.row("standard", [1.5]))
  versions = "jax 0.9, numpy 2.3; jax 0.10, numpy 2.3"
  found = header(base._replace(provenance={"versions": versions}))
  assert found["versions"] == "jax 0.9 and 0.10"
  one = header(base._replace(provenance={"versions": "jax 0.9, numpy 2.3"}))
  assert "versions" not in one


def test_several_commits_are_all_shortened():
  base = made_up.comparison(made_up.row("standard", [1.5]))
  commits = f"{'a' * 40}; {'b' * 40} with uncommitted changes"
  found = header(base._replace(provenance={"commit": commits}))
  assert found["code"] == (
    "commit aaaaaaaaaa, commit bbbbbbbbbb with uncommitted changes"
  )


def test_schemes_that_auto_chose_are_named_with_their_rows():
  def row(name, position):
    runs = [made_up.run(0, 1.5, position=position)]
    return made_up.row(name, [])._replace(runs=runs)

  rows = row("standard", "rope"), row("delta_net", "none"), row("forgetting", "none")
  both = made_up.comparison(*rows)._replace(settings={"position": "auto"})
  assert (
    header(both)["position"] == "rope in standard; none in delta_net and forgetting"
  )
  one = made_up.comparison(*rows[1:])._replace(settings={"position": "auto"})
  assert header(one)["position"] == "none"
  named = made_up.comparison(*rows)._replace(settings={"position": "rope"})
  assert "position" not in header(named)
