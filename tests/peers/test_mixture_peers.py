"""GaussianMixture beside scikit-learn's, in float64."""

import warnings

import numpy as np
import pytest
import sklearn.mixture
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_wine

from breadth.tabular.clusters.mixture import GaussianMixture

KINDS = ("full", "tied", "diag", "spherical")


@pytest.mark.parametrize("init", ["kmeans", "k-means++", "random", "random_from_data"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_equal_random_state_gives_an_equal_mixture(kind, init):
    rng = np.random.default_rng(0)
    if kind == "tied" and init in ("k-means++", "random_from_data"):
        pytest.skip("it divides the scatter of all rows by the k that have a responsibility; ours is of those k")
    X = 3 * rng.normal(size=(3, 4))[rng.integers(3, size=600)] + rng.normal(size=(600, 4)) * [1.0, 2.0, 0.5, 1.0]
    ours = GaussianMixture(3, covariance_type=kind, init_params=init, random_state=1).fit(X)
    peer = sklearn.mixture.GaussianMixture(3, covariance_type=kind, init_params=init, random_state=1).fit(X)
    assert (ours.n_iter_, ours.converged_) == (peer.n_iter_, peer.converged_)
    # products in another order, over as many as 50 steps
    for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_", "lower_bound_"):
        assert_allclose(getattr(ours, name), getattr(peer, name), rtol=1e-8, atol=1e-10)
    # its shares do not sum to 1 where only k rows have a responsibility
    assert_allclose(ours.lower_bounds_[1:], peer.lower_bounds_[1:], rtol=1e-10)
    assert_array_equal(ours.predict(X), peer.predict(X))
    assert_allclose(ours.predict_proba(X), peer.predict_proba(X), rtol=1e-6, atol=1e-10)
    assert_allclose(ours.score_samples(X), peer.score_samples(X), rtol=1e-9)
    assert_allclose([ours.bic(X), ours.aic(X)], [peer.bic(X), peer.aic(X)], rtol=1e-10)
    drawn, component = ours.sample(50)
    assert_allclose(drawn, peer.sample(50)[0], rtol=1e-6, atol=1e-6)  # a factor of the covariance, perhaps mirrored
    assert_array_equal(component, peer.sample(50)[1])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("given", [("weights",), ("means",), ("precisions",), ("weights", "means", "precisions")])
def test_given_starts_are_taken_as_scikit_learn_takes_them(kind, given):
    X = load_wine(return_X_y=True)[0]
    X = (X - X.mean(0)) / X.std(0)
    p = X.shape[1]
    shape = {"full": np.stack([np.eye(p), 2 * np.eye(p)]), "tied": np.eye(p) + 0.1, "diag": np.full((2, p), 1.5)}
    start = {
        "weights_init": np.array([0.3, 0.7]),
        "means_init": X[[3, 90]],
        "precisions_init": shape.get(kind, np.array([0.5, 2.0])),
    }
    settings = {"covariance_type": kind, "random_state": 0, "max_iter": 6, "tol": 0, "reg_covar": 1e-3}
    settings |= {f"{name}_init": start[f"{name}_init"] for name in given}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # six steps do not converge
        ours = GaussianMixture(2, **settings).fit(X)
        peer = sklearn.mixture.GaussianMixture(2, **settings).fit(X)
    for name in ("weights_", "means_", "covariances_", "lower_bounds_"):
        assert_allclose(getattr(ours, name), getattr(peer, name), rtol=1e-8, atol=1e-10)
