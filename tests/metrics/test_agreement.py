"""Agreement of raters: scikit-learn beside Cohen's, definitions beside the others (their peers are among the peers)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score as sklearn_kappa

from breadth.metrics import cohen_kappa_score, fleiss_kappa, krippendorff_alpha

few = settings(max_examples=30, deadline=None)
LEVELS = ("nominal", "ordinal", "interval", "ratio")


def alpha(ratings, level="nominal"):
    return krippendorff_alpha(ratings, level_of_measurement=level, n_resamples=0).value


@pytest.mark.parametrize("weights", [None, "linear", "quadratic"])
@pytest.mark.parametrize("weighted", [False, True])
def test_cohens_kappa_is_scikit_learns(weights, weighted):
    rng = np.random.default_rng(0)
    for k in (2, 5):
        a = rng.integers(0, k, 60)
        b = np.where(rng.random(60) < 0.5, a, rng.integers(0, k, 60))
        how = {"weights": weights, "sample_weight": rng.exponential(size=60) if weighted else None}
        assert cohen_kappa_score(a, b, **how) == pytest.approx(sklearn_kappa(a, b, **how), rel=1e-12)
        text = np.array(["no", "so", "yes", "zero", "bad"])
        order = ["no", "yes", "so", "zero", "bad"][:k] if k > 2 else ["so", "no"]
        found = cohen_kappa_score(text[a], text[b], labels=order, **how)
        assert found == pytest.approx(sklearn_kappa(text[a], text[b], labels=order, **how), rel=1e-12)


def test_two_raters_without_gaps_have_scotts_pi_corrected_for_few_units():
    rng = np.random.default_rng(1)
    a = rng.integers(0, 3, 40)
    b = np.where(rng.random(40) < 0.6, a, rng.integers(0, 3, 40))
    shares = np.bincount(np.concatenate([a, b])) / 80
    pi = (np.mean(a == b) - shares @ shares) / (1 - shares @ shares)
    table = np.stack([np.bincount(row, minlength=3) for row in np.column_stack([a, b])])
    assert fleiss_kappa(table) == pytest.approx(pi, rel=1e-12)
    assert alpha([a, b]) == pytest.approx(1 - (1 - pi) * 79 / 80, rel=1e-12)


def test_missing_ratings_are_nan_or_none_and_units_with_one_rating_do_not_count():
    rated = np.array([[1, 2, np.nan, 3, 5], [1, 2, 4, 3, np.nan], [np.nan, 3, 4, 3, np.nan]])
    found = krippendorff_alpha(rated, level_of_measurement="ordinal")
    assert "level:ordinal|units:4|ci:95% percentile" in found.signature
    assert found.low <= found.value <= found.high
    assert alpha(rated[:, :4], "ordinal") == found.value
    words = np.array([[None if np.isnan(v) else "_abcde"[int(v)] for v in row] for row in rated], object)
    assert alpha(words) == pytest.approx(alpha(rated), rel=1e-12)
    numbers = np.array([[None if np.isnan(v) else v for v in row] for row in rated], object)
    assert alpha(numbers, "interval") == alpha(rated, "interval")


def test_the_interval_covers_what_many_units_show():
    def draw(rng, units):
        truth = rng.integers(0, 3, units)
        return np.where(rng.random((3, units)) < 0.7, truth, rng.integers(0, 3, (3, units)))

    truth = alpha(draw(np.random.default_rng(0), 200_000))
    hits = 0
    for seed in range(150):
        found = krippendorff_alpha(draw(np.random.default_rng(seed + 1), 60), n_resamples=200, seed=seed)
        hits += found.low <= truth <= found.high
    assert 127 <= hits <= 150  # 142 expected, and percentiles cover a little less; standard error 2.7


tables = st.lists(st.lists(st.integers(1, 4), min_size=3, max_size=3), min_size=2, max_size=10).filter(
    lambda rows: len({v for row in rows for v in row}) > 1
)


@few
@given(tables)
def test_agreement_is_at_most_one_and_blind_to_order_and_names(rows):
    ratings = np.array(rows, float).T
    rng = np.random.default_rng(0)
    shuffled = rng.permutation(ratings, axis=0)[:, rng.permutation(ratings.shape[1])]
    for level in LEVELS:
        assert alpha(ratings, level) <= 1
        assert alpha(shuffled, level) == pytest.approx(alpha(ratings, level), abs=1e-12)
    assert alpha(5 - ratings) == pytest.approx(alpha(ratings), abs=1e-12)
    assert alpha(5 - ratings, "ordinal") == pytest.approx(alpha(ratings, "ordinal"), abs=1e-12)
    assert alpha(3 * ratings - 7, "interval") == pytest.approx(alpha(ratings, "interval"), abs=1e-9)
    assert alpha(3 * ratings, "ratio") == pytest.approx(alpha(ratings, "ratio"), abs=1e-9)
    same = np.repeat(ratings[:1], 3, axis=0)
    if np.ptp(same):
        assert all(alpha(same, level) == pytest.approx(1) for level in LEVELS)
    table = np.stack([np.bincount(unit.astype(int), minlength=5) for unit in ratings.T])
    assert fleiss_kappa(table) <= 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cohen_kappa_score([1, 1], [1, 1]), "one and the same label throughout"),
        (lambda: cohen_kappa_score([], []), "y1 is empty"),
        (lambda: cohen_kappa_score([1, 2], [1, 2], weights="cubic"), "weights must be one of"),
        (lambda: fleiss_kappa([[2, 0], [1, 0]]), "the same number of raters"),
        (lambda: fleiss_kappa([[2, 0], [2, 0]]), "one label throughout"),
        (lambda: fleiss_kappa([[1.5, 0.5]]), "whole numbers"),
        (lambda: krippendorff_alpha([[1, np.nan], [np.nan, 2]]), "no unit has two ratings"),
        (lambda: krippendorff_alpha([[1, 1], [1, 1]]), "all ratings that can be paired are alike"),
        (lambda: krippendorff_alpha([1, 2]), r"shape \(raters, units\)"),
        (lambda: krippendorff_alpha([[1, np.inf], [1, 2]]), "holds infinity"),
        (lambda: krippendorff_alpha([[1, -1], [1, 2]], level_of_measurement="ratio"), "must be >= 0"),
        (lambda: krippendorff_alpha([["a", "b"], ["a", "a"]], level_of_measurement="ordinal"), "text are nominal"),
        (lambda: krippendorff_alpha([[np.nan, np.nan]]), "holds no rating"),
        (lambda: krippendorff_alpha([[1, 2], [1, 1]], level_of_measurement="cardinal"), "must be one of"),
        (lambda: krippendorff_alpha([[1, 2], [1, 1]], n_resamples=5), "n_resamples must be"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_undefined_kappa_is_an_error_or_what_was_asked_for():
    with pytest.raises(ValueError, match="replace_undefined_by"):
        cohen_kappa_score([1, 1], [1, 1])
    assert np.isnan(cohen_kappa_score([1, 1], [1, 1], replace_undefined_by=np.nan))
    assert cohen_kappa_score([1, 1], [1, 1], replace_undefined_by=0) == 0.0
