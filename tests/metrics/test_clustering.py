"""Scores of clusterings beside scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from breadth import metrics as ours

few = settings(max_examples=40, deadline=None)
MEANS = ("arithmetic", "geometric", "min", "max")


@pytest.mark.parametrize("k", [(3, 4), (1, 3), (1, 1), (60, 60), (60, 1), (2, 2)])
def test_agreement_of_partitions_is_scikit_learns(k):
    rng = np.random.default_rng(0)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        a, b = (rng.permutation(60) if c == 60 else rng.integers(0, c, 60) for c in k)
        half = np.where(rng.random(60) < 0.5, a, b)
        for one, other in ((a, b), (a, half), (np.array(list("xyz"))[a % 3], b)):
            assert_allclose(ours.adjusted_rand_score(one, other), sk.adjusted_rand_score(one, other), atol=1e-12)
            for mean in MEANS:
                theirs = sk.normalized_mutual_info_score(one, other, average_method=mean)
                found = ours.normalized_mutual_info_score(one, other, average_method=mean)
                assert_allclose(found, theirs, atol=1e-12)


def test_many_rows_and_many_clusters_do_not_overflow():
    a = np.arange(300_000) // 3
    assert ours.adjusted_rand_score(a, a[::-1]) == 1
    assert ours.adjusted_rand_score(a, np.roll(a, 1)) == pytest.approx(1 / 3, abs=1e-4)
    assert ours.normalized_mutual_info_score(a, -a) == pytest.approx(1)


labels = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=25)


@few
@given(labels)
def test_names_and_order_of_clusters_do_not_matter(rows):
    a, b = np.array(rows).T
    for score in (ours.adjusted_rand_score, ours.normalized_mutual_info_score):
        value = score(a, b)
        assert -0.5 <= value <= 1
        assert value == pytest.approx(score(b, a), abs=1e-12)
        assert value == pytest.approx(score(7 - a, np.array(["d", "a", "c", "b"])[b]), abs=1e-12)
        assert score(a, a) == pytest.approx(1)


def blobs(n: int = 90, shift: float = 0.0, dim: int = 5):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, n)
    return rng.normal(size=(n, dim)) + 2 * rng.normal(size=(4, dim))[y] + shift, y


@pytest.mark.parametrize("metric", ["euclidean", "manhattan", "cosine", "precomputed"])
def test_silhouettes_are_scikit_learns(metric):
    X, y = blobs()
    y[0] = 9  # the only row of its cluster
    X = sk.pairwise_distances(X) if metric == "precomputed" else X
    ours_metric = {"manhattan": "cityblock"}.get(metric, metric)
    found = ours.silhouette_samples(X, y, metric=ours_metric)
    assert_allclose(found, sk.silhouette_samples(X, y, metric=metric), rtol=1e-12, atol=1e-12)
    assert found[0] == 0
    assert ours.silhouette_score(X, y, metric=ours_metric) == pytest.approx(np.mean(found))


def test_silhouettes_far_from_the_origin_lose_nothing():
    X, y = blobs()
    far = np.round(X, 3) + 2.0**20  # exactly representable but for the last digits of the sum
    back = far - 2.0**20
    assert_allclose(ours.silhouette_samples(far, y), ours.silhouette_samples(back, y), rtol=1e-12)


def test_more_rows_than_a_tile_and_all_rows_alike():
    X, y = blobs(1500, dim=2)
    assert_allclose(ours.silhouette_score(X, y), sk.silhouette_score(X, y), rtol=1e-11)
    assert ours.silhouette_score(np.zeros((6, 2)), [0, 0, 0, 1, 1, 1]) == 0
    sampled = ours.silhouette_score(X, y, sample_size=700, random_state=0)
    assert abs(sampled - ours.silhouette_score(X, y)) < 0.05


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ours.adjusted_rand_score([], []), "labels_true is empty"),
        (lambda: ours.adjusted_rand_score([1], [1, 2]), r"labels_pred has shape \(2,\)"),
        (lambda: ours.normalized_mutual_info_score([1], [np.nan]), "labels_pred holds NaN"),
        (lambda: ours.normalized_mutual_info_score([1], [1], average_method="mean"), "average_method must be one of"),
        (lambda: ours.silhouette_score(np.eye(3), [0, 0, 0]), "2 to n - 1 = 2 clusters, got 1"),
        (lambda: ours.silhouette_score(np.eye(3), [0, 1, 2]), "clusters, got 3"),
        (lambda: ours.silhouette_score(np.eye(3), [0, 1]), r"labels must have shape \(3,\)"),
        (lambda: ours.silhouette_score(np.full((3, 2), np.nan), [0, 0, 1]), "X holds NaN"),
        (lambda: ours.silhouette_score(np.eye(3), [0, 0, 1], metric="precomputed"), "0 on the diagonal"),
        (lambda: ours.silhouette_score(np.eye(3), [0, 0, 1], sample_size=9), "sample_size must be"),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("metric", ["manhattan", "l1", "l2", "cityblock"])
def test_names_of_distances_and_the_sample_drawn_are_scikit_learns(metric):
    rng = np.random.default_rng(0)
    X, labels = rng.normal(size=(90, 3)), rng.integers(0, 3, 90)
    settings_ = {"metric": metric, "sample_size": 40, "random_state": 7}
    assert_allclose(ours.silhouette_score(X, labels, **settings_), sk.silhouette_score(X, labels, **settings_), 1e-12)
