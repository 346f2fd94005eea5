"""Rankings of two classes beside scikit-learn and beside all pairs counted one by one."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import norm

from breadth import metrics as ours

few = settings(max_examples=40, deadline=None)
SUMS = {"rtol": 1e-12, "atol": 1e-15}  # sums in another order


def case(seed: int, n: int = 200, ties: bool = True):
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < 0.3).astype(int)
    y[:2] = 0, 1
    score = rng.normal(size=n) + y
    weight = rng.exponential(size=n) * (rng.random(n) < 0.8)
    weight[:2] = 1
    return y, np.round(score) if ties else score, weight


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_curves_and_areas_are_scikit_learns(ties, weighted, dtype):
    for seed in range(4):
        y, score, weight = case(seed, ties=ties)
        score = score.astype(dtype)
        how = {"sample_weight": weight if weighted else None}
        assert_allclose(ours.roc_auc_score(y, score, **how), sk.roc_auc_score(y, score, **how), **SUMS)
        for stop in (0.05, 0.3, 1.0):
            found = ours.roc_auc_score(y, score, max_fpr=stop, **how)
            assert_allclose(found, sk.roc_auc_score(y, score, max_fpr=stop, **how), **SUMS)
        ap = ours.average_precision_score(y, score, **how)
        assert_allclose(ap, sk.average_precision_score(y, score, **how), **SUMS)
        for drop in (False, True):
            pairs = (
                (ours.precision_recall_curve, sk.precision_recall_curve),
                (ours.roc_curve, sk.roc_curve),
            )
            for mine, theirs in pairs:
                if weighted and drop:  # which points lie on a line is decided by rounding
                    continue
                for a, b in zip(
                    mine(y, score, drop_intermediate=drop, **how),
                    theirs(y, score, drop_intermediate=drop, **how),
                    strict=True,
                ):
                    assert_allclose(a, b, **SUMS)


def test_dropping_points_of_a_weighted_curve_keeps_its_area():
    y, score, weight = case(9)
    fpr, tpr, _ = ours.roc_curve(y, score, sample_weight=weight)
    assert_allclose(np.trapezoid(tpr, fpr), sk.roc_auc_score(y, score, sample_weight=weight), **SUMS)


@pytest.mark.parametrize("average", ["macro", "weighted", None])
def test_several_classes_are_scikit_learns(average):
    rng = np.random.default_rng(0)
    y = np.array(["ant", "bee", "cat", "dog"])[rng.integers(0, 4, 150)]
    proba = np.round(rng.dirichlet(np.ones(4), 150), 1)
    proba[:, 0] += 1 - proba.sum(1)
    weight = rng.exponential(size=150)
    for how in ({}, {"sample_weight": weight}):
        found = ours.roc_auc_score(y, proba, multi_class="ovr", average=average, **how)
        assert_allclose(found, sk.roc_auc_score(y, proba, multi_class="ovr", average=average, **how), **SUMS)
        ap = ours.average_precision_score(y, proba, average=average, **how)
        assert_allclose(ap, sk.average_precision_score(y, proba, average=average, **how), **SUMS)
    if average is not None:
        found = ours.roc_auc_score(y, proba, multi_class="ovo", average=average)
        assert_allclose(found, sk.roc_auc_score(y, proba, multi_class="ovo", average=average), **SUMS)
    else:
        micro = ours.roc_auc_score(y, proba, multi_class="ovr", average="micro")
        assert_allclose(micro, sk.roc_auc_score(y, proba, multi_class="ovr", average="micro"), **SUMS)


@pytest.mark.parametrize("average", ["macro", "micro", "weighted", "samples", None])
def test_several_labels_are_scikit_learns(average):
    rng = np.random.default_rng(1)
    y = rng.random((60, 4)) < 0.4
    y[:, 1] = ~y[:, 0]  # every row and every column has both
    score = np.round(rng.normal(size=(60, 4)) + y, 1)
    weight = rng.exponential(size=60)
    for how in ({"average": average}, {"average": average, "sample_weight": weight}):
        for name in ("roc_auc_score", "average_precision_score"):
            theirs = getattr(sk, name)(y.astype(int), score, **how)
            assert_allclose(getattr(ours, name)(y, score, **how), theirs, **SUMS)


def test_infinite_scores_rank_first_and_last_and_text_labels_have_an_order():
    y = np.array(["no", "yes", "no", "yes", "yes"])
    score = np.array([-np.inf, np.inf, 0.0, 0.0, 1.0])
    ranks = np.array([0.0, 3.0, 1.0, 1.0, 2.0])
    assert ours.roc_auc_score(y, score) == sk.roc_auc_score(y, ranks)
    found = ours.average_precision_score(y, score, pos_label="yes")
    assert found == pytest.approx(sk.average_precision_score(y, ranks, pos_label="yes"), rel=1e-15)
    fpr, tpr, thresholds = ours.roc_curve(y, score, pos_label="yes", drop_intermediate=False)
    assert_array_equal(thresholds, [np.inf, np.inf, 1, 0, -np.inf])
    assert_array_equal(tpr, [0, 1 / 3, 2 / 3, 1, 1])
    assert_array_equal(fpr, [0, 0, 0, 0.5, 1])
    assert ours.roc_auc_score(y, score, sample_weight=np.ones(5)) == pytest.approx(11 / 12, rel=1e-15)


def test_when_all_scores_tie_nothing_is_ranked():
    y = np.array([0, 1, 1, 0, 1])
    assert ours.roc_auc_score(y, np.zeros(5)) == 0.5
    assert ours.average_precision_score(y, np.zeros(5)) == 0.6
    assert ours.roc_auc_interval(y, np.zeros(5)).low == ours.roc_auc_interval(y, np.zeros(5)).high == 0.5
    assert ours.delong_test(y, np.zeros(5), np.zeros(5)).p == 1


labelled = st.lists(st.tuples(st.integers(0, 1), st.integers(-3, 3)), min_size=2, max_size=25).filter(
    lambda rows: {0, 1} == {y for y, _ in rows}
)


@few
@given(labelled)
def test_an_area_is_the_share_of_pairs_and_does_not_see_monotone_changes(rows):
    y, score = np.array(rows).T
    pos, neg = score[y == 1], score[y == 0]
    pairs = np.mean((pos[:, None] > neg) + 0.5 * (pos[:, None] == neg))
    area = ours.roc_auc_score(y, score)
    assert area == pytest.approx(pairs, rel=1e-15)
    for change in (np.exp, np.cbrt, lambda s: 7 * s - 1e4):
        assert ours.roc_auc_score(y, change(score.astype(float))) == area
        ap = ours.average_precision_score(y, score)
        assert ours.average_precision_score(y, change(score.astype(float))) == ap
    assert ours.roc_auc_score(y, -score) == pytest.approx(1 - area)
    assert ours.roc_auc_score(1 - y, score) == pytest.approx(1 - area)
    fpr, tpr, thresholds = ours.roc_curve(y, score)
    assert (np.diff(fpr) >= 0).all() and (np.diff(tpr) >= 0).all() and (np.diff(thresholds) < 0).all()
    assert np.trapezoid(tpr, fpr) == pytest.approx(area)
    weight = np.random.default_rng(len(y)).integers(1, 4, len(y))
    repeated = ours.roc_auc_score(np.repeat(y, weight), np.repeat(score, weight))
    assert ours.roc_auc_score(y, score, sample_weight=weight) == pytest.approx(repeated)


def by_all_pairs(y, score):
    """DeLong's structural components as they are defined."""
    pos, neg = score[y == 1], score[y == 0]
    kernel = (pos[:, None] > neg) + 0.5 * (pos[:, None] == neg)
    return kernel.mean(1), kernel.mean(0)


@pytest.mark.parametrize("ties", [False, True])
def test_delong_is_its_definition_over_all_pairs(ties):
    y, first, _ = case(3, ties=ties)
    second = first + np.random.default_rng(1).normal(size=len(y))
    second = np.round(second) if ties else second
    v, w = by_all_pairs(y, first)
    se = np.sqrt(v.var(ddof=1) / len(v) + w.var(ddof=1) / len(w))
    found = ours.roc_auc_interval(y, first, scale="plain", confidence=0.9)
    assert_allclose(found.value, sk.roc_auc_score(y, first), **SUMS)
    z = norm.ppf(0.95)
    assert_allclose([found.low, found.high], found.value + np.array([-z, z]) * se, **SUMS)
    u, x = by_all_pairs(y, second)
    se = np.sqrt((v - u).var(ddof=1) / len(v) + (w - x).var(ddof=1) / len(w))
    test = ours.delong_test(y, first, second)
    assert_allclose(test.z, (v.mean() - u.mean()) / se, rtol=1e-11)
    assert_allclose(test.p, 2 * norm.sf(abs(test.z)), **SUMS)
    turned = ours.delong_test(y, second, first)
    assert_allclose([turned.p, turned.z], [test.p, -test.z], rtol=1e-11)
    assert "ci:95% DeLong logit" in ours.roc_auc_interval(y, first).signature


def test_delongs_interval_covers_and_its_test_holds_its_level():
    rng = np.random.default_rng(0)
    truth = norm.cdf(1 / np.sqrt(2))
    covered = {"logit": 0, "plain": 0}
    rejected = 0
    y = np.repeat([1, 0], [40, 60])
    for _ in range(500):
        signal = y + rng.normal(size=100)
        for scale in covered:
            found = ours.roc_auc_interval(y, signal, scale=scale)
            covered[scale] += found.low <= truth <= found.high
        rejected += ours.delong_test(y, signal + rng.normal(size=100), signal + rng.normal(size=100)).p < 0.05
    assert all(455 <= hits <= 495 for hits in covered.values()), covered  # 475 expected, 4 standard errors are 19
    assert 6 <= rejected <= 45  # 25 expected


def test_a_perfect_ranking_has_an_interval_that_does_not_claim_certainty():
    y = np.repeat([0, 1], [30, 10])
    found = ours.roc_auc_interval(y, y + np.arange(40) / 100)
    assert (found.value, found.high) == (1, 1)
    assert found.low == pytest.approx(0.025 ** (1 / 10))
    turned = ours.roc_auc_interval(y, -y - np.arange(40) / 100)
    assert (turned.value, turned.low) == (0, 0)
    assert turned.high == pytest.approx(1 - found.low)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ours.roc_auc_score([1, 1], [0.1, 0.2]), "y_true has no negative row among 2"),
        (lambda: ours.roc_auc_score([0, 0], [0.1, 0.2]), "y_true has no positive row among 2"),
        (lambda: ours.roc_curve([1, 1], [0.1, 0.2]), "no negative row"),
        (lambda: ours.average_precision_score([0, 0], [0.1, 0.2]), "no positive row"),
        (lambda: ours.roc_auc_score([], []), "y_true is empty"),
        (lambda: ours.roc_auc_score([0, 1], [np.nan, 0.2]), "y_score holds NaN in 1 places"),
        (lambda: ours.roc_auc_score([0, 1], [0.1]), "y_score has 1 rows and y_true 2"),
        (lambda: ours.roc_auc_score([0, 1], ["a", "b"]), "y_score must hold numbers"),
        (lambda: ours.roc_auc_score([0, 1, 2], [0.1, 0.2, 0.3]), "y_true has 3 labels"),
        (lambda: ours.roc_auc_score([0, 1], [0.1, 0.2], sample_weight=[0, 0]), "sums to zero"),
        (lambda: ours.roc_auc_score([0, 1], [0.1, 0.2], sample_weight=[1, 0]), "no positive row"),
        (lambda: ours.roc_auc_score([0, 1], [0.1, 0.2], max_fpr=2), "max_fpr must be in"),
        (lambda: ours.roc_auc_score([0, 1], np.eye(2)), "give the column of the greater label"),
        (lambda: ours.roc_auc_score([0, 1, 2], np.eye(3)), "say multi_class='ovr' or 'ovo'"),
        (lambda: ours.roc_auc_score([0, 1, 1], np.eye(3), multi_class="ovr"), "a column for each of the 2 labels"),
        (lambda: ours.roc_auc_score([0, 1, 2], 2 * np.eye(3), multi_class="ovr"), "must sum to 1"),
        (lambda: ours.roc_curve([3, 4], [0.1, 0.2]), "say which one is positive: pos_label=4"),
        (lambda: ours.roc_curve(["a", "b"], [0.1, 0.2]), "say which one is positive"),
        (lambda: ours.roc_curve([0, 1], [0.1, 0.2], pos_label=5), "pos_label=5 is not among"),
        (lambda: ours.roc_auc_interval([0, 1, 1], [1, 2, 3]), "at least two rows of each class"),
        (lambda: ours.delong_test([0, 1, 1, 0], [1, 2, 3, 4], [1, 2, np.nan, 4]), "second holds NaN"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("score", [ours.roc_auc_score, ours.average_precision_score])
def test_two_columns_for_two_classes_are_refused(score):
    p = np.array([0.2, 0.7, 0.6])
    with pytest.raises(ValueError, match="column of the greater label"):
        score([0, 1, 0], np.column_stack([1 - p, p]))
