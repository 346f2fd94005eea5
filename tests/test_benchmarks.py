"""The benchmark runs from end to end on tiny sizes and computes every verdict; no time is asserted."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import first_screen
from benchmarks.run import MODULES

ROOT = Path(__file__).parent.parent
TREES = ("boosting", "variants", "quality", "determinism", "forest", "start")
pytest.importorskip("lightgbm")
pytest.importorskip("xgboost")


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "run.py"), *arguments], capture_output=True, text=True, cwd=ROOT
    )


def sections(*modules: str) -> list[str]:
    """Names of the sections of these modules, or of all others."""
    kept = [name for name in MODULES if name in modules or (not modules and name not in TREES)]
    return [section.name for name in kept for section in importlib.import_module(f"benchmarks.{name}").SECTIONS]


def smoke(output: Path, names: list[str]) -> str:
    only = [argument for name in names for argument in ("--only", name)]
    done = run("--smoke", "--reps", "1", "--output", str(output), *only)
    assert done.returncode == 0, done.stderr
    page = output.read_text()
    assert "FAILED" not in page
    assert "no figure here means anything" in page
    return page


@pytest.mark.slow
@pytest.mark.parametrize("part", range(3))
def test_every_other_section_runs_on_tiny_sizes(part, tmp_path):
    names = sections()[part::3]
    page = smoke(tmp_path / "RESULTS.md", names)
    assert page.count("\n## ") >= len(names)


def test_a_smoke_run_writes_a_row_for_everything_that_is_promised(tmp_path):
    page = smoke(tmp_path / "RESULTS.md", sections(*TREES))
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| ") and "---" not in line]
    promised = {
        ("fit 1,000 x 28", "LightGBM quantised"): "<= 0.70 ×",
        ("fit 1,000 x 100", "scikit-learn HGB"): "<= 0.45 ×",
        ("level-wise", "XGBoost"): "",
        ("fit iris", "LightGBM"): "<= 1.00 ×",
        ("fit breast_cancer", "LightGBM"): "<= 1.00 ×",
        ("predict_proba 1,000 x 28", "LightGBM"): "<= 0.30 ×",
        ("predict_proba 1,000 x 100", "XGBoost"): "<= 0.60 ×",
        ("fit, digits", "LightGBM"): "<= 0.80 ×",
        ("fit, regression", "LightGBM"): "<= 0.80 ×",
        ("fit, 20 % missing", "LightGBM"): "<= 0.80 ×",
        ("fit, 8 categorical", "LightGBM"): "<= 0.80 ×",
        ("fit, sample weights", "LightGBM"): "<= 0.80 ×",
        ("20 trees", "LightGBM"): "<= 1.0e-04",
        ("mean over", "scikit-learn HGB"): "",  # the bar depends on the standard error
        ("1, 2, 3 threads, 5 classes", ""): "<= 0",
        ("permuted rows, weighted", ""): "<= 0",
        ("forest fit", "scikit-learn"): "<= 0.40 ×",
        ("forest predict_proba", "scikit-learn"): "<= 0.50 ×",
        ("forest held-out log loss", "scikit-learn"): "",
        ("tree fit", "scikit-learn"): "<= 1.00 ×",
        ("nothing compiled: fit", ""): "<= 12.00 s CPU",
        ("monotone", ""): "<= 4.00 s CPU",
        ("compiled before, new process: fit", ""): "<= 0.60 s",
        ("`breadth --help`", ""): "<= 0.30 s CPU",
    }
    for (what, peer), bar in promised.items():
        found = [row for row in rows if what in row[0] and row[1] == peer]
        assert found, f"no row {what!r} beside {peer!r}"
        assert bar in found[0][8]
    bits = [row for row in rows if "threads" in row[0] or "permuted" in row[0]]
    assert all(row[9].startswith("OK") for row in bits)  # no time: the same bits on any machine
    raw = json.loads((tmp_path / "results.json").read_text())["sections"]
    assert all(len(values) == 1 for values in raw["fit"]["seconds of runs"].values())


def test_a_part_or_a_smoke_run_leaves_the_written_results_alone():
    results = ROOT / "benchmarks" / "RESULTS.md"
    before = results.read_bytes() if results.exists() else None
    done = run("--smoke", "--only", "help", "--reps", "1")
    assert done.returncode == 0, done.stderr
    assert "`breadth --help`" in done.stdout
    assert (results.read_bytes() if results.exists() else None) == before


def test_the_first_screen_shows_the_figures_of_the_written_results():
    assert first_screen.block((ROOT / "benchmarks" / "RESULTS.md").read_text()) in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("arguments", [["--only", "speed"], ["--reps", "0"], ["--threads", "0"]])
def test_unknown_sections_and_repetitions_are_refused_by_name(arguments):
    done = run(*arguments)
    assert done.returncode == 2
    assert arguments[0] in done.stderr
    assert arguments[1] in done.stderr


@pytest.mark.parametrize(
    ("figure", "bar", "error", "verdict"),
    [
        (0.5, 0.5, None, "OK"),
        (0.51, 0.5, None, "SHORT OF BAR"),
        (1.2, 1.0, None, "SHORT OF BAR; LightGBM is faster"),
        (1.2, None, None, "LightGBM is faster"),
        (0.9, None, None, "reported"),
        (0.004, 0.001, 0.002, "OK"),  # within two standard errors
        (0.005, 0.001, 0.002, "SHORT OF BAR"),
        (float("nan"), 0.5, None, "SHORT OF BAR"),
    ],
)
def test_verdicts_are_computed_from_figure_bar_and_standard_error(figure, bar, error, verdict):
    from benchmarks.harness import Row

    assert Row("fit", figure, "ratio", bar, "LightGBM", error=error).verdict == verdict


def test_a_ratio_is_the_median_of_ratios_within_repetitions_not_the_ratio_of_medians():
    from benchmarks.harness import ratio_rows

    times = {"breadth": [1.0, 20.0, 3.0], "LightGBM": [2.0, 10.0, 12.0]}  # the machine was slower the second time
    raw: dict[str, list[float]] = {}
    (row,) = ratio_rows("fit", times, {"LightGBM": 0.5}, raw)
    assert row.figure == 0.5
    assert (row.spread.least, row.spread.most, row.n) == (0.25, 2.0, 3)
    assert raw["fit | LightGBM"] == times["LightGBM"]


def test_every_contender_leads_in_turn_and_its_warm_up_does_not_count():
    from benchmarks.harness import interleave

    calls: list[str] = []
    contenders = {name: lambda given, name=name: calls.append(f"{name}{given}") for name in "abc"}
    times = interleave(contenders, lambda r: r, reps=2, warm_up="w")
    assert calls == ["aw", "bw", "cw", "a0", "b0", "c0", "b1", "c1", "a1"]
    assert [len(seconds) for seconds in times.values()] == [2, 2, 2]
