"""DPMeans: its objective, its fixed points, how its size follows the rows, and bad input."""

import numpy as np
import pytest
import sklearn.cluster
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from sklearn.utils.estimator_checks import parametrize_with_checks

from breadth.tabular import DPMeans, GaussianMixture, KMeans, KNeighborsClassifier


@parametrize_with_checks([DPMeans(n_clusters=3)])
def test_keeps_every_rule_of_scikit_learn(estimator, check):
    check(estimator)


def by_plain_loop(X, penalty, passes):
    """Algorithm 1 of the paper, word by word."""
    X = X - X.mean(axis=0)
    centres, labels, last = [X.mean(axis=0)], np.zeros(len(X), int), None
    for _ in range(passes):
        for i, x in enumerate(X):
            square = [np.sum((x - c) ** 2) for c in centres]
            if min(square) > penalty:
                centres.append(x)
                labels[i] = len(centres) - 1
            else:
                labels[i] = int(np.argmin(square))
        used = np.unique(labels)
        labels = np.searchsorted(used, labels)
        centres = [X[labels == j].mean(axis=0) for j in range(len(used))]
        if last is not None and np.array_equal(labels, last):
            break
        last = labels.copy()
    return labels


def groups(k=5, n=300, p=3, seed=0, offset=0.0):
    rng = np.random.default_rng(seed)
    label = rng.integers(k, size=n)
    return 20 * rng.normal(size=(k, p))[label] + rng.normal(size=(n, p)) + offset, label


@pytest.mark.parametrize("penalty", [0.5, 4.0, 100.0, 1e9])
@pytest.mark.parametrize("p", [1, 3, 11])
def test_every_pass_is_that_of_a_plain_loop(p, penalty):
    X, _ = groups(p=p, n=120)
    ours = DPMeans(penalty).fit(X)
    assert_array_equal(ours.labels_, by_plain_loop(X, penalty, 300))
    assert (np.diff(ours.objectives_) <= 1e-9 * ours.objectives_[0]).all()
    assert_allclose(ours.objective_, ours.inertia_ + penalty * ours.n_clusters_, rtol=1e-14)


@pytest.mark.parametrize("offset", [0.0, 1e5])
def test_planted_groups_are_counted_and_found(offset):
    X, label = groups(offset=offset)
    model = DPMeans(penalty=60.0).fit(X)
    assert model.n_clusters_ == 5
    assert adjusted_rand_score(label, model.labels_) == 1
    assert_array_equal(model.predict(X), model.labels_)
    assert_array_equal(model.transform(X).argmin(axis=1), model.labels_)
    assert DPMeans(n_clusters=5).fit(X).n_clusters_ == 5


def test_where_it_stops_k_means_would_not_move():
    X, _ = groups(k=8, n=500)
    ours = DPMeans(penalty=40.0).fit(X)
    peer = sklearn.cluster.KMeans(ours.n_clusters_, init=ours.cluster_centers_, n_init=1, tol=0).fit(X)
    assert_array_equal(peer.labels_, ours.labels_)
    assert_allclose(peer.cluster_centers_, ours.cluster_centers_, rtol=1e-12, atol=1e-12)  # sums in another order
    assert_allclose(peer.inertia_, ours.inertia_, rtol=1e-10)


def test_a_huge_penalty_is_one_mean_and_a_tiny_one_a_cluster_a_row():
    X, _ = groups()
    one = DPMeans(penalty=1e12).fit(X)
    assert_allclose(one.cluster_centers_, X.mean(axis=0, keepdims=True), rtol=1e-12)
    assert DPMeans(penalty=1e-12).fit(X).n_clusters_ == len(X)
    assert DPMeans(penalty=1e-12).fit(np.repeat(X[:4], 5, axis=0)).n_clusters_ == 4
    assert DPMeans(n_clusters=3).fit(np.ones((5, 2))).n_clusters_ == 1
    assert_array_equal(DPMeans(penalty=1.0).fit([[7.0, 8.0]]).cluster_centers_, [[7.0, 8.0]])


def numbers_kept(model):
    """Numbers that a fitted model keeps to predict from."""
    if isinstance(model, KMeans):
        return model.cluster_centers_.size
    if isinstance(model, KNeighborsClassifier):
        return model.n_samples_fit_ * (model.n_features_in_ + 1)
    return model.n_parameters()


def test_parametric_models_keep_their_size_and_non_parametric_ones_grow_with_the_rows():
    sizes = {name: [] for name in ("k-means", "mixture", "DP-means", "neighbours")}
    for n in (200, 2000, 20_000):
        rng = np.random.default_rng(0)
        X = rng.normal(size=(n, 2)) * 10
        y = (X[:, 0] > 0).astype(int)
        sizes["k-means"].append(numbers_kept(KMeans(5, random_state=0).fit(X)))
        mixture = GaussianMixture(5, covariance_type="spherical", random_state=0, tol=1e-2)
        sizes["mixture"].append(numbers_kept(mixture.fit(X)))
        sizes["DP-means"].append(numbers_kept(DPMeans(penalty=60.0).fit(X)))
        sizes["neighbours"].append(numbers_kept(KNeighborsClassifier(1).fit(X, y)))
    assert sizes["k-means"] == [5 * 2] * 3
    assert sizes["mixture"] == [5 * 2 + 5 + 4] * 3
    assert sizes["neighbours"] == [3 * n for n in (200, 2000, 20_000)]
    # the farthest of n normal rows is ever farther out, and finds no centre near
    assert sizes["DP-means"][0] < sizes["DP-means"][1] < sizes["DP-means"][2] < 2000


def test_too_few_passes_are_a_warning():
    X, _ = groups(k=8, n=500)
    with pytest.warns(ConvergenceWarning, match="labels still changed after max_iter = 1 passes: raise it"):
        DPMeans(penalty=2.0, max_iter=1).fit(X)


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"penalty": 0.0}, ValueError, "penalty must be finite and > 0, or None, got 0.0"),
        ({"penalty": np.inf}, ValueError, "penalty must be finite"),
        ({"n_clusters": 4}, ValueError, "n_clusters must be at most n_samples = 3, got 4"),
        ({"n_clusters": 0}, ValueError, "n_clusters must be at least 1"),
        ({"n_clusters": 1.5}, TypeError, "n_clusters must be an integer"),
        ({"penalty": 1.0, "max_iter": 0}, ValueError, "max_iter must be at least 1"),
    ],
)
def test_bad_parameters_are_named(parameters, error, message):
    with pytest.raises(error, match=message):
        DPMeans(**parameters).fit([[0.0], [1.0], [2.0]])


def test_bad_data_is_named():
    with pytest.raises(ValueError, match="NaN"):
        DPMeans(1.0).fit([[np.nan]])
    with pytest.raises(TypeError, match=r"[Ss]parse"):
        DPMeans(1.0).fit(csr_array(np.eye(3)))
