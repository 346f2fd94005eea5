"""Comparisons of few labels and of labels asked for: what each contender sees, planted truths, and nulls."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.datasets import make_moons

from breadth.evidence import cell
from breadth.evidence import contenders_labels as c
from breadth.evidence.cell import Job, Split
from breadth.evidence.comparison import get
from breadth.evidence.contenders import DUMMY
from breadth.evidence.measures import MEASURES
from breadth.evidence.problem import Prepared, from_arrays
from tests.evidence.judged import LEVEL_AND_NOISE, calls

NAMES = ("semi-supervised", "active-learning")


def rings(n: int = 600, seed: int = 0) -> Prepared:
    X, y = make_moons(n, noise=0.08, random_state=seed)
    return from_arrays("moons", X, y, task="binary")


def edge(n: int = 800, seed: int = 0) -> Prepared:
    """Two halves of a cube of ten dimensions: many labels are needed to see the plane between them."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, size=(n, 10))
    return from_arrays("edge", X, (X[:, 0] > 0).astype(int), task="binary")


def named(name: str, comparison: str):
    return next(e for e in get(comparison).contenders if e.name == name)


def by_accuracy(entries, prepared) -> dict[str, str]:
    return calls(entries, prepared, measure="accuracy")


def test_labels_are_hidden_but_for_so_many_of_each_class_and_no_row_is():
    X, y = np.arange(300)[:, None], np.arange(300) % 3
    rows, labels = c.hide(12, X, y, np.random.default_rng(0))
    assert np.array_equal(rows, X) and np.bincount(labels[labels >= 0]).tolist() == [4, 4, 4]
    assert (labels[labels >= 0] == y[labels >= 0]).all() and (labels == -1).sum() == 288


@pytest.mark.parametrize("name", NAMES)
def test_every_contender_runs_and_accuracy_decides(name):
    comparison = get(name)
    assert comparison.measures["classification"][0].name == "accuracy"
    for prepared in (rings(150), from_arrays("three", *three(), task="multiclass")):
        for entry in comparison.contenders:
            job = Job("quality", prepared.table.name, entry.name, 0, 0, 0, "")
            data = (prepared.problem, prepared.X, prepared.y)
            done = cell.quality(entry, *data, job, Split(3, 0, 0), measure=MEASURES["classification"][0])
            assert done.status == "ok", (entry.name, done.error)


def three(n: int = 150):
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=n)
    return rng.normal(size=(n, 4)) + 2 * np.eye(3, 4)[y], y


def test_labels_that_spread_are_better_where_classes_are_curved_clusters():
    entries = (c.FEW_LABELS, named("label spreading", "semi-supervised"), DUMMY)
    said = by_accuracy(entries, rings())
    assert said["label spreading"] == "BETTER" and said["dummy"] == "WORSE"


def test_all_labels_are_better_than_a_few_asked_for_and_none_are_worse():
    entries = (c.RANDOM.having(budget=16), c.ALL_LABELS, DUMMY)
    said = by_accuracy(entries, edge())
    assert said["logistic, all labels"] == "BETTER" and said["dummy"] == "WORSE"


@pytest.mark.slow
@pytest.mark.parametrize("entry", [c.FEW_LABELS, c.RANDOM.having(budget=16)], ids=["few", "random"])
def test_a_twin_that_sees_other_labels_is_told_apart_in_at_most_five_percent_of_200_replays(entry):
    def other(i: int):
        make = entry.make
        return replace(
            entry,
            name="twin",
            make=lambda problem, seed, n, settings: make(problem, seed + 7919 * (i + 1), n, settings),
        )

    told = sum(by_accuracy((entry, other(i)), edge(90, i))["twin"] in ("BETTER", "WORSE") for i in range(200))
    assert told <= LEVEL_AND_NOISE
