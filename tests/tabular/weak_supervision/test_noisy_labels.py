"""Wrong labels: noise as it is said, confident learning by its definition, planted mistakes found, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import parametrize_with_checks

from breadth.tabular.weak_supervision.confident_learning import ConfidentLearningClassifier
from breadth.tabular.weak_supervision.noisy_labels import (
    FILTERS,
    confident_joint,
    estimate_joint,
    find_label_issues,
    flip_labels,
    noise_matrix,
)


@parametrize_with_checks([ConfidentLearningClassifier(LogisticRegression(), cv=3)])
def test_estimator_protocol(estimator, check):
    check(estimator)


@pytest.mark.parametrize("kind", ["symmetric", "pair"])
def test_labels_are_wrong_as_often_and_in_the_way_that_the_matrix_says(kind):
    y = np.repeat(np.array(["a", "b", "c"]), 20_000)
    T = noise_matrix(3, 0.3, kind)
    assert_allclose(T.sum(1), 1, rtol=1e-12)
    told = flip_labels(y, T, random_state=0)
    found = np.array([[(told[y == i] == j).mean() for j in "abc"] for i in "abc"])
    assert_allclose(found, T, atol=4 * 0.5 / np.sqrt(20_000))  # four standard errors at most
    assert_array_equal(flip_labels(y, np.eye(3), random_state=0), y)
    assert T[0, 2] == (0 if kind == "pair" else pytest.approx(0.15, rel=1e-12))


def noisy(n: int = 1200, rate: float = 0.2, seed: int = 0, mean: float = 0.0):
    """Three groups; T is not symmetric: class 0 is often called 1."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(3, size=n)
    X = rng.normal(size=(n, 2)) + 4 * np.array([[0, 0], [1, 0], [0, 1]])[truth]
    T = np.array([[1 - rate, rate, 0], [rate / 4, 1 - rate / 4, 0], [0, 0, 1]])
    return X + mean, flip_labels(truth, T, random_state=seed), truth, T


def by_loops(y, p):
    """The paper's equations 1 to 3 and its rules, row by row."""
    n, k = p.shape
    limit = [np.mean([p[i, j] for i in range(n) if y[i] == j]) for j in range(k)]
    C = np.zeros((k, k))
    confident = np.zeros(n, bool)
    for i in range(n):
        able = [j for j in range(k) if p[i, j] >= limit[j] - 1e-12]
        if able:
            j = max(able, key=lambda j: p[i, j])
            C[y[i], j] += 1
            confident[i] = j != y[i]
    Q = C / C.sum(1, keepdims=True) * np.bincount(y)[:, None]
    Q /= Q.sum()
    by_class, by_rate = np.zeros(n, bool), np.zeros(n, bool)
    for i in range(k):
        rows = [r for r in range(n) if y[r] == i]
        many = sum(int(n * Q[i, j] + 1e-9) for j in range(k) if j != i)
        by_class[sorted(rows, key=lambda r: p[r, i])[:many]] = True
        for j in set(range(k)) - {i}:
            by_rate[sorted(rows, key=lambda r: p[r, i] - p[r, j])[: int(n * Q[i, j] + 1e-9)]] = True
    rules = {"confident": confident, "prune_by_class": by_class, "prune_by_noise_rate": by_rate}
    return C, Q, {**rules, "both": by_class & by_rate}


def test_joint_and_rules_are_those_of_plain_loops():
    X, y, _, _ = noisy(400)
    p = cross_val_predict(LogisticRegression(), X, y, method="predict_proba")
    C, Q, rules = by_loops(y, p)
    assert_array_equal(confident_joint(y, p), C)
    assert_allclose(estimate_joint(y, p), Q, rtol=1e-12)
    for rule in FILTERS:
        assert_array_equal(find_label_issues(y, p, filter_by=rule), rules[rule], rule)


def test_the_estimated_joint_is_near_the_true_one():
    X, y, truth, _ = noisy(6000)
    p = cross_val_predict(LogisticRegression(), X, y, method="predict_proba")
    true = np.array([[np.mean((y == i) & (truth == j)) for j in range(3)] for i in range(3)])
    assert_allclose(estimate_joint(y, p), true, atol=0.02)  # groups overlap by 2 %


@pytest.mark.parametrize("rule", FILTERS)
def test_most_mistakes_are_found_and_most_of_what_is_found_are_mistakes(rule):
    X, y, truth, _ = noisy(mean=1e4)
    model = ConfidentLearningClassifier(LogisticRegression(max_iter=10_000), filter_by=rule).fit(X - 1e4, y)
    wrong, found = y != truth, model.label_issues_
    assert (wrong & found).sum() > 0.6 * wrong.sum()  # "confident" and "both" are the cautious rules
    assert (wrong & found).sum() > 0.75 * found.sum()


def test_taking_mistakes_out_helps_where_there_are_many_and_does_not_harm_where_there_are_none():
    def gain(rate, seed):
        X, y, _, _ = noisy(400, rate, seed)
        fresh, _, right, _ = noisy(2000, 0.0, 99)
        plain = LogisticRegression(C=100).fit(X, y).score(fresh, right)
        return ConfidentLearningClassifier(LogisticRegression(C=100)).fit(X, y).score(fresh, right) - plain

    many = [gain(0.45, seed) for seed in range(5)]
    none = [gain(0.0, seed) for seed in range(5)]
    assert np.mean(many) > 0.02
    assert np.mean(none) > -0.005


def test_the_classifier_is_its_steps_one_by_one_and_weights_make_up_for_rows_taken_out():
    X, y, _, _ = noisy(400)
    names = np.array(["x", "y", "z"])[y]
    model = ConfidentLearningClassifier(LogisticRegression(), cv=4, reweight=True).fit(X, names)
    p = cross_val_predict(LogisticRegression(), X, y, cv=4, method="predict_proba")
    kept = ~find_label_issues(y, p)
    Q = estimate_joint(y, p)
    weight = (Q.sum(0) / np.diag(Q))[y[kept]]
    twin = LogisticRegression().fit(X[kept], names[kept], sample_weight=weight)
    assert_allclose(model.predict_proba(X), twin.predict_proba(X), rtol=1e-12)
    assert weight.max() > 1.1


def test_a_label_of_which_all_rows_look_wrong_keeps_one_and_one_none_of_whose_rows_is_sure_counts_as_right():
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.8, 0.2], [0.85, 0.15]])
    y = np.array([0, 0, 1, 1])
    for rule in FILTERS:
        assert not find_label_issues(y, p, filter_by=rule)[2:].all()
    assert np.isfinite(estimate_joint(y, p)).all() and estimate_joint(y, p).sum() == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: noise_matrix(1, 0.1), "n_classes must be"),
        (lambda: noise_matrix(3, 1.1), "rate must be"),
        (lambda: noise_matrix(3, 0.1, "odd"), "kind must be"),
        (lambda: flip_labels([0, 1], np.eye(3)), "noise must have the shape"),
        (lambda: flip_labels([0, 1], [[0.5, 0.4], [0, 1]]), "rows that sum to 1"),
        (lambda: confident_joint([0, 1], [[0.5, 0.4], [0, 1]]), "must be probabilities"),
        (lambda: confident_joint([0, 0], [[0.5, 0.5], [0, 1]]), "each at least once"),
        (lambda: find_label_issues([0, 1], np.eye(2), filter_by="none"), "filter_by must be"),
        (lambda: ConfidentLearningClassifier(LinearSVC()).fit(np.eye(10), np.arange(10) % 2), "predict_proba"),
    ],
    ids=range(9),
)
def test_bad_input_is_told(call, words):
    with pytest.raises(ValueError, match=words):
        call()
