"""KMeans and MiniBatchKMeans beside scikit-learn's, in float64."""

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn.cluster
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits, load_wine

from breadth.tabular.clusters.kmeans import KMeans
from breadth.tabular.clusters.minibatch import MiniBatchKMeans


def assert_same(ours, peer):
    assert_array_equal(ours.labels_, peer.labels_)
    assert_allclose(ours.cluster_centers_, peer.cluster_centers_, rtol=1e-12, atol=1e-12)  # sums in another order
    assert_allclose(ours.inertia_, peer.inertia_, rtol=1e-12)
    assert ours.n_iter_ == peer.n_iter_


@pytest.mark.parametrize("algorithm", ["lloyd", "hamerly", "auto"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("mean", [0.0, 1e4])
@pytest.mark.parametrize("data", [load_wine, load_digits])
def test_from_the_same_centres_every_step_is_scikit_learns(data, mean, weighted, algorithm):
    X = data(return_X_y=True)[0].astype(np.float64)
    X = X + np.random.default_rng(0).normal(size=X.shape) * 1e-3 + mean  # no ties
    weight = np.random.default_rng(1).uniform(0.1, 2, len(X)) if weighted else None
    start = X[:: len(X) // 12][:12]
    for max_iter in (1, 5, 300):
        ours = KMeans(12, init=start, max_iter=max_iter, tol=1e-6, algorithm=algorithm).fit(X, sample_weight=weight)
        peer = sklearn.cluster.KMeans(12, init=start, n_init=1, max_iter=max_iter, tol=1e-6)
        assert_same(ours, peer.fit(X, sample_weight=weight))
        # the peer takes distances from a matrix product, which at the mean 1e4 leaves fewer digits
        assert_allclose(ours.transform(X), peer.transform(X), rtol=1e-10 if mean == 0 else 1e-4)
        assert_array_equal(ours.predict(X), peer.predict(X))


@pytest.mark.parametrize("init", ["k-means++", "random"])
@pytest.mark.parametrize("seed", range(5))
def test_an_equal_random_state_gives_equal_clusters(seed, init):
    X = np.random.default_rng(seed).normal(size=(1500, 7))
    ours = KMeans(11, init=init, n_init=3, random_state=seed).fit(X)
    assert_same(ours, sklearn.cluster.KMeans(11, init=init, n_init=3, random_state=seed).fit(X))


def test_empty_clusters_are_refilled_as_scikit_learn_does():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3))
    start = np.vstack([X[:3], rng.normal(size=(4, 3)) + 1e3])  # four centres that no row is near
    ours = KMeans(7, init=start, tol=0).fit(X)
    assert_same(ours, sklearn.cluster.KMeans(7, init=start, n_init=1, tol=0).fit(X))


def test_float32_is_as_near_to_float64_as_scikit_learns():
    X = np.random.default_rng(0).normal(size=(3000, 16))
    start = X[:10]
    exact = KMeans(10, init=start, max_iter=20, tol=0).fit(X).inertia_
    ours = KMeans(10, init=start, max_iter=20, tol=0).fit(X.astype(np.float32))
    assert ours.cluster_centers_.dtype == np.float32
    assert_allclose(ours.inertia_, exact, rtol=1e-4)  # a row may change sides at a rounding of float32


def documents(n=900, p=200, dtype=np.float64):
    """Sparse rows with topics, of different lengths: rows of length 1 that share no column are all equally far."""
    rng = np.random.default_rng(0)
    often = rng.dirichlet(np.full(p, 0.05), size=12)[rng.integers(12, size=n)]
    X = np.array([rng.multinomial(30, each) for each in often]) * rng.uniform(0.5, 1.5, (n, p))
    return sp.csr_array((X / np.linalg.norm(X, axis=1, keepdims=True) * rng.uniform(1, 2, (n, 1))).astype(dtype))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("init", ["k-means++", "random", "array", "function"])
@pytest.mark.parametrize("n_clusters", [5, 40])
def test_sparse_rows_are_clustered_as_scikit_learn_does(n_clusters, init, weighted):
    X = documents()
    weight = np.random.default_rng(1).uniform(0.1, 2, X.shape[0]) if weighted else None
    start = {
        "array": X[:n_clusters].toarray(),
        "function": lambda X, k, random_state: X[random_state.choice(X.shape[0], k, replace=False)].toarray(),
    }.get(init, init)
    settings = {"init": start, "n_init": 1 if init == "array" else 3, "random_state": 0}
    ours = KMeans(n_clusters, **settings).fit(X, sample_weight=weight)
    peer = sklearn.cluster.KMeans(n_clusters, **settings).fit(X, sample_weight=weight)
    assert_same(ours, peer)
    assert_array_equal(ours.predict(X), peer.predict(X))
    # roots of what a row's and a centre's squared lengths leave: 1e-16 becomes 1e-8 where a row is its centre
    assert_allclose(ours.transform(X), peer.transform(X), rtol=1e-10, atol=1e-7)
    assert_allclose(ours.score(X, sample_weight=weight), peer.score(X, sample_weight=weight), rtol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_float32_sparse_rows_start_where_scikit_learns_do(seed):
    X = documents(dtype=np.float32)
    ours = KMeans(20, random_state=seed, max_iter=1).fit(X)
    peer = sklearn.cluster.KMeans(20, random_state=seed, max_iter=1, n_init=1).fit(X)
    assert ours.cluster_centers_.dtype == np.float32
    assert_array_equal(ours.labels_, peer.labels_)
    assert_allclose(ours.cluster_centers_, peer.cluster_centers_, rtol=1e-5, atol=1e-6)  # the peer sums in float32
    assert_allclose(ours.inertia_, peer.inertia_, rtol=1e-5)


def test_empty_clusters_of_sparse_rows_are_refilled_as_scikit_learn_does():
    X = documents()
    start = np.vstack([X[:3].toarray(), np.full((4, X.shape[1]), 1e3)])
    ours = KMeans(7, init=start, tol=0).fit(X)
    assert_same(ours, sklearn.cluster.KMeans(7, init=start, n_init=1, tol=0).fit(X))


@pytest.mark.parametrize("init", ["k-means++", "random", "array", "function"])
@pytest.mark.parametrize("sparse", [False, True])
def test_batches_are_scikit_learns_from_every_kind_of_start(sparse, init):
    X = documents() if sparse else documents().toarray()
    start = {
        "array": documents()[:10].toarray(),
        "function": lambda X, k, random_state: documents()[random_state.choice(X.shape[0], k, replace=False)].toarray(),
    }.get(init, init)
    settings = {"init": start, "batch_size": 100, "random_state": 0, "tol": 1e-6, "verbose": 0}
    ours = MiniBatchKMeans(10, **settings).fit(X)
    peer = sklearn.cluster.MiniBatchKMeans(10, **settings, n_init=1 if init == "array" else "auto").fit(X)
    assert (ours.n_steps_, ours.n_iter_) == (peer.n_steps_, peer.n_iter_)
    assert_allclose(ours.cluster_centers_, peer.cluster_centers_, rtol=1e-10, atol=1e-10)  # sums in another order
    assert_array_equal(ours.labels_, peer.labels_)
    assert_allclose(ours.inertia_, peer.inertia_, rtol=1e-10)
