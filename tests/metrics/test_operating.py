"""The operating point against the curve searched row by row, and its intervals against rows that are really drawn."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import norm
from sklearn.metrics import precision_score, roc_curve

from breadth.metrics import operating_point


def case(seed: int, n_pos: int = 50, n_neg: int = 120, ties: bool = False):
    rng = np.random.default_rng(seed)
    y = np.repeat([1, 0], [n_pos, n_neg])
    score = rng.normal(size=n_pos + n_neg) + 1.5 * y
    return y, np.round(score, 1 if ties else 9)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("recall", [0.1, 0.5, 0.7, 0.9, 0.95, 1.0])
def test_it_is_the_first_point_of_the_curve_with_that_recall(ties, recall):
    for seed in range(5):
        y, score = case(seed, ties=ties)
        fpr, tpr, thresholds = roc_curve(y, score, drop_intermediate=False)
        at = int(np.argmax(tpr >= recall))
        found = operating_point(y, score, recall=recall)
        assert found.threshold == thresholds[at]
        assert_allclose([found.recall.value, found.specificity.value], [tpr[at], 1 - fpr[at]], rtol=1e-12)
        assert_allclose(found.precision.value, precision_score(y, score >= found.threshold), rtol=1e-12)
        for each in found[1:]:
            assert each.low <= each.value + 0.1 and each.low <= each.high
            assert f"at:recall >= {recall:g}|n_pos:50|n_neg:120" in each.signature


@pytest.mark.parametrize("ties", [False, True])
def test_its_draws_are_those_of_a_bootstrap_of_rows(ties):
    y, score = case(7, ties=ties)
    rng = np.random.default_rng(0)
    pos, neg = score[y == 1], score[y == 0]
    specificity, precision = [], []
    for _ in range(3000):
        p, n = rng.choice(pos, 50), rng.choice(neg, 120)
        threshold = np.sort(p)[::-1][44]  # 45 of 50
        specificity.append(np.mean(n < threshold))
        precision.append(np.sum(p >= threshold) / (np.sum(p >= threshold) + np.sum(n >= threshold)))
    found = operating_point(y, score, n_resamples=20_000)
    for score_of, drawn in ((found.specificity, specificity), (found.precision, precision)):
        # a quantile of 3,000 draws has a standard error near 0.005 here
        assert_allclose([score_of.low, score_of.high], np.quantile(drawn, [0.025, 0.975]), atol=0.02)


def test_its_intervals_cover_what_new_rows_give():
    truth = norm.cdf(1.5 - norm.ppf(0.9))  # specificity where exactly 90 % of the positives pass
    hits = {"recall": 0, "specificity": 0}
    for seed in range(400):
        found = operating_point(*case(seed, 100, 100), n_resamples=400, seed=seed)
        true_recall = norm.sf(found.threshold - 1.5)
        hits["recall"] += found.recall.low <= true_recall <= found.recall.high
        hits["specificity"] += found.specificity.low <= truth <= found.specificity.high
    assert all(360 <= h <= 396 for h in hits.values()), hits  # 380 expected; four standard errors are 17


def test_infinite_scores_and_complete_ties_have_a_point():
    found = operating_point([0, 1, 1, 0], [-np.inf, np.inf, 0.0, 1.0], recall=0.5)
    assert (found.threshold, found.specificity.value) == (np.inf, 1)
    tied = operating_point([0, 1, 1, 0], [3, 3, 3, 3])
    assert (tied.threshold, tied.recall.value, tied.specificity.value, tied.precision.value) == (3, 1, 0, 0.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"recall": 0}, "recall must be in"),
        ({"recall": 1.1}, "recall must be in"),
        ({"y_true": [1, 1]}, "no negative row"),
        ({"y_score": [0.1, np.nan]}, "y_score holds NaN"),
        ({"y_score": [0.1]}, "y_score has 1 rows"),
        ({"confidence": 1}, "confidence must be in"),
        ({"n_resamples": 3}, "n_resamples must be"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        operating_point(**({"y_true": [0, 1], "y_score": [0.1, 0.2]} | arguments))
