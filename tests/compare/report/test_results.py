"""results.jsonl, results.csv and results.tex: their content, for other programs."""

import csv
import io
import json
import shutil
import subprocess

import pytest

from attention_lab.compare.analysis.record import Row
from attention_lab.compare.analysis.table import lines
from attention_lab.compare.report.latex import latex
from attention_lab.compare.report.latex_text import breakable, escape
from attention_lab.compare.report.results import jsonl, table
from tests.compare.report import drawn
from tests.compare.report.made_up import comparison, failed, row, run
from tests.compare.report.test_markdown import example

pytest.importorskip("scipy")
PDFLATEX = shutil.which("pdflatex")


def records(found):
  return [json.loads(line) for line in jsonl(found).splitlines()]


def cells(found):
  return list(csv.DictReader(io.StringIO(table(found))))


def test_results_have_a_line_per_run():
  found = records(example())
  assert len(found) == 12
  assert found[3] == {
    "row": "mine, d_ff 213",
    "settings": {"attention": "mine", "d_ff": 213},
    "matched": "d_ff 213 instead of 256: 0.3 % fewer parameters",
    "note": "",
    "baseline": "standard",
    "dataset": "copy(sequence_length=8)",
    "steps": 2000,
    "sizes": {"parameters": 1234},
    "learning_rate": None,
    "tuned": {},
    "seed": 0,
    "status": "finished",
    "error": "",
    "folder": "cell/0",
    "code_hash": "",
    "data_hash": "",
    "leak_check": "passed",
    "metrics": {
      "loss": 1.4,
      "accuracy": 0.5,
      "parameters": 1234.0,
      "training_flops": 2e8,
      "seconds": 12.5,
    },
    "lengths": {},
    "costs": {},
    "differences": found[3]["differences"],
    "further": {},
  }
  assert (found[10]["status"], found[10]["error"]) == ("failed", "Got <3> | 4\nhere")


def test_run_without_passed_leak_check_has_no_loss():
  leaky = [run(0, 0.0125, leak_check="skipped", lengths={"8": {"loss": 0.0125}})]
  found = comparison(row("standard", [1.5]), Row("leaky", {}, "", leaky))
  for content in (jsonl, table, latex):
    assert "0.0125" not in content(found)
    assert "0.01" not in content(found)


def test_failed_run_has_no_metrics_even_with_a_summary():
  left = failed(0)._replace(summary=run(0, 1.5).summary)
  (found,) = records(comparison(Row("standard", {}, "", [left])))
  assert found["metrics"] == found["lengths"] == {}


def test_tested_metrics_carry_difference_and_verdict():
  difference = lines(example())[1].differences["loss"]
  assert records(example())[3]["differences"]["loss"] == {
    "difference": difference.mean,
    "low": difference.low,
    "high": difference.high,
    "p": difference.p,
    "p_corrected": difference.p_holm,
    "verdict": "better",
    "seeds": 3,
  }
  assert records(example())[0]["differences"] == {}


def test_every_line_carries_what_was_trained():
  found = drawn.comparison(2)
  first, *_, last = records(found)
  assert first["dataset"] == "shakespeare(sequence_length=64)"
  sizes = {"d_model": 64, "d_ff": 256, "layers": 4, "heads": 4}
  assert first["sizes"] == sizes | {"parameters": 804_096}
  assert (first["learning_rate"], first["steps"]) == (0.006, 2000)
  assert (first["baseline"], last["baseline"]) == ("", "standard")
  assert last["costs"]["state_bytes_16384"] == 33_554_432 // 2
  assert last["lengths"]["128"]["accuracy"] == pytest.approx(0.55, abs=0.05)


def test_values_of_a_row_are_its_own():
  found = records(drawn.grid())
  assert found[-1]["sizes"]["d_ff"] == 256
  assert found[-1]["learning_rate"] == 0.01
  other = row("mine", [1.4], dataset="parity")
  last = records(comparison(row("standard", [1.5]), other, dataset="copy"))[-1]
  assert (last["dataset"], last["baseline"]) == ("parity", "")


def test_csv_has_a_line_per_row_and_seed_that_agrees_with_jsonl():
  for found in (example(), drawn.comparison(3), drawn.grid()):
    wanted, got = records(found), cells(found)
    assert len(got) == len(wanted)
    for record, cell in zip(wanted, got, strict=True):
      assert (cell["row"], int(cell["seed"])) == (record["row"], record["seed"])
      for key, value in {**record["metrics"], **record["costs"]}.items():
        assert float(cell[key]) == value
      for key, difference in record["differences"].items():
        assert cell[f"{key}_verdict"] == difference["verdict"]
        assert cell[f"{key}_p_corrected"] == str(
          "" if difference["p_corrected"] is None else difference["p_corrected"]
        )


def test_csv_has_every_setting_of_every_row():
  got = cells(drawn.grid())
  assert {cell["settings.attention"] for cell in got} == {"standard", "linear"}
  assert got[0]["settings.model.d_ff"] == got[0]["d_ff"] == "128"
  assert (got[-1]["learning_rate"], got[-1]["layers"]) == ("0.01", "4")


def test_csv_has_no_line_breaks_inside_a_line():
  assert len(table(example()).splitlines()) == 1 + 12


def test_latex_is_bold_for_the_best_of_the_better_rows_alone():
  base = [1.50, 1.60, 1.55]
  found = comparison(
    row("standard", base),
    row("good", [x - 0.2 for x in base]),
    row("best", [x - 0.3 for x in base]),
    row("lucky", [0.5]),  # The lowest loss, with one seed.
    row("worse", [x + 0.3 for x in base]),
  )
  bold = [line for line in latex(found).splitlines() if "textbf" in line]
  assert len(bold) == 1
  assert bold[0].startswith(r"    best & \textbf{1.2500")


def test_latex_without_a_better_row_has_nothing_bold():
  found = comparison(row("standard", [1.50, 1.60]), row("tie", [1.49, 1.61]))
  assert "textbf" not in latex(found)


def test_latex_has_a_table_of_booktabs():
  text = latex(example())
  for word in ("toprule", "midrule", "bottomrule", r"\begin{tabular}{lrrr}"):
    assert text.count(word) == 1
  body = text.split("\\midrule\n")[1].split("    \\bottomrule")[0].splitlines()
  assert all(line.count(" & ") == 3 for line in body)
  intervals = 3  # Rows with several seeds.
  assert len(body) == len(example().rows) + intervals
  assert r"mine, d\_ff 213 & \textbf{1.5433} & 50.00 & 1,234 \\" in text
  assert r" & {\scriptsize [1.2000, 1.9848]} &  &  \\" in text
  assert r"& (nats) $\downarrow$ & (\%) $\uparrow$ &" in text


def test_latex_escapes_special_characters():
  assert escape("50% & $x_1^2$ #{a}~\\b") == (
    r"50\% \& \$x\_1\textasciicircum{}2\$ \#\{a\}\textasciitilde{}\textbackslash{}b"
  )


def test_latex_wraps_long_names_with_intervals_below_means():
  text = latex(drawn.comparison(3))
  assert r"\begin{tabular}{p{0.22\linewidth}rrrr}" in text
  name = r"\raggedright selective, d\_\allowbreak{}ff 213, matched in parameters"
  assert rf"{name} & \begin{{tabular}}[t]{{@{{}}r@{{}}}}1.5" in text


def test_latex_has_no_more_metrics_than_fit_the_width():
  text = latex(wide())
  assert r"\begin{tabular}{p{0.22\linewidth}rrrrr}" in text
  assert (
    r"& top-1 & validation & bits per &  & training \\" in text
  )  # The judged first.


def test_latex_says_what_is_unchecked():
  text = latex(example())
  assert text.count("& unchecked") == 2
  assert "Unchecked: leak check not passed." in text


@pytest.mark.parametrize(
  ("text", "expected"),
  [
    ("naïve Größe", r"na\"{i}ve Gr\"{o}\ss{}e"),
    ("λ → ∞ ± 1−2", r"$\lambda$ $\rightarrow$ $\infty$ $\pm$ 1$-$2"),
    ("nai\u0308ve", r"na\"{i}ve"),
    ("注意", "U+6CE8U+610F"),
    ("ự", "U+1EF1"),
  ],
)
def test_latex_has_commands_or_code_points_beyond_ascii(text, expected):
  assert escape(text) == expected
  assert escape(text).isascii()


def test_long_words_may_be_broken():
  assert breakable("a_b (x=1)") == r"a\_\allowbreak{}b (\allowbreak{}x=\allowbreak{}1)"
  assert breakable("x" * 30).split(r"\allowbreak{}") == ["x" * 12, "x" * 12, "x" * 6]
  assert breakable("注意力(2)").count("U+") == 3


def wide():
  """Return a comparison with long names, and with every metric that may be shown."""
  names = [
    "standard",
    "a_very_long_name(option_one=123456, option_two=654321)",
    "x" * 70,
  ]
  names += ["注意力, λ=3 → ∞ naïve Größe", "внимание(window=64)"]
  shown = {"primary": "accuracy", "above_best": 1.0, "sequence_accuracy": 0.3}
  rows = [
    Row(
      *(name, {}, ""),
      [run(i, 9.5 + i / 3, bits_per_character=1.2 + i, **shown) for i in range(3)],
    )
    for name in names
  ]
  return comparison(*rows, row_costs={"standard": {"step_seconds": 1.234}})


@pytest.mark.skipif(PDFLATEX is None, reason="pdflatex is not installed.")
@pytest.mark.parametrize(
  "font", ["", r"\usepackage[utf8]{inputenc}\usepackage[T1]{fontenc}"]
)
@pytest.mark.parametrize("made", [wide, example, lambda: drawn.comparison(8)])
def test_latex_compiles_and_fits_the_page(tmp_path, made, font):
  begin = rf"\documentclass{{article}}{font}\usepackage{{booktabs}}\begin{{document}}"
  path = tmp_path / "results.tex"
  path.write_text(begin + "\n" + latex(made()) + "\n" + r"\end{document}")
  command = [PDFLATEX, "-interaction=nonstopmode", "-halt-on-error", path.name]
  done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
  output = done.stdout.decode("utf-8", "replace")
  assert done.returncode == 0, output[-2000:]
  assert "Overfull" not in output
