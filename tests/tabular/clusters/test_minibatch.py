"""MiniBatchKMeans: scikit-learn's steps, streams, small clusters, and bad input."""

import numpy as np
import pytest
import sklearn.cluster
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import adjusted_rand_score
from sklearn.utils.estimator_checks import parametrize_with_checks

from breadth.tabular.clusters.minibatch import MiniBatchKMeans

EXPECTED = dict.fromkeys(
    ("check_sample_weight_equivalence_on_dense_data", "check_sample_weight_equivalence_on_sparse_data"),
    "batches are drawn by row, so copies of a row are other draws",
)


@parametrize_with_checks([MiniBatchKMeans(3, n_init=2)], expected_failed_checks=lambda estimator: EXPECTED)
def test_keeps_every_rule_of_scikit_learn(estimator, check):
    check(estimator)


def groups(n=4000, k=6, p=4, seed=0, offset=0.0):
    rng = np.random.default_rng(seed)
    label = rng.integers(k, size=n)
    return 8 * rng.normal(size=(k, p))[label] + rng.normal(size=(n, p)) + offset, label


@pytest.mark.parametrize("init", ["k-means++", "random"])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("weighted", [False, True])
def test_an_equal_random_state_gives_scikit_learns_clusters(seed, init, weighted):
    X, _ = groups(seed=seed)
    weight = np.random.default_rng(1).uniform(0.1, 2, len(X)) if weighted else None
    settings = {"n_clusters": 9, "init": init, "batch_size": 128, "random_state": seed, "tol": 1e-5}
    ours = MiniBatchKMeans(**settings).fit(X, sample_weight=weight)
    peer = sklearn.cluster.MiniBatchKMeans(**settings).fit(X, sample_weight=weight)
    assert (ours.n_steps_, ours.n_iter_) == (peer.n_steps_, peer.n_iter_)
    assert_allclose(ours.cluster_centers_, peer.cluster_centers_, rtol=1e-10, atol=1e-10)  # sums in another order
    assert_array_equal(ours.labels_, peer.labels_)
    assert_allclose(ours.inertia_, peer.inertia_, rtol=1e-10)


def test_batches_that_come_one_after_another_are_taken_as_scikit_learn_takes_them():
    X, _ = groups()
    start = X[:6]
    ours = MiniBatchKMeans(6, init=start, random_state=0)
    peer = sklearn.cluster.MiniBatchKMeans(6, init=start, random_state=0, n_init=1)
    for part in np.array_split(X, 20):
        ours.partial_fit(part)
        peer.partial_fit(part)
        assert_allclose(ours.cluster_centers_, peer.cluster_centers_, rtol=1e-9, atol=1e-9)
        assert_array_equal(ours.labels_, peer.labels_)
        assert_allclose(ours.inertia_, peer.inertia_, rtol=1e-9)
    assert ours.n_steps_ == peer.n_steps_ == 20


@pytest.mark.parametrize("offset", [0.0, 1e5])
def test_planted_groups_are_found_wherever_they_lie(offset):
    X, label = groups(offset=offset)
    model = MiniBatchKMeans(6, n_init=5, random_state=0).fit(X)
    assert adjusted_rand_score(label, model.labels_) > 0.98
    assert_array_equal(model.predict(X), model.labels_)
    assert_allclose(-model.score(X), model.inertia_, rtol=1e-8)
    assert_array_equal(model.transform(X).argmin(axis=1), model.labels_)


def test_a_centre_that_gets_no_rows_is_moved_to_one():
    X, _ = groups(k=3)
    start = np.vstack([X[:2], np.full((1, 4), 1e6)])
    moved = MiniBatchKMeans(3, init=start, random_state=0).fit(X)
    assert len(np.unique(moved.labels_)) == 3
    stays = MiniBatchKMeans(3, init=start, random_state=0, reassignment_ratio=0).fit(X)
    assert_allclose(stays.cluster_centers_[2], 1e6)


def test_rows_of_weight_zero_are_never_drawn():
    X, _ = groups(k=2)
    far = np.vstack([X, np.full((50, 4), 1e4)])
    weight = np.r_[np.ones(len(X)), np.zeros(50)]
    assert np.abs(MiniBatchKMeans(2, random_state=0).fit(far, sample_weight=weight).cluster_centers_).max() < 100


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"n_clusters": 0}, ValueError, "n_clusters must be at least 1, got 0"),
        ({"n_clusters": 4}, ValueError, "n_clusters must be at most n_samples = 3, got 4"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
        ({"max_iter": 1.5}, TypeError, "max_iter must be an integer"),
        ({"init_size": 1}, ValueError, "init_size must be at least 2, got 1"),
        ({"max_no_improvement": -1}, ValueError, "max_no_improvement must be at least 0"),
        ({"reassignment_ratio": -1.0}, ValueError, "reassignment_ratio must be >= 0"),
        ({"tol": np.nan}, ValueError, "tol must be >= 0"),
        ({"init": "best"}, ValueError, "init must be .* got 'best'"),
        ({"init": [[0.0]]}, ValueError, r"init must be finite and of shape \(2, 1\), got \(1, 1\)"),
    ],
)
def test_bad_parameters_are_named(parameters, error, message):
    with pytest.raises(error, match=message):
        MiniBatchKMeans(**{"n_clusters": 2, **parameters}).fit([[0.0], [1.0], [2.0]])


def test_bad_data_is_named():
    with pytest.raises(ValueError, match="NaN"):
        MiniBatchKMeans(1).fit([[np.nan]])
