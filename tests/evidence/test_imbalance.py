"""The comparison on a rare class: rows that are seen, wrappers, planted truths, a null, and the command."""

from __future__ import annotations

import json
import pickle
from unittest import mock

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, balanced_accuracy_score

from breadth.cli.main import main
from breadth.data import load
from breadth.evidence import cell, measures
from breadth.evidence import contenders_imbalance as c
from breadth.evidence.cell import Job, Split
from breadth.evidence.comparison import get
from breadth.evidence.measures import score
from breadth.evidence.problem import Prepared, Problem, from_arrays, from_dataset
from tests.evidence import judged

COMPARISON = get("imbalance")
JOB = Job("quality", "t", "c", 0, 0, 0, "k")


@pytest.fixture(autouse=True)
def the_comparisons_measures():
    with mock.patch.dict(measures.MEASURES, COMPARISON.measures):
        yield


def screening(n: int = 6000, seed: int = 0) -> Prepared:
    return from_dataset(load(f"mammography_like:{n}", seed=seed))


def named(*names: str):
    return tuple(next(e for e in COMPARISON.contenders if e.name == name) for name in names)


def test_balanced_accuracy_and_average_precision_are_scikit_learns_of_the_rarer_class():
    rng = np.random.default_rng(0)
    for y in (np.arange(60) % 10 == 0, np.arange(60) % 10 != 0):
        p = rng.dirichlet(np.ones(2), 60)
        values = score(Problem("binary", 2, 3), y.astype(int), p)
        rarer = int(y.mean() < 0.5)
        assert values["average precision"] == pytest.approx(average_precision_score(y == rarer, p[:, rarer]), rel=1e-12)
        assert values["balanced accuracy"] == pytest.approx(balanced_accuracy_score(y, p.argmax(1)), rel=1e-12)
    p, y = rng.dirichlet(np.ones(3), 60), np.arange(60) % 3
    values = score(Problem("multiclass", 3, 3), y, p)
    assert values["average precision"] == pytest.approx(average_precision_score(np.eye(3)[y], p), rel=1e-12)
    assert values["balanced accuracy"] == pytest.approx(balanced_accuracy_score(y, p.argmax(1)), rel=1e-12)
    assert "balanced accuracy" not in score(Problem("multiclass", 3, 3), y[y < 2], p[y < 2])


@pytest.mark.parametrize(("of_rare", "kept"), [(300, 36), (30, 30)])
@pytest.mark.parametrize("label", [0, 1])
def test_the_rarest_class_is_thinned_to_its_share_and_left_where_it_has_less(of_rare, kept, label):
    y = np.full(684 + of_rare, 1 - label)
    y[:: len(y) // of_rare][:of_rare] = label
    y = np.where(np.cumsum(y == label) > of_rare, 1 - label, y)
    X, shown = c.rare(0.05, np.arange(len(y))[:, None], y, np.random.default_rng(0))
    assert (shown == label).sum() == kept and (shown != label).sum() == 684
    assert np.array_equal(y[X[:, 0]], shown)


def test_classes_alike_in_number_lose_rows_of_the_last_one():
    y = np.repeat([0, 1, 2], 95)
    _, shown = c.rare(0.05, y[:, None], y, np.random.default_rng(0))
    assert np.bincount(shown).tolist() == [95, 95, 10]


def test_a_moved_threshold_is_bayes_rule_with_classes_alike_in_number():
    class Known:
        def fit(self, X, y):
            return self

        def predict_proba(self, X):
            return np.array([[0.9, 0.1], [0.5, 0.5]])

    y = np.repeat([0, 1], [90, 10])
    p = c.Moved(Known()).fit(y[:, None], y).predict_proba(None)
    np.testing.assert_allclose(p, [[0.5, 0.5], [0.1, 0.9]], rtol=1e-12)


@pytest.mark.parametrize("label", [0, 1])
def test_the_asymmetric_loss_is_of_the_rarer_class_whichever_number_it_has(label):
    import torch

    from breadth.nn.losses import asymmetric_loss

    logits = torch.randn(8, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    target = torch.arange(8) % 2
    expected = asymmetric_loss(
        logits[:, label] - logits[:, 1 - label], (target == label).double(), gamma_neg=2.0, reduction="none"
    )
    assert torch.equal(c.asymmetric(label, logits, target, gamma_neg=2.0, reduction="none"), expected)


def test_every_contender_runs_and_can_be_stored_on_two_classes_with_holes_and_categories():
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=(300, 3)), rng.integers(0, 3, 300)])
    y = (X[:, 0] + X[:, 3] + rng.normal(size=300) > 2.5).astype(int)
    X[rng.random(X.shape) < 0.05] = np.nan
    prepared = from_arrays("rough", X, y, task="binary", categorical=[3])
    for entry in COMPARISON.contenders:
        entry = entry.having(max_epochs=1) if "max_epochs" in entry.settings else entry
        data = (prepared.problem, prepared.X, prepared.y)
        done = cell.quality(entry, *data, JOB, Split(3, 0, 0), measure=COMPARISON.measures["classification"][0])
        assert done.status == "ok", (entry.name, done.error)
        assert {m.name for m in COMPARISON.measures["classification"]} <= set(done.values)
        with_ = entry.fit_with(prepared.problem) if entry.fit_with else {}
        pickle.dumps(entry.make(prepared.problem, 0, 1, entry.settings).fit(prepared.X, prepared.y, **with_))


def test_of_three_classes_those_that_know_two_alone_say_so():
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=90)
    prepared = from_arrays("three", rng.normal(size=(90, 3)) + 2 * np.eye(3)[y], y, task="multiclass")
    reasons = {}
    for entry in COMPARISON.contenders:
        entry = entry.having(max_epochs=1) if "max_epochs" in entry.settings else entry
        data = (prepared.problem, prepared.X, prepared.y)
        done = cell.quality(entry, *data, JOB, Split(3, 0, 0), measure=COMPARISON.measures["classification"][0])
        if done.status != "ok":
            reasons[entry.name] = done.error
    assert set(reasons) == {"boosting, focal", "network, ASL"}
    assert "the target has 3 classes; leave this contender out" in reasons["network, ASL"]


def test_weights_and_a_moved_threshold_are_better_at_both_classes_and_worse_as_probabilities_and_rank_alike():
    entries = named("logistic", "logistic, re-weighted", "logistic, threshold moved", "dummy")
    prepared = screening()
    by_class = judged.calls(entries, prepared)
    assert by_class["logistic, re-weighted"] == by_class["logistic, threshold moved"] == "BETTER"
    assert by_class["dummy"] == "WORSE"
    ranked = judged.calls(entries, prepared, measure="average precision")
    assert ranked["logistic, threshold moved"] == "EQUIVALENT"
    assert ranked["logistic, re-weighted"] in ("EQUIVALENT", "CAN'T TELL", "WORSE")
    sure = judged.calls(entries, prepared, measure="log loss")
    assert sure["logistic, re-weighted"] == sure["logistic, threshold moved"] == "WORSE"


def test_boosted_stumps_and_networks_too_are_better_at_both_classes_by_weights_shifts_and_asymmetry():
    small = {"max_iter": 40, "max_leaf_nodes": 2}  # trees that have not fitted every row, where weights can speak
    trees = named("boosting", "boosting, re-weighted", "boosting, threshold moved")
    networks = named("network", "network, re-weighted", "network, balanced softmax", "network, ASL")
    for entries in (tuple(e.having(**small) for e in trees), tuple(e.having(max_epochs=5) for e in networks)):
        found = judged.calls(entries, screening())
        assert {found[e.name] for e in entries[1:]} == {"BETTER"}, found


def test_contenders_that_draw_alike_are_told_apart_in_at_most_five_percent_of_200_replays():
    rng = np.random.default_rng(0)
    y = (np.arange(400) % 20 == 0).astype(int)

    def tables(i: int) -> Prepared:
        return from_arrays("null", (2 * y + rng.normal(size=400))[:, None], y, task="binary")

    def noisy(X, rng):
        p = 1 / (1 + np.exp(2 - X[:, 0] - rng.normal(size=len(X))))
        return np.column_stack([1 - p, p])

    by = tuple(m.name for m in COMPARISON.measures["classification"][:3])
    assert judged.told_apart(noisy, tables, by=by) <= judged.LEVEL_AND_NOISE


def test_the_command_judges_by_balanced_accuracy(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = ["--data", "mammography_like:6000", "--contenders", "logistic,logistic-re-weighted,dummy"]
    few = ["--seeds", "1", "--rounds", "0", "--jobs", "1", "-o", "json"]
    assert main(["compare", "imbalance", *arguments, *few]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["measures"][0]["name"] == "balanced accuracy"
    assert {r["contender"]: r["verdict"] for r in record["tables"][0]["results"]}["dummy"] == "WORSE"
