import json
import sqlite3

import pytest

from breadth.cli.main import main
from breadth.evidence import contenders
from breadth.evidence.comparisons import classifiers

CHEAP = "scikit-learn-naive-bayes,dummy"


@pytest.fixture
def compare(tmp_path, monkeypatch, capsys):
    """Run `breadth compare` in an empty folder with one worker and no speed pass; gives (status, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments, rounds=0):
        defaults = ["--jobs", "1", "--rounds", str(rounds)] if arguments else []
        status = main(["compare", *arguments, *defaults])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def table(path, *, header=True, rows=60, target=lambda i: "yes" if i % 3 else "no"):
    lines = ["size,colour,answer"] if header else []
    lines += [f"{i % 7 + (i % 3) / 2},{('red', 'blue')[i % 2]},{target(i)}" for i in range(rows)]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def test_without_a_name_the_comparisons_are_listed_with_their_questions(compare):
    status, out, _ = compare()
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()] == [
        "boosting", "trees", "classifiers", "kernels", "regressors", "tokenizers", "ann", "similarity", "attention",
        "optimizers", "decay", "normalisation", "initialisation", "activations", "depth-or-width", "selection",
        "generative-vs-discriminative", "imbalance", "imbalance-losses", "noisy-labels", "semi-supervised",
        "active-learning", "architectures", "language-models", "token-pruning", "decoding", "kv-cache", "positions",
        "objectives", "clustering", "recommenders", "drift", "imbalance-metrics", "text-metrics", "intervals", "rl",
    ]  # fmt: skip


def test_unknown_comparisons_contenders_metrics_and_data_are_one_line_with_the_nearest(compare):
    for arguments, message in [
        (["bosting"], "did you mean 'boosting'?"),
        (["boosting", "--contenders", "lightgmb", "--data", "wine"], "did you mean 'lightgbm'?"),
        (["boosting", "--metric", "f2", "--data", "wine"], "choose one of 'log loss'"),
        (["boosting", "--data", "wien"], "did you mean 'wine'"),
        (["boosting", "--data", "no.csv", "--target", "0"], "no.csv"),
        (["boosting", "--budget", "soon", "--data", "wine"], "duration such as 60s"),
        (["classifiers", "--data", "diabetes"], "breadth compare regressors"),
        (["regressors", "--data", "wine"], "breadth compare classifiers"),
        (["boosting", "--data", "wine", "--suite"], "give one of them"),
        (["boosting", "--data", "wine", "--target", "0"], "belongs to a file"),
        (["boosting", "--data", "wine", "diabetes"], "compare them separately"),
        (["boosting", "--folds", "1", "--data", "wine"], "folds must be >= 2"),
    ]:
        status, out, err = compare(*arguments)
        assert (status, out) == (2, ""), arguments
        assert message in err, (arguments, err)
        assert err.count("\n") == 1


def test_json_is_all_that_stdout_holds_and_the_database_is_made_in_the_working_folder(compare, tmp_path):
    status, out, err = compare("classifiers", "--data", "wine", "--contenders", CHEAP, "--seeds", "1", "-o", "json")
    record = json.loads(out)
    assert status == 0
    assert record["baseline"] == "scikit-learn naive Bayes"  # the first of those named, without the usual baseline
    assert [r["verdict"] for r in record["tables"][0]["results"]] == ["BASELINE", "WORSE"]
    assert "threads: quality: 1 loky worker × 1 thread" in err
    assert "10 of 10 to measure" in err
    with sqlite3.connect(tmp_path / "breadth.sqlite") as db:
        assert db.execute("SELECT count(*) FROM cell").fetchone() == (10,)


def test_the_same_command_measures_nothing_again_and_fresh_measures_all(compare):
    arguments = ["classifiers", "--data", "wine", "--contenders", CHEAP, "--seeds", "1"]
    _, first, _ = compare(*arguments)
    _, again, err = compare(*arguments)
    assert "0 of 10 to measure" in err
    varying = ("- date", "- load")
    assert [x for x in first.splitlines() if not x.startswith(varying)] == [
        x for x in again.splitlines() if not x.startswith(varying)
    ]
    assert "10 of 10 to measure" in compare(*arguments, "--fresh")[2]


@pytest.mark.parametrize("header", [True, False])
def test_a_file_is_compared_by_the_name_or_the_position_of_its_target(compare, tmp_path, header):
    path = table(tmp_path / "mine.csv", header=header)
    arguments = ["--target", "answer"] if header else ["--target", "2", "--no-header"]
    status, out, _ = compare(
        "classifiers", "--data", path, *arguments, "--contenders", "scikit-learn-logistic,dummy", "-o", "json"
    )
    record = json.loads(out)
    assert status == 0
    assert record["tables"][0]["name"] == "mine"
    assert (record["tables"][0]["n_rows"], record["tables"][0]["n_features"]) == (60, 2)
    assert "1 categorical column" in record["tables"][0]["note"]


def test_a_file_without_a_target_or_with_one_class_is_refused(compare, tmp_path):
    path = table(tmp_path / "mine.csv")
    assert "--target NAME_OR_INDEX" in compare("classifiers", "--data", path)[2]
    one = table(tmp_path / "one.csv", target=lambda i: "yes")
    status, _, err = compare("classifiers", "--data", one, "--target", "answer")
    assert status == 2
    assert "answer" in err


def test_a_real_target_is_a_regression_and_metric_decides(compare, tmp_path):
    path = table(tmp_path / "real.csv", target=lambda i: i * 0.37)
    status, out, _ = compare(
        "regressors", "--data", path, "--target", "-1", "--contenders", "scikit-learn-linear,dummy", "--metric", "mae",
        "-o", "csv",
    )  # fmt: skip
    assert status == 0
    assert out.splitlines()[1].startswith("real,scikit-learn linear,scikit-learn,BASELINE,MAE,")


def test_dry_run_prints_the_plan_and_runs_and_writes_nothing(compare, tmp_path):
    status, out, _ = compare("boosting", "--quick", "--dry-run", "--data", "fair")
    assert status == 0
    assert "LightGBM (baseline)" in out
    assert "fair: 6,366 rows × 8 features, binary" in out
    assert "cells       80, of which 80 are to be measured" in out
    assert "time        about" in out
    assert list(tmp_path.iterdir()) == []


def test_a_contender_that_fails_is_a_row_with_its_reason_and_exit_status_3(compare, monkeypatch):
    def broken(*_):
        raise RuntimeError("out of luck")

    from dataclasses import replace

    entry = replace(contenders.SKLEARN_NAIVE_BAYES, make=broken)
    monkeypatch.setattr(
        classifiers, "COMPARISON", replace(classifiers.COMPARISON, contenders=(entry, contenders.DUMMY))
    )
    status, out, err = compare("classifiers", "--data", "wine", "--seeds", "1")
    assert status == 3
    assert "5 cells failed: scikit-learn naive Bayes" in err
    row = next(line for line in out.splitlines() if line.startswith("| scikit-learn naive Bayes"))
    assert "FAILED" in row
    assert "5 ×: RuntimeError: out of luck" in out
    assert "CAN'T TELL dummy: the baseline 'scikit-learn naive Bayes' has no value to compare with" in out


def test_a_spent_budget_lists_what_was_not_run(compare):
    status, out, _ = compare("classifiers", "--data", "wine", "--contenders", CHEAP, "--budget", "0.001s", rounds=1)
    assert status == 0
    assert "NOT RUN: 32 cells" in out


def test_unusable_databases_are_one_line_with_the_mend(compare, tmp_path):
    bad = tmp_path / "bad.sqlite"
    bad.write_text("not a database, " * 50)
    for path, message in [
        (bad, "damaged"),
        (tmp_path / "no" / "x.sqlite", "create it first"),
        (tmp_path, "is a folder"),
    ]:
        status, out, err = compare("classifiers", "--data", "wine", "--contenders", CHEAP, "--db", str(path))
        assert (status, out) == (2, "")
        assert message in err
        assert "Traceback" not in err


def test_a_suite_ranks_over_eight_sets(compare):
    status, out, _ = compare(
        "regressors", "--suite", "--contenders", "scikit-learn-linear,scikit-learn-ridge,dummy", "--seeds", "1",
        "--folds", "2", "-o", "json",
    )  # fmt: skip
    record = json.loads(out)
    assert status == 0
    assert record["ranking"]["data_sets"] == 8
    assert record["ranking"]["average_ranks"]["dummy"] == 3.0
