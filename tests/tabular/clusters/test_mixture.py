"""GaussianMixture: what it finds, how it starts and stops, and bad input."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from sklearn.utils.estimator_checks import parametrize_with_checks

from breadth.tabular.clusters.mixture import GaussianMixture

KINDS = ("full", "tied", "diag", "spherical")


@parametrize_with_checks([GaussianMixture()])
def test_keeps_every_rule_of_scikit_learn(estimator, check):
    check(estimator)


def planted(n=900, p=3, k=3, offset=0.0, seed=0):
    rng = np.random.default_rng(seed)
    label = rng.integers(k, size=n)
    a = 0.4 * rng.normal(size=(k, p, p)) + np.eye(p)
    return offset + 5 * rng.normal(size=(k, p))[label] + np.einsum(
        "nij,nj->ni", a[label], rng.normal(size=(n, p))
    ), label


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_planted_groups_are_found_wherever_they_lie(kind, offset):
    X, label = planted(offset=offset)
    model = GaussianMixture(3, covariance_type=kind, random_state=0)
    found = model.fit_predict(X)
    assert adjusted_rand_score(label, found) > 0.95
    assert_array_equal(found, model.predict(X))
    assert_allclose(model.predict_proba(X).sum(axis=1), 1, rtol=1e-12)
    assert_allclose(model.score(X), model.score_samples(X).mean(), rtol=1e-14)
    assert (np.diff(model.lower_bounds_) > -1e-6).all()  # reg_covar makes it no exact maximum
    assert model.lower_bound_ == model.lower_bounds_[-1] and len(model.lower_bounds_) == model.n_iter_


def test_elongated_groups_are_the_mixtures_and_not_k_means():
    rng = np.random.default_rng(0)
    label = np.repeat([0, 1], 400)
    X = np.column_stack([rng.normal(size=800) * 6, rng.normal(size=800) + 6 * label])
    mixture = GaussianMixture(2, n_init=10, tol=1e-6, max_iter=500, random_state=0)
    assert adjusted_rand_score(label, mixture.fit_predict(X)) > 0.95
    assert adjusted_rand_score(label, KMeans(2, n_init=5, random_state=0).fit_predict(X)) < 0.1


def test_bic_finds_the_number_of_components_and_counts_parameters():
    X, _ = planted()
    models = [GaussianMixture(k, random_state=0).fit(X) for k in range(1, 6)]
    assert int(np.argmin([model.bic(X) for model in models])) + 1 == 3
    for model in models:
        assert_allclose(model.aic(X), -2 * model.score(X) * 900 + 2 * model.n_parameters(), rtol=1e-12)
    counts = [GaussianMixture(2, covariance_type=kind).fit(X).n_parameters() for kind in KINDS]
    assert counts == [6 + 1 + 12, 6 + 1 + 6, 6 + 1 + 6, 6 + 1 + 2]


@pytest.mark.parametrize("n_jobs", [2, 5])
@pytest.mark.parametrize("kind", KINDS)
def test_threads_do_not_change_a_bit(kind, n_jobs):
    X, _ = planted(n=9000)
    alone = GaussianMixture(4, covariance_type=kind, random_state=0, n_jobs=1, max_iter=8, tol=1e-2).fit(X)
    together = GaussianMixture(4, covariance_type=kind, random_state=0, n_jobs=n_jobs, max_iter=8, tol=1e-2).fit(X)
    assert_array_equal(alone.means_, together.means_)
    assert_array_equal(alone.covariances_, together.covariances_)
    assert alone.lower_bounds_ == together.lower_bounds_
    assert_array_equal(alone.predict_proba(X), together.predict_proba(X))


@pytest.mark.parametrize("kind", KINDS)
def test_weights_of_rows_are_counts_from_the_same_start(kind):
    X, _ = planted(n=200)
    count = np.random.default_rng(0).integers(0, 4, 200)
    given = {"weights_init": [0.5, 0.3, 0.2], "means_init": X[:3], "tol": 0.0, "max_iter": 12}
    ones = {
        "full": np.repeat(np.eye(3)[None], 3, 0),
        "tied": np.eye(3),
        "diag": np.ones((3, 3)),
        "spherical": np.ones(3),
    }
    model = GaussianMixture(3, covariance_type=kind, precisions_init=ones[kind], **given)
    with pytest.warns(ConvergenceWarning, match="still rose"):
        weighted = pickle.loads(pickle.dumps(model.fit(X, sample_weight=count)))
        repeated = GaussianMixture(3, covariance_type=kind, precisions_init=ones[kind], **given)
        repeated.fit(np.repeat(X, count, axis=0))
    assert_allclose(weighted.means_, repeated.means_, rtol=1e-9)  # sums in another order
    assert_allclose(weighted.covariances_, repeated.covariances_, rtol=1e-8, atol=1e-10)
    assert_allclose(weighted.lower_bound_, repeated.lower_bound_, rtol=1e-10)


def test_a_warm_start_goes_on_where_the_last_fit_stopped():
    X, _ = planted()
    with pytest.warns(ConvergenceWarning, match=r"still rose by more than tol = 0.*after max_iter = 3"):
        model = GaussianMixture(3, random_state=0, max_iter=3, tol=0, warm_start=True, reg_covar=0).fit(X).fit(X)
    with pytest.warns(ConvergenceWarning, match="after max_iter = 6"):
        whole = GaussianMixture(3, random_state=0, max_iter=6, tol=0, reg_covar=0).fit(X)
    assert_allclose(model.means_, whole.means_, rtol=1e-10)  # scaled to units and back between
    assert_allclose(model.lower_bound_, whole.lower_bound_, rtol=1e-12)


def test_no_step_leaves_the_start():
    X, _ = planted()
    model = GaussianMixture(2, max_iter=0, means_init=X[:2], weights_init=[0.25, 0.75], random_state=0).fit(X)
    assert_allclose(model.means_, X[:2], rtol=1e-12)
    assert_allclose(model.weights_, [0.25, 0.75])
    assert model.n_iter_ == 0 and model.lower_bounds_ == []


def test_samples_have_the_moments_of_the_mixture():
    X, _ = planted()
    model = GaussianMixture(3, random_state=0).fit(X)
    drawn, component = model.sample(20_000)
    # five standard errors
    assert_allclose(drawn.mean(axis=0), model.weights_ @ model.means_, atol=5 * X.std() / np.sqrt(20_000))
    assert_allclose(np.bincount(component) / 20_000, model.weights_, atol=5 * 0.5 / np.sqrt(20_000))
    assert_allclose(np.cov(drawn[component == 0].T), model.covariances_[0], atol=0.1 * np.abs(model.covariances_).max())


def test_a_singular_covariance_is_said_without_a_ridge_and_held_by_it():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    X[:, 2] = X[:, 0] + X[:, 1]
    for kind in ("full", "tied"):
        with pytest.raises(ValueError, match=r"covariance of component 0 is singular.*raise .*reg_covar"):
            GaussianMixture(2, covariance_type=kind, reg_covar=0, random_state=0).fit(X)
        assert np.isfinite(GaussianMixture(2, covariance_type=kind, random_state=0).fit(X).score(X))
    constant = np.column_stack([rng.normal(size=50), np.full(50, 1e4 / 3)])
    for kind in KINDS:
        assert np.isfinite(GaussianMixture(2, covariance_type=kind, random_state=0).fit(constant).score(constant))
    with pytest.raises(ValueError, match="component 0 is singular"):
        GaussianMixture(1, covariance_type="diag", reg_covar=0).fit(constant)


def test_repeated_rows_and_as_many_components_as_rows_work():
    X = np.repeat([[0.0, 0.0], [5.0, 1.0]], 10, axis=0)
    model = GaussianMixture(2, random_state=0).fit(X)
    assert_allclose(model.means_[np.argsort(model.means_[:, 0])], [[0, 0], [5, 1]], atol=1e-12)
    assert_allclose(model.covariances_, np.repeat(1e-6 * np.eye(2)[None], 2, 0), rtol=1e-6, atol=1e-15)
    assert np.isfinite(GaussianMixture(3, random_state=0).fit([[0.0], [1.0], [5.0]]).score([[2.0]]))


def test_fewer_distinct_rows_than_components_are_said_with_what_to_do():
    X = np.ones((20, 3))
    with pytest.raises(
        ValueError, match=r"finds 1 of n_components = 2 groups .* take n_components <= 1, or init_params"
    ):
        GaussianMixture(2).fit(X)
    model = GaussianMixture(2, init_params="random", verbose=1, verbose_interval=5, random_state=0).fit(X)
    assert_allclose(model.means_, np.ones((2, 3)), rtol=1e-12)  # means of equal numbers


def test_a_component_without_rows_keeps_its_law_and_is_named():
    X = np.random.default_rng(0).normal(size=(100, 2))
    start = {"means_init": [[0, 0], [1e3, 1e3]], "weights_init": [0.5, 0.5], "precisions_init": [1.0, 1.0]}
    with pytest.warns(ConvergenceWarning, match="no row is likely under component 1: take fewer"):
        model = GaussianMixture(2, covariance_type="spherical", **start).fit(X)
    assert_array_equal(model.weights_, [1.0, 0.0])
    assert_allclose(model.means_, [X.mean(axis=0), [1e3, 1e3]], atol=1e-9)
    assert np.isfinite(model.score(X)) and (model.predict(X) == 0).all()


def test_wild_rows_take_a_component_as_they_take_a_mean():
    X, label = planted(n=300, k=2)
    wild = np.vstack([X, np.full((3, 3), 1e3) + np.arange(9.0).reshape(3, 3)])
    found = GaussianMixture(2, random_state=0).fit(wild).predict(X)
    assert adjusted_rand_score(label, found) < 0.1 < adjusted_rand_score(label, GaussianMixture(2).fit_predict(X))


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"n_components": 0}, ValueError, "n_components must be at least 1, got 0"),
        ({"n_components": 4}, ValueError, "n_components must be at most n_samples = 3, got 4"),
        ({"n_components": 1.0}, TypeError, "n_components must be an integer, got 1.0"),
        ({"n_init": 0}, ValueError, "n_init must be at least 1"),
        ({"max_iter": -1}, ValueError, "max_iter must be at least 0"),
        ({"tol": -1.0}, ValueError, "tol must be finite and >= 0"),
        ({"reg_covar": np.nan}, ValueError, "reg_covar must be finite and >= 0"),
        ({"covariance_type": "round"}, ValueError, "covariance_type must be one of .* got 'round'"),
        ({"init_params": "best"}, ValueError, "init_params must be one of .* got 'best'"),
        ({"weights_init": [0.5, 0.5]}, ValueError, r"weights_init must have shape \(1,\), got \(2,\)"),
        ({"n_components": 2, "weights_init": [0.5, 0.6]}, ValueError, "weights_init must be >= 0 and sum to 1"),
        ({"means_init": [[0.0]]}, ValueError, r"means_init must have shape \(1, 2\)"),
        ({"means_init": [[0.0, np.inf]]}, ValueError, "means_init must be finite"),
        ({"precisions_init": [[1.0, 0.0]]}, ValueError, r"precisions_init must have shape \(1, 2, 2\)"),
        ({"precisions_init": [[[1.0, 2.0], [2.0, 1.0]]]}, ValueError, r"precisions_init\[0\] must be positive"),
        ({"precisions_init": [[[1.0, 0.5], [0.0, 1.0]]]}, ValueError, r"precisions_init\[0\] must be symmetric"),
        ({"precisions_init": [0.0], "covariance_type": "spherical"}, ValueError, "precisions_init must be > 0"),
    ],
)  # fmt: skip
def test_bad_parameters_are_named(parameters, error, message):
    with pytest.raises(error, match=message):
        GaussianMixture(**parameters).fit([[0.0, 1.0], [1.0, 0.0], [2.0, 2.0]])


def test_bad_data_is_named():
    with pytest.raises(ValueError, match="NaN"):
        GaussianMixture().fit([[np.nan], [1.0]])
    with pytest.raises(TypeError, match=r"[Ss]parse"):
        GaussianMixture().fit(csr_array(np.eye(3)))
    with pytest.raises(ValueError, match=r"[Nn]egative"):
        GaussianMixture().fit([[0.0], [1.0]], sample_weight=[1.0, -1.0])
    with pytest.raises(ValueError, match="n_samples must be at least 1, got 0"):
        GaussianMixture().fit([[0.0], [1.0]]).sample(0)
