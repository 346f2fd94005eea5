"""The comparison of kernels: each planted truth is found by the kernel that has it, and a null is not taken for one."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from breadth.cli.main import main
from breadth.evidence import cell, plan
from breadth.evidence import contenders_kernels as c
from breadth.evidence.comparison import get
from breadth.evidence.problem import Prepared, from_arrays
from breadth.evidence.settings import Settings
from breadth.evidence.verdict import judge

LINEAR, QUADRATIC, RBF, SIGMOID = (c.SVMS[kernel, False] for kernel in ("linear", "quadratic", "RBF", "sigmoid"))


def planted(truth: str, n: int = 300, seed: int = 0) -> Prepared:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 10 if truth == "plane" else 2 if truth in ("stripes", "ring") else 6))
    score = {
        "plane": lambda: X.sum(axis=1),
        "ring": lambda: np.abs(np.hypot(*X[:, :2].T) - 1.18) - 0.45,
        "products": lambda: X[:, 0] * X[:, 1] + X[:, 2] * X[:, 3],
        "stripes": lambda: np.sin(3 * X[:, 0]),
        "nothing": lambda: rng.normal(size=n),
    }[truth]()
    return from_arrays(truth, X, (score > 0).astype(int), task="binary")


def calls(entries: tuple[Any, ...], prepared: Prepared, **settings: Any) -> dict[str, str]:
    comparison = get("kernels")
    measures = comparison.measures[prepared.problem.family]
    laid = plan.make(
        "kernels",
        question="Is the truth found?",
        measures=measures,
        baseline=entries[0].name,
        entries=entries,
        tables=(prepared,),
        settings=Settings(**{"seeds": 2, "rounds": 0, "folds": 5, **settings}),
    )
    data = (prepared.problem, prepared.X, prepared.y)
    cells = tuple(
        cell.quality(laid.entries[job.contender], *data, job, laid.split(job), measure=measures[0]) for job in laid.jobs
    )
    assert all(done.status == "ok" for done in cells), [done.error for done in cells]
    return {v.contender: v.call for v in judge(replace(laid.study, cells=cells))}


def test_a_plane_among_many_columns_is_the_linear_kernels():
    found = calls((LINEAR, RBF, SIGMOID), planted("plane", n=500))
    assert found[RBF.name] == found[SIGMOID.name] == "WORSE"


def test_products_are_the_quadratic_kernels_and_nothing_to_a_plane():
    found = calls((LINEAR, QUADRATIC), planted("products"))
    assert found[QUADRATIC.name] == "BETTER"


@pytest.mark.parametrize("truth", ["ring", "stripes"])
def test_what_is_neither_straight_nor_a_product_is_rbfs(truth):
    found = calls((RBF, LINEAR, QUADRATIC), planted(truth, n=400))
    assert found[LINEAR.name] == found[QUADRATIC.name] == "WORSE"


def test_a_fitted_width_finds_a_ring_that_a_wide_kernel_misses():
    narrow = c.PROCESSES[False]
    wide = replace(narrow.having(fitted=False, width=30.0), name="wide")
    assert calls((narrow, wide), planted("ring"))["wide"] == "WORSE"


def test_ridge_regressions_and_processes_find_the_kernel_of_a_number():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    prepared = from_arrays("waves", X, np.sin(2 * X[:, 0]) + 0.1 * rng.normal(size=200), task="regression")
    linear, rbf = c.RIDGES["linear", False], c.RIDGES["RBF", False]
    found = calls((c.PROCESSES[False], rbf, linear), prepared)
    assert found[linear.name] == "WORSE"
    assert calls((rbf, linear), prepared)[linear.name] == "WORSE"


def test_ours_and_the_peers_are_told_apart_by_nothing():
    found = calls((LINEAR, c.SVMS["linear", True]), planted("plane", n=200))
    assert set(found.values()) <= {"BASELINE", "EQUIVALENT", "CAN'T TELL"}
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 3))
    prepared = from_arrays("waves", X, np.sin(X[:, 0]) + 0.1 * rng.normal(size=80), task="regression")
    for own, peer in ((c.RIDGES["RBF", False], c.RIDGES["RBF", True]), (c.PROCESSES[False], c.PROCESSES[True])):
        assert calls((own, peer), prepared)[peer.name] == "EQUIVALENT"


@pytest.mark.slow
def test_labels_without_cause_tell_kernels_apart_in_at_most_five_percent_of_200_replays():
    one, other = LINEAR, replace(RBF, name="other")
    told = sum(
        calls((one, other), planted("nothing", n=60, seed=i), seeds=1)["other"] in ("BETTER", "WORSE")
        for i in range(200)
    )
    assert told <= 0.05 * 200 + 2 * np.sqrt(200 * 0.05 * 0.95)  # the level, with two standard errors of 200 replays


def test_the_command_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = ["--jobs", "1", "--rounds", "1", "--seeds", "1", "--backend", "threading", "-o", "json"]
    chosen = ["--data", "wine", "--contenders", "breadth-rbf-svm,breadth-sigmoid-svm,dummy"]
    assert main(["compare", "kernels", *chosen, *options]) == 0
    table = json.loads(capsys.readouterr().out)["tables"][0]
    assert {line["contender"] for line in table["results"]} == {"breadth RBF SVM", "breadth sigmoid SVM", "dummy"}
