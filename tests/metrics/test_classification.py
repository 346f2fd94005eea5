"""Scores of labels beside scikit-learn, their symmetries, and what they refuse."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.exceptions import UndefinedMetricWarning

from breadth import metrics as ours

few = settings(max_examples=40, deadline=None)
SUMS = {"rtol": 1e-12, "atol": 1e-15}  # sums in another order

KINDS = {
    "whole numbers": lambda codes: codes * 3 - 4,
    "wide numbers": lambda codes: codes * 10**12,
    "text": lambda codes: np.array(["ant", "bee", "cat", "dog", "eel"])[codes],
    "objects": lambda codes: np.array(["ant", "bee", "cat", "dog", "eel"], object)[codes],
    "floats": lambda codes: codes * 2.0,
}


def case(seed: int, kind: str = "whole numbers", k: int = 4, n: int = 60):
    """Labels, predictions that are right half of the time, and weights with zeros among them."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, k, n)
    pred = np.where(rng.random(n) < 0.5, true, rng.integers(0, k, n))
    weight = rng.exponential(size=n) * (rng.random(n) < 0.8)
    return KINDS[kind](true), KINDS[kind](pred), weight


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("average", ["micro", "macro", "weighted", None])
def test_scores_of_several_labels_are_scikit_learns(kind, weighted, average):
    true, pred, weight = case(0, kind)
    how = {"average": average, "sample_weight": weight if weighted else None}
    for name in ("precision_score", "recall_score", "f1_score"):
        assert_allclose(getattr(ours, name)(true, pred, **how), getattr(sk, name)(true, pred, **how), **SUMS)
    for beta in (0, 0.5, 2, np.inf):
        f = ours.fbeta_score(true, pred, beta=beta, **how)
        assert_allclose(f, sk.fbeta_score(true, pred, beta=beta, **how), **SUMS)
    assert_allclose(
        np.array(ours.precision_recall_fscore_support(true, pred, **how)[:3]),
        np.array(sk.precision_recall_fscore_support(true, pred, **how)[:3]),
        **SUMS,
    )
    chosen = np.unique(true)[[2, 0]]
    f = ours.f1_score(true, pred, labels=chosen, **how)
    assert_allclose(f, sk.f1_score(true, pred, labels=list(chosen), **how), **SUMS)


@pytest.mark.parametrize("weighted", [False, True])
def test_specificity_and_false_positive_rate_are_those_of_scikit_learns_matrices(weighted):
    true, pred, weight = case(1)
    weight = weight if weighted else None
    matrices = sk.multilabel_confusion_matrix(true, pred, sample_weight=weight)
    tn, fp = matrices[:, 0, 0], matrices[:, 0, 1]
    how = {"average": None, "sample_weight": weight}
    assert_allclose(ours.specificity_score(true, pred, **how), tn / (tn + fp), **SUMS)
    assert_allclose(ours.false_positive_rate(true, pred, **how), fp / (tn + fp), **SUMS)
    micro = ours.specificity_score(true, pred, average="micro", sample_weight=weight)
    assert_allclose(micro, tn.sum() / (tn + fp).sum(), **SUMS)
    two, other, weight = case(2, k=2)
    for positive, negative in (np.unique(two), np.unique(two)[::-1]):
        found = ours.specificity_score(two, other, pos_label=positive, sample_weight=weight)
        assert_allclose(found, sk.recall_score(two, other, pos_label=negative, sample_weight=weight), **SUMS)
        rate = ours.false_positive_rate(two, other, pos_label=positive, sample_weight=weight)
        assert_allclose(rate, 1 - found, **SUMS)


@pytest.mark.parametrize("average", ["micro", "macro", "weighted", "samples", None])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("zero_division", [0, 1, np.nan])
def test_rows_with_several_labels_are_scored_as_by_scikit_learn(average, weighted, zero_division):
    rng = np.random.default_rng(3)
    true, pred = rng.random((2, 30, 5)) < 0.3
    true[:, 4] = pred[:, 3] = False
    true[0] = pred[0] = False
    weight = rng.exponential(size=30) if weighted else None
    how = {"average": average, "sample_weight": weight, "zero_division": zero_division}
    for name in ("precision_score", "recall_score", "f1_score"):
        theirs = getattr(sk, name)(true.astype(int), pred.astype(int), **how)
        assert_allclose(getattr(ours, name)(true, pred, **how), theirs, **SUMS)
    assert ours.accuracy_score(true, pred) == sk.accuracy_score(true.astype(int), pred.astype(int))


@pytest.mark.parametrize("average", ["macro", "weighted", "micro", None])
@pytest.mark.parametrize("zero_division", [0, 1, np.nan])
def test_labels_that_never_occur_get_what_zero_division_says(average, zero_division):
    how = {"average": average, "labels": [0, 1, 2, 7], "zero_division": zero_division}
    for true, pred in (([0, 1, 1, 1], [0, 0, 2, 2]), ([0, 0], [1, 1]), ([2], [2])):
        for name in ("precision_score", "recall_score", "f1_score"):
            assert_allclose(getattr(ours, name)(true, pred, **how), getattr(sk, name)(true, pred, **how), **SUMS)
    if average is None:
        found = ours.specificity_score([1, 1], [1, 0], average=None, zero_division=zero_division)
        assert_array_equal(found, [0.5, zero_division])


def test_an_undefined_score_is_zero_with_a_warning_that_says_so():
    with pytest.warns(UndefinedMetricWarning, match="precision is not defined and set to 0 for 1 of 1"):
        assert ours.precision_score([0, 1], [0, 0]) == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ours.precision_score([0, 1], [0, 0], zero_division=0) == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("normalize", [None, "true", "pred", "all"])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_confusion_matrix_is_scikit_learns(kind, normalize, weighted):
    true, pred, weight = case(4, kind)
    how = {"normalize": normalize, "sample_weight": weight if weighted else None}
    assert_allclose(ours.confusion_matrix(true, pred, **how), sk.confusion_matrix(true, pred, **how), **SUMS)
    chosen = [np.unique(true)[i] for i in (3, 1)]
    theirs = sk.confusion_matrix(true, pred, labels=chosen, **how)
    assert_allclose(ours.confusion_matrix(true, pred, labels=chosen, **how), theirs, **SUMS)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("k", [2, 5])
def test_scores_of_all_labels_are_scikit_learns(weighted, k):
    for seed in range(5):
        true, pred, weight = case(seed, "text", k)
        how = {"sample_weight": weight if weighted else None}
        for name in ("accuracy_score", "balanced_accuracy_score", "matthews_corrcoef"):
            assert_allclose(getattr(ours, name)(true, pred, **how), getattr(sk, name)(true, pred, **how), **SUMS)
        adjusted = ours.balanced_accuracy_score(true, pred, adjusted=True, **how)
        assert_allclose(adjusted, sk.balanced_accuracy_score(true, pred, adjusted=True, **how), **SUMS)
        total = ours.accuracy_score(true, pred, normalize=False, **how)
        assert_allclose(total, sk.accuracy_score(true, pred, normalize=False, **how), **SUMS)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("k", [2, 4])
def test_log_loss_is_scikit_learns_where_it_clips_and_exact_where_not_asked_to(dtype, k):
    rng = np.random.default_rng(5)
    true, _, weight = case(5, "text", k)
    proba = rng.dirichlet(np.full(k, 0.3), size=60).astype(dtype)
    proba /= proba.sum(1, keepdims=True)
    proba[3] = np.eye(k)[1]
    for how in ({}, {"sample_weight": weight}, {"normalize": False}):
        theirs = sk.log_loss(true, proba, **how)
        found = ours.log_loss(true, proba, eps=float(np.finfo(dtype).eps), **how)
        # float32 logarithms differ in their last bit between processors' vector units
        assert_allclose(found, theirs, rtol=1e-12 if dtype == np.float64 else 1e-6)
    if k == 2:
        assert ours.log_loss(true, proba[:, 1]) == ours.log_loss(true, np.column_stack([1 - proba[:, 1], proba[:, 1]]))
    assert ours.log_loss([0, 1], [0.0, 1.0]) == 0
    assert ours.log_loss([0, 1], [1.0, 1.0]) == math.inf
    assert ours.log_loss([0, 1], [1.0, 1.0], sample_weight=[0, 1]) == 0


def test_a_hundred_million_rows_lose_no_count():
    from breadth.metrics.accuracy import correlation_of_counts

    tp, fn, fp, tn = 10**8 - 7, 7, 3, 10**8 - 3
    found = correlation_of_counts(np.array([tn + fp, tp + fn]), np.array([tn + fn, tp + fp]), tp + tn)
    exact = (tp * tn - fp * fn) / math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    assert found == pytest.approx(exact, rel=1e-15)
    weights = [10**8 - 7, 7, 3, 10**8 - 3]
    matrix = ours.confusion_matrix([1, 1, 0, 0], [1, 0, 1, 0], sample_weight=weights)
    assert matrix.dtype == np.int64
    assert_array_equal(matrix, [[10**8 - 3, 3], [7, 10**8 - 7]])


rows = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=30).map(np.array)


@few
@given(rows)
def test_scores_keep_their_bounds_and_symmetries(table):
    true, pred = table.T
    score = {
        name: getattr(ours, name)(true, pred, zero_division=0)
        for name in ("precision_score", "recall_score", "f1_score", "specificity_score", "false_positive_rate")
    }
    assert all(0 <= value <= 1 for value in score.values())
    assert score["precision_score"] == ours.recall_score(pred, true, zero_division=0)
    assert score["f1_score"] == ours.f1_score(pred, true, zero_division=0)
    low, high = sorted((score["precision_score"], score["recall_score"]))
    assert low - 1e-12 <= score["f1_score"] <= high + 1e-12
    if 0 in true:
        assert score["specificity_score"] + score["false_positive_rate"] == pytest.approx(1)
    mcc = ours.matthews_corrcoef(true, pred)
    assert -1 - 1e-12 <= mcc <= 1 + 1e-12
    assert mcc == pytest.approx(ours.matthews_corrcoef(pred, true))
    assert ours.matthews_corrcoef(true, 1 - pred) == pytest.approx(-mcc)
    assert ours.confusion_matrix(true, pred, labels=[0, 1]).sum() == len(true)
    turned = ours.confusion_matrix(pred, true, labels=[0, 1])
    assert_array_equal(ours.confusion_matrix(true, pred, labels=[0, 1]).T, turned)
    order = np.random.default_rng(0).permutation(len(true))
    assert ours.accuracy_score(true[order], pred[order]) == ours.accuracy_score(true, pred)


@few
@given(rows, st.integers(0, 2**31))
def test_weights_that_are_counts_are_repeated_rows(table, seed):
    true, pred = table.T
    weight = np.random.default_rng(seed).integers(0, 4, len(true))
    if not weight.any():
        return
    again = {name: np.repeat(column, weight) for name, column in (("t", true), ("p", pred))}
    for name in ("accuracy_score", "matthews_corrcoef", "balanced_accuracy_score"):
        metric = getattr(ours, name)
        assert metric(true, pred, sample_weight=weight) == pytest.approx(metric(again["t"], again["p"]))
    for name in ("precision_score", "recall_score", "f1_score", "specificity_score"):
        metric = getattr(ours, name)
        weighted = metric(true, pred, sample_weight=weight, zero_division=0)
        assert weighted == pytest.approx(metric(again["t"], again["p"], zero_division=0))


def test_mcnemar_counts_the_rows_that_only_one_has_right():
    true = np.ones(20, int)
    first, second = np.ones(20, int), np.ones(20, int)
    first[:2], second[2:11] = 0, 0
    found = ours.mcnemar(true, first, second)
    assert found[:3] == (9, 2, 2.0)
    assert found.p == pytest.approx(2 * sum(math.comb(11, i) for i in range(3)) / 2**11)
    assert ours.mcnemar(true, second, first).p == found.p
    middle = ours.mcnemar(true, first, second, method="mid-p").p
    assert middle == pytest.approx(found.p - math.comb(11, 2) / 2**11)
    assert ours.mcnemar(true, first, first).p == 1
    assert ours.mcnemar([1, 1], [1, 0], [0, 1], method="chi2-corrected").p == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ours.f1_score([], []), "y_true is empty"),
        (lambda: ours.f1_score([1, 0], [1]), r"y_pred has shape \(1,\) and y_true \(2,\)"),
        (lambda: ours.f1_score([1, np.nan], [1, 0]), "y_true holds NaN in 1 places"),
        (lambda: ours.f1_score(["a", None], ["a", "b"]), "y_true holds None"),
        (lambda: ours.f1_score([0, 1, 2], [0, 1, 2]), "average='binary' is for two labels, and there are 3"),
        (lambda: ours.f1_score([3, 4], [3, 4]), "pos_label=1 is not among the labels"),
        (lambda: ours.f1_score([0, 1], [0, 1], average="mean"), "average must be one of"),
        (lambda: ours.f1_score([0, 1], [0, 1], sample_weight=[0, 0]), "sample_weight sums to zero"),
        (lambda: ours.f1_score([0, 1], [0, 1], sample_weight=[1, -1]), "finite numbers >= 0"),
        (lambda: ours.f1_score([0, 1], [0, 1], sample_weight=[1, 1, 1]), r"sample_weight must have shape \(2,\)"),
        (lambda: ours.f1_score([0, 1], [0, 1], zero_division=3), "zero_division must be"),
        (lambda: ours.f1_score([0, 1], [0, 1], labels=[1, 1], average="macro"), "labels holds a label twice"),
        (lambda: ours.fbeta_score([0, 1], [0, 1], beta=-1), "beta must be >= 0"),
        (lambda: ours.f1_score(["a", "b"], [0, 1], average="macro"), "labels mix text and numbers"),
        (lambda: ours.accuracy_score(["a", "b"], [0, 1]), "mix text and numbers"),
        (lambda: ours.f1_score([[2, 1]], [[1, 1]], average="macro"), "must hold zeros and ones only"),
        (lambda: ours.f1_score([0, 1], [0, 1], average="samples"), "rows with several labels"),
        (lambda: ours.confusion_matrix([0, 1], [0, 1], labels=[5]), "none of labels occurs"),
        (lambda: ours.confusion_matrix([0, 1], [0, 1], normalize="rows"), "normalize must be one of"),
        (lambda: ours.balanced_accuracy_score([1, 1], [1, 0], adjusted=True), "at least two labels"),
        (lambda: ours.log_loss([0, 1], [0.2, 1.2]), r"y_proba must lie in \[0, 1\]"),
        (lambda: ours.log_loss([0, 1], [[0.2, 0.2], [0.5, 0.5]]), "row 0 is off by 0.6"),
        (lambda: ours.log_loss([0, 1, 2], [0.2, 0.2, 0.1]), "2 columns for the 3 labels"),
        (lambda: ours.log_loss([1, 1], [0.2, 0.2]), "single label"),
        (lambda: ours.log_loss([0, 1], [0.2, np.nan]), "y_proba holds NaN"),
        (lambda: ours.log_loss([0, 3], [0.2, 0.2], labels=[0, 1]), "not among labels"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("name", ["accuracy_score", "confusion_matrix", "balanced_accuracy_score", "recall_score"])
def test_scores_that_were_given_for_classes_are_refused_with_the_way_to_make_classes(name):
    with pytest.raises(ValueError, match=r"y_pred holds 0.9, which is no class; .*score > 0.5"):
        getattr(ours, name)([0, 1, 1], [0.0, 0.9, 1.0])


def test_a_sparse_matrix_of_labels_is_refused_with_the_call_that_makes_it_dense():
    labels = sparse.eye_array(3, dtype=int, format="csr")
    with pytest.raises(ValueError, match=r"y_true.toarray\(\)"):
        ours.f1_score(labels, labels, average="micro")
