"""Comparisons of small networks: what is done to training rows, that each contender runs, planted truths and nulls."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from breadth.evidence import cell, plan
from breadth.evidence import contenders_networks as c
from breadth.evidence.cell import Job, Split
from breadth.evidence.comparison import get
from breadth.evidence.measures import MEASURES
from breadth.evidence.problem import Prepared, from_arrays
from breadth.evidence.settings import Settings
from breadth.evidence.verdict import judge

NAMES = (
    "optimizers", "decay", "normalisation", "initialisation", "activations", "depth-or-width", "imbalance-losses",
    "noisy-labels", "architectures",
)  # fmt: skip
JOB = Job("quality", "t", "c", 0, 0, 0, "k")


def images(n: int = 120, seed: int = 0) -> Prepared:
    """Images of 4 x 4 of three classes, told apart by the column that is bright."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    X = rng.normal(size=(n, 4, 4))
    X[np.arange(n), :, y] += 1.5
    return from_arrays("images", X.reshape(n, 16), y, task="multiclass")


def rough(task: str, n: int = 120) -> Prepared:
    """Numbers and a category with holes."""
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=(n, 2)), rng.integers(0, 3, n)])
    signal = X[:, 0] + X[:, 2]
    X[rng.random((n, 3)) < 0.1] = np.nan
    return from_arrays("rough", X, signal if task == "regression" else (signal > 1).astype(int), task=task,
                       categorical=[2])  # fmt: skip


def short(entry: c.Entry) -> c.Entry:
    """The contender with one pass only."""
    epochs = next((key for key in ("max_epochs", "max_iter") if key in entry.settings), None)
    return entry.having(**{epochs: 1}) if epochs else entry


def value(entry: c.Entry, prepared: Prepared) -> cell.Cell:
    task = (prepared.problem, prepared.X, prepared.y, JOB, Split(3, 0, 0))
    return cell.quality(entry, *task, measure=MEASURES[prepared.problem.family][0])


@pytest.mark.parametrize("name", NAMES)
def test_every_contender_runs_on_classes_and_on_numbers_with_holes(name):
    comparison = get(name)
    tables = [images()]
    if name != "architectures":
        tables += [rough("binary"), *([rough("regression")] if "regression" in comparison.families else [])]
    for prepared in tables:
        for entry in comparison.contenders:
            done = value(short(entry), prepared)
            assert done.status == "ok", (entry.name, prepared.table.name, done.error)


def calls(name: str, entries: tuple[c.Entry, ...], prepared: Prepared, **settings: Any) -> dict[str, str]:
    """Verdicts by accuracy: a network that is sure and wrong at times can have a worse log loss than one untrained."""
    measures = tuple(sorted(MEASURES["classification"], key=lambda m: m.name != "accuracy"))
    laid = plan.make(
        name,
        question="Is the truth found?",
        measures=measures,
        baseline=entries[0].name,
        entries=entries,
        tables=(prepared,),
        settings=Settings(**{"seeds": 1, "rounds": 0, "folds": 5, **settings}),
    )
    data = (prepared.problem, prepared.X, prepared.y)
    cells = tuple(
        cell.quality(laid.entries[job.contender], *data, job, laid.split(job), measure=measures[0]) for job in laid.jobs
    )
    assert all(done.status == "ok" for done in cells)
    return {v.contender: v.call for v in judge(replace(laid.study, cells=cells))}


@pytest.mark.parametrize(
    "name",
    [name if name in ("activations", "noisy-labels", "architectures") else pytest.param(name, marks=pytest.mark.slow)
     for name in NAMES],
)  # fmt: skip
def test_a_network_that_is_not_trained_is_found_worse(name):
    comparison = get(name)
    baseline = next(e for e in comparison.contenders if e.name == comparison.baseline)
    baseline = baseline.having(max_epochs=8, batch_size=16)
    untrained = replace(baseline.having(learning_rate=0.0), name="untrained")
    assert calls(name, (baseline, untrained), images(180))["untrained"] == "WORSE"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["optimizers", "noisy-labels"])
def test_a_twin_with_other_seeds_is_told_apart_in_at_most_five_percent_of_200_replays(name):
    comparison = get(name)
    baseline = next(e for e in comparison.contenders if e.name == comparison.baseline)
    one = baseline.having(max_epochs=4, batch_size=16)

    def other(i: int) -> c.Entry:
        make = one.make
        return replace(one, name="twin", make=lambda problem, seed, n_threads, settings: make(
            problem, seed + 7919 * (i + 1), n_threads, settings))  # fmt: skip

    told = sum(calls(name, (one, other(i)), images(60, seed=i))["twin"] in ("BETTER", "WORSE") for i in range(200))
    assert told <= 0.05 * 200 + 2 * np.sqrt(200 * 0.05 * 0.95)  # the level, with two standard errors of 200 replays


def test_labels_are_wrong_in_the_share_that_is_asked_and_everywhere_else_right():
    y = np.arange(6000) % 4
    X, wrong = c.mislabel(0.4, np.arange(6000)[:, None], y, np.random.default_rng(0))
    assert (wrong != y).mean() == pytest.approx(0.4, abs=0.02)
    table = np.bincount(y * 4 + wrong, minlength=16).reshape(4, 4) / 1500
    assert np.abs(table[~np.eye(4, dtype=bool)] - 0.4 / 3).max() < 0.03
    assert np.array_equal(X[:, 0], np.arange(6000))
    assert set(c.mislabel(1.0, X, np.arange(6000) % 2, np.random.default_rng(0))[1]) == {0, 1}


def test_classes_are_thinned_geometrically_and_keep_a_row():
    y = np.repeat(np.arange(5), 400)
    X, kept = c.thin(0.01, np.arange(2000)[:, None], y, np.random.default_rng(0))
    assert np.bincount(kept).tolist() == [400, 126, 40, 13, 4]
    assert np.array_equal(y[X[:, 0]], kept)
    assert np.bincount(c.thin(0.001, X, kept, np.random.default_rng(0))[1]).min() == 1


def test_few_rows_are_even_over_the_classes():
    y = np.repeat([0, 1, 2], [500, 50, 3])
    X, kept = c.few(60, np.arange(553)[:, None], y, np.random.default_rng(0))
    assert np.bincount(kept).tolist() == [20, 20, 3]
    assert np.array_equal(y[X[:, 0]], kept)


def test_contenders_of_a_cell_see_the_same_altered_rows():
    seen = []

    class Spy:
        def fit(self, X, y):
            seen.append(y)
            return self

    X, y = np.zeros((100, 1)), np.arange(100) % 3
    for _ in range(2):
        c._altered(Spy(), {"mislabelled": 0.5}, 7).fit(X, y)
    assert np.array_equal(*seen)
    assert not np.array_equal(seen[0], y)


@pytest.mark.parametrize("layers", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("n_features", [4, 64])
def test_networks_of_one_size_have_that_many_parameters(layers, n_features):
    import torch

    from breadth.nn.networks import MLP

    prepared = from_arrays("t", np.eye(20, n_features), np.arange(20) % 3, task="multiclass")
    sized = c._sized({"layers": layers, "parameters": 20_000}, prepared.problem)
    with torch.device("meta"):
        network = MLP(n_features, 3, sized["hidden_sizes"])
    count = sum(p.numel() for p in network.parameters())
    assert len(sized["hidden_sizes"]) == layers
    assert count == pytest.approx(20_000, rel=0.05)


def test_decay_is_the_same_two_ways_under_sgd_and_not_under_adam():
    prepared = images()
    entries = {e.name: e for e in get("decay").contenders}

    def proba(name: str) -> np.ndarray:
        entry = entries[name].having(dtype="float64", max_epochs=3)
        return entry.make(prepared.problem, 0, 1, entry.settings).fit(prepared.X, prepared.y).predict_proba(prepared.X)

    np.testing.assert_allclose(proba("SGD L2"), proba("SGD decoupled"), rtol=1e-9)
    for rule in ("momentum", "Adam"):
        assert np.abs(proba(f"{rule} L2") - proba(f"{rule} decoupled")).max() > 1e-3
    assert np.abs(proba("SGD L2") - proba("SGD none")).max() > 1e-3


def test_columns_that_are_no_image_are_refused():
    done = value(get("architectures").contenders[0], rough("binary"))
    assert done.status == "failed"
    assert "3 columns, which is no square image" in done.error


def test_shuffled_pixels_are_shuffled_the_same_way_for_training_and_held_out_rows():
    class Columns:
        def fit(self, X, y):
            self.seen = X
            return self

        def predict_proba(self, X):
            return X

    X = np.arange(32).reshape(2, 16)
    shuffled = c._Shuffled(Columns()).fit(X, None)
    assert np.array_equal(shuffled.estimator.seen, shuffled.predict_proba(X))
    assert not np.array_equal(shuffled.estimator.seen, X)
    assert sorted(shuffled.estimator.seen[0]) == list(range(16))


def test_numbers_of_a_network_are_keyed_by_its_room_and_by_torch():
    entry = get("optimizers").contenders[0]
    assert "nn" in plan._parts(entry, "classification")
    assert "torch" in plan._versions([entry])
    dummy = get("optimizers").contenders[-1]
    assert "nn" not in plan._parts(dummy, "classification")
    assert "torch" not in plan._versions([dummy])


def test_robust_losses_are_found_better_where_labels_are_wrong_and_not_where_they_are_right():
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    digits = from_arrays("digits", X, y, task="multiclass")
    entries = {e.name: e for e in get("noisy-labels").contenders}

    def accuracy(name: str, **settings: Any) -> float:
        done = value(entries[name].having(max_epochs=25, learning_rate=5e-3, **settings), digits)
        return done.values["accuracy"]

    plain = accuracy("cross-entropy")
    for name in ("mean absolute error", "generalised CE", "symmetric CE"):
        assert accuracy(name) > plain + 0.05, name
        assert accuracy(name, mislabelled=0.0) < accuracy("cross-entropy, right labels") + 0.02, name
