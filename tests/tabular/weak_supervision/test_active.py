"""Active learning: formulas in closed form, what is asked for, the budget, going on where one left off, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import entropy as scipy_entropy
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks

from breadth.tabular.weak_supervision.active import ActiveLearner
from breadth.tabular.weak_supervision.query import (
    STRATEGIES,
    consensus_kl,
    entropy,
    least_confidence,
    margin,
    vote_entropy,
)


@parametrize_with_checks(
    [
        ActiveLearner(LogisticRegression(), budget=1000, batch_size=50),
        ActiveLearner(GaussianNB(), strategy="consensus_kl", committee=2, budget=1000, batch_size=50),
    ]
)
def test_estimator_protocol(estimator, check):
    check(estimator)


def pool(n: int = 400, classes: int = 3, seed: int = 0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 4))
    return X, np.digitize(X[:, 0] + X[:, 1] + rng.normal(size=n) / 4, np.linspace(-1, 1, classes + 1)[1:-1])


def probabilities(n: int = 50, k: int = 4, members: int = 3):
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.full(k, 0.3), size=(members, n))
    p[0, 0], p[1, 1], p[:, 2] = np.eye(k)[1], 1 / k, np.eye(k)[0]  # sure, wholly unsure, all of one mind
    return p


def test_scores_are_their_formulas():
    p = probabilities()
    top = np.sort(p[0], axis=1)
    assert_allclose(least_confidence(p[0]), 1 - top[:, -1], rtol=1e-12)
    assert_allclose(margin(p[0]), top[:, -1] - top[:, -2], rtol=1e-12)
    assert_allclose(entropy(p[0]), scipy_entropy(p[0], axis=1), rtol=1e-12)
    mean = p.mean(0)
    kl = np.mean([scipy_entropy(member, mean, axis=1) for member in p], axis=0)
    assert_allclose(consensus_kl(p), kl, rtol=1e-12, atol=1e-15)
    # the divergence is the entropy of the mean less the mean entropy
    assert_allclose(consensus_kl(p), entropy(mean) - np.mean([entropy(m) for m in p], axis=0), atol=1e-12)
    votes = np.array([[0, 0, 0], [0, 1, 2], [3, 3, 1]])
    by_hand = [0, np.log(3), -(2 / 3 * np.log(2 / 3) + 1 / 3 * np.log(1 / 3))]
    assert_allclose(vote_entropy(votes, 4), by_hand, rtol=1e-12)
    assert_allclose(margin(np.ones((2, 1))), 1)


@pytest.mark.parametrize("strategy", STRATEGIES[:3])
def test_what_is_asked_for_is_what_scores_best_among_rows_not_asked_yet(strategy):
    X, y = pool()
    learner = ActiveLearner(LogisticRegression(), strategy=strategy, budget=40, batch_size=5).fit(X, y)
    best = {"least_confidence": least_confidence, "margin": lambda p: -margin(p), "entropy": entropy}[strategy]
    known = list(learner.history_[0].rows)
    for query in learner.history_[1:]:
        model = LogisticRegression().fit(X[np.sort(known)], y[np.sort(known)])
        rest = np.setdiff1d(np.arange(400), known)
        scores = best(model.predict_proba(X[rest]))
        assert_array_equal(query.rows, rest[np.argsort(-scores, kind="stable")[:5]])
        assert_array_equal(query.labels, y[query.rows])
        known += list(query.rows)
    assert len(set(known)) == len(known) == 40 == learner.history_[-1].n_labels


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_budget_is_what_the_oracle_is_asked_for_and_a_run_goes_on_where_it_was_cut(strategy):
    X, y = pool()
    asked: list[int] = []

    def oracle(rows):
        asked.extend(rows.tolist())
        return y[rows]

    def make():
        return ActiveLearner(GaussianNB(), strategy=strategy, budget=33, batch_size=4, random_state=3)

    whole = make().ask(X, oracle)
    assert len(asked) == len(set(asked)) == 33
    saved = []
    make().ask(X, oracle, then=lambda learner: saved.append(learner.labels_.copy()))
    for labels in (saved[0], saved[3]):
        asked.clear()
        again = make().ask(X, oracle, labels=labels)
        assert len(asked) == 33 - sum(label is not None for label in labels)
        assert_array_equal(again.labels_, whole.labels_)
        assert_array_equal(again.predict_proba(X), whole.predict_proba(X))


def test_a_pool_smaller_than_the_budget_is_asked_for_whole_and_strings_are_labels_too():
    X, y = pool(60)
    names = np.array(["low", "middle", "high"])[y]
    learner = ActiveLearner(LogisticRegression(), budget=1000, batch_size=7).fit(X, names)
    assert_array_equal(learner.labels_.astype(str), names)
    assert_array_equal(learner.predict(X), LogisticRegression().fit(X, names).predict(X))
    votes = ActiveLearner(LinearSVC(), strategy="vote_entropy", budget=30).fit(X, names)
    assert len(votes.history_) == 21 and votes.score(X, names) > 0.6


def test_random_rows_are_drawn_until_there_are_two_classes_and_a_budget_spent_on_one_is_told():
    X = np.arange(100.0)[:, None]
    y = (np.arange(100) >= 90).astype(int)
    learner = ActiveLearner(LogisticRegression(), n_initial=2, budget=60).fit(X, y)
    assert set(learner.history_[0].labels) == {0}
    assert {0, 1} <= set(learner.labels_) and learner.score(X, y) > 0.97
    with pytest.raises(ValueError, match="all 3 labels are of one class"):
        ActiveLearner(LogisticRegression(), n_initial=2, budget=3).fit(X, y)


def test_a_boundary_is_found_with_fewer_labels_by_asking_near_it_than_at_random():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(1000, 2))
    y = (X[:, 0] > 0.6).astype(int)
    fresh = rng.uniform(-1, 1, size=(2000, 2))
    error = {}
    for strategy in ("margin", "random"):
        runs = [
            ActiveLearner(
                LogisticRegression(C=1e3, max_iter=1000), strategy=strategy, budget=30, random_state=seed
            ).fit(X, y)
            for seed in range(5)
        ]
        error[strategy] = np.mean([1 - run.score(fresh, fresh[:, 0] > 0.6) for run in runs])
    assert error["margin"] < error["random"] / 2


def test_history_has_the_accuracy_on_rows_held_out():
    X, y = pool()
    learner = ActiveLearner(GaussianNB(), budget=20, batch_size=5)
    learner.ask(X[:300], lambda rows: y[rows], judged_by=(X[300:], y[300:]))
    assert learner.history_[-1].score == learner.score(X[300:], y[300:])
    assert np.isnan(learner.history_[0].scores).all() and np.isfinite(learner.history_[1].scores).all()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"estimator": None}, "estimator must be"),
        ({"strategy": "boldest"}, "strategy must be one of least_confidence"),
        ({"estimator": LinearSVC()}, "needs predict_proba"),
        ({"budget": 0}, "budget must be >= 1"),
        ({"batch_size": 0}, "batch_size must be >= 1"),
        ({"n_initial": 0}, "n_initial must be >= 1"),
        ({"committee": 1}, "at least 2 members"),
        ({"committee": [GaussianNB()]}, "at least 2 members"),
    ],
    ids=range(8),
)
def test_bad_parameters_are_told(settings, words):
    X, y = pool(50)
    with pytest.raises(ValueError, match=words):
        ActiveLearner(**{"estimator": GaussianNB(), **settings}).fit(X, y)


def test_bad_answers_labels_and_probabilities_are_told():
    X, y = pool(50)
    learner = ActiveLearner(DecisionTreeClassifier(), budget=20)
    for answer in (lambda rows: y[rows][:-1], lambda rows: [None] * len(rows), lambda rows: [np.nan] * len(rows)):
        with pytest.raises(ValueError, match="a label each"):
            learner.ask(X, answer)
    with pytest.raises(ValueError, match="50 of them, got shape"):
        learner.ask(X, lambda rows: y[rows], labels=y[:3])
    for wrong in (lambda: margin([[0.5, 0.6]]), lambda: entropy([[-0.5, 1.5]]), lambda: consensus_kl([[1.0]]),
                  lambda: vote_entropy([[3]], 3)):  # fmt: skip
        with pytest.raises(ValueError, match="must"):
            wrong()
