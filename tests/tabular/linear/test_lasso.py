"""Lasso, ElasticNet and their paths: zeros, weights, sparse and wide input, the gap, and bad input."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import ElasticNet as SklearnElasticNet
from sklearn.linear_model import Lasso as SklearnLasso
from sklearn.utils.estimator_checks import parametrize_with_checks

from breadth.tabular.linear.lasso import ElasticNet, Lasso
from breadth.tabular.linear.lasso_kernels import descend, duality_gap
from breadth.tabular.linear.lasso_paths import enet_path, lasso_path

TIGHT = {"tol": 1e-14, "max_iter": 100_000}


@parametrize_with_checks([Lasso(), ElasticNet()])
def test_keeps_every_rule_of_scikit_learn(estimator, check):
    check(estimator)


def sample(n=120, p=30, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    return X, X[:, :4] @ np.array([3.0, -2.0, 1.0, 0.5]) + 5.0 + 0.5 * rng.normal(size=n)


def slow_descent(G, w, pulls, l1, positive, epochs):
    """The kernel's twin: plain cyclic sweeps from the gradient of the whole."""
    w = w.copy()
    for _ in range(epochs):
        for j in range(len(w)):
            pull = pulls[j] - G[j] @ w + G[j, j] * w[j]
            size = max(pull - l1[j], 0.0) if positive else np.sign(pull) * max(abs(pull) - l1[j], 0.0)
            w[j] = size / G[j, j]
    return w


@pytest.mark.parametrize("positive", [False, True])
def test_kernel_equals_its_slow_twin(positive):
    X, y = sample()
    G, pulls, l1 = X.T @ X, X.T @ y, np.linspace(5.0, 60.0, 30)
    w, q = np.zeros(30), pulls.copy()
    descend(G, q, w, pulls, l1, positive, y @ y, -1.0, 0.0, 5000)
    # both are at the optimum, to rounding times the condition of G
    assert_allclose(w, slow_descent(G, np.zeros(30), pulls, l1, positive, 500), atol=1e-12)
    assert_allclose(q, pulls - G @ w, atol=1e-9)  # kept up by differences, sums of some 1e3
    assert duality_gap(q, w, pulls, l1, positive, y @ y) < 1e-9  # of y @ y = 5e3


@pytest.mark.parametrize("shape", [(120, 30), (40, 300)])
@pytest.mark.parametrize("model", [Lasso(0.1, **TIGHT), ElasticNet(0.1, **TIGHT)], ids=["lasso", "elastic net"])
def test_gradients_are_where_the_penalty_lets_them_be(shape, model):
    X, y = sample(*shape)
    model.fit(X, y)
    l1 = model.alpha * getattr(model, "l1_ratio", 1.0)
    l2 = model.alpha - l1
    pull = (X - X.mean(0)).T @ (y - model.predict(X)) / len(y) - l2 * model.coef_
    used = model.coef_ != 0
    assert 0 < used.sum() < shape[1]
    assert_allclose(pull[used], l1 * np.sign(model.coef_[used]), atol=1e-7)  # the square root of the gap
    assert np.abs(pull[~used]).max() <= l1 + 1e-7


def test_penalty_at_the_top_of_the_path_leaves_exact_zeros():
    X, y = sample()
    top = np.abs((X - X.mean(0)).T @ (y - y.mean())).max() / len(y)
    model = Lasso(top * (1 + 1e-12)).fit(X, y)
    assert_array_equal(model.coef_, 0.0)
    assert_allclose(model.intercept_, y.mean(), rtol=1e-14)
    assert np.count_nonzero(Lasso(0.99 * top, tol=1e-8).fit(X, y).coef_) == 1


@pytest.mark.parametrize("form", [sp.csr_matrix, sp.csc_matrix, sp.coo_matrix])
@pytest.mark.parametrize("shape", [(300, 20), (60, 400)])
def test_sparse_input_gives_what_dense_does(form, shape):
    X = sp.random(*shape, density=0.2, random_state=0).toarray() + np.eye(*shape)
    y = X[:, 0] - 2 * X[:, 1] + 3.0
    weight = np.random.default_rng(1).exponential(size=len(y))
    dense = ElasticNet(0.01, l1_ratio=0.7, **TIGHT).fit(X, y, weight)
    sparse = ElasticNet(0.01, l1_ratio=0.7, **TIGHT).fit(form(X), y, weight)
    assert_allclose(sparse.coef_, dense.coef_, atol=1e-7)  # both within a gap of 1e-14, curvature 0.003 at least
    assert_allclose(sparse.predict(form(X)), dense.predict(X), atol=1e-7)


def test_weight_two_is_the_row_twice_and_weight_zero_is_no_row():
    X, y = sample()
    weight = np.random.default_rng(0).integers(0, 4, len(y))
    twice = Lasso(0.1, **TIGHT).fit(np.repeat(X, weight, axis=0), np.repeat(y, weight))
    assert_allclose(Lasso(0.1, **TIGHT).fit(X, y, weight).coef_, twice.coef_, atol=1e-7)  # gap 1e-14


@pytest.mark.parametrize("mean", [1e4, 1e6])
def test_column_means_cost_no_digits(mean):
    X, y = sample()
    # eps x mean is lost in forming the input itself
    assert_allclose(Lasso(0.1, **TIGHT).fit(X + mean, y).coef_, Lasso(0.1, **TIGHT).fit(X, y).coef_, atol=1e-7)


def test_constant_and_doubled_columns_are_no_trouble():
    X, y = sample()
    odd = np.column_stack([X, np.full(len(y), 7.0), X[:, 0]])
    model = Lasso(0.1, tol=1e-10, max_iter=10_000).fit(odd, y)
    assert model.coef_[30] == 0.0
    assert_allclose(model.coef_[0] + model.coef_[31], Lasso(0.1, **TIGHT).fit(X, y).coef_[0], atol=1e-4)  # gap 1e-10
    shared = ElasticNet(0.1, **TIGHT).fit(odd, y).coef_
    assert_allclose(shared[0], shared[31], atol=1e-6)


def test_constant_targets_and_one_row_give_the_intercept():
    assert_array_equal(Lasso(0.1).fit(sample()[0], np.full(120, 3.0)).coef_, 0.0)
    model = Lasso(0.1).fit([[1.0, 2.0]], [5.0])
    assert (model.intercept_, model.coef_.tolist()) == (5.0, [0.0, 0.0])


def test_positive_coefficients_are_never_negative():
    X, y = sample()
    assert (Lasso(0.01, positive=True).fit(X, y).coef_ >= 0).all()


def test_several_targets_are_several_lassos():
    X, y = sample()
    Y = np.column_stack([y, -2 * X[:, 3]])
    both = Lasso(0.1, **TIGHT).fit(X, Y)
    assert both.coef_.shape == (2, 30) and both.sparse_coef_.shape == (2, 30)
    assert_allclose(both.coef_[1], Lasso(0.1, **TIGHT).fit(X, Y[:, 1]).coef_, atol=1e-12)
    assert both.predict(X).shape == Y.shape


@pytest.mark.parametrize(("make", "peer"), [(Lasso, SklearnLasso), (ElasticNet, SklearnElasticNet)])
def test_y_of_one_column_has_the_shapes_of_scikit_learn(make, peer):
    X, y = sample()
    ours, theirs = make(0.1, **TIGHT).fit(X, y[:, None]), peer(0.1, **TIGHT).fit(X, y[:, None])
    for name in ("coef_", "intercept_", "n_iter_", "dual_gap_"):
        assert np.shape(getattr(ours, name)) == np.shape(getattr(theirs, name))
    assert_allclose(ours.predict(X), theirs.predict(X), rtol=0, atol=1e-7)  # of gaps up to 1e-14 of the squares


def test_warm_start_at_the_optimum_takes_no_sweep():
    X, y = sample()
    model = Lasso(0.1, warm_start=True).fit(X, y)
    before = model.coef_.copy()
    assert model.fit(X, y).n_iter_ == 0
    assert_array_equal(model.coef_, before)
    with pytest.raises(ValueError, match="warm_start=True"):
        model.fit(X[:, :3], y)


@pytest.mark.parametrize("shape", [(120, 30), (40, 300)])
def test_path_ends_where_single_fits_do(shape):
    X, y = sample(*shape)
    X, y = X - X.mean(0), y - y.mean()
    alphas, coefs, gaps = lasso_path(X, y, alphas=20, eps=0.01, **TIGHT)
    assert alphas.shape == (20,) and (np.diff(alphas) < 0).all() and coefs.shape == (shape[1], 20)
    assert_array_equal(coefs[:, 0], 0.0)
    assert (gaps <= 1e-14 * (y @ y) / len(y) + 1e-15).all()
    for a in (5, 19):
        assert_allclose(coefs[:, a], Lasso(alphas[a], fit_intercept=False, **TIGHT).fit(X, y).coef_, atol=1e-6)


def test_path_of_several_targets_starts_and_counts():
    X, y = sample()
    Y = np.column_stack([y, y[::-1]])
    alphas, coefs, gaps, sweeps = enet_path(X, Y, alphas=[0.1, 1.0], return_n_iter=True)
    assert_array_equal(alphas, [1.0, 0.1])
    assert (coefs.shape, gaps.shape, np.shape(sweeps)) == ((2, 30, 2), (2, 2), (2, 2))
    again = enet_path(X, Y, alphas=[0.1], coef_init=coefs[:, :, 1], return_n_iter=True)
    assert again[3] == [[0], [0]]


def test_too_few_sweeps_are_said():
    X, y = sample(40, 300)
    with pytest.warns(ConvergenceWarning, match="raise max_iter"):
        Lasso(1e-4, max_iter=1).fit(X, y)


def test_pickle_keeps_predictions():
    X, y = sample()
    model = ElasticNet(0.1).fit(X, y)
    assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), model.predict(X))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"alpha": 0.0}, "use LinearRegression"),
        ({"alpha": -1.0}, "alpha must be > 0"),
        ({"tol": -1.0}, "tol must be >= 0"),
        ({"max_iter": 0}, "max_iter must be >= 1"),
        ({"l1_ratio": 1.5}, r"l1_ratio must be in \[0, 1\]"),
        ({"selection": "none"}, "selection must be"),
    ],
)
def test_bad_parameters_are_named(settings, said):
    with pytest.raises(ValueError, match=said):
        ElasticNet(**settings).fit(*sample())


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"alphas": 0}, "alphas must be"),
        ({"alphas": [0.0]}, "alphas must be"),
        ({"eps": 0.0}, "eps must be"),
        ({"l1_ratio": 0.0}, "give the alphas"),
        ({"coef_init": [1.0]}, "coef_init must have shape"),
        ({"sample_weight": np.zeros(120)}, "at least one non-zero"),
    ],
)
def test_bad_parameters_of_paths_are_named(settings, said):
    with pytest.raises(ValueError, match=said):
        enet_path(*sample(), **settings)


def test_path_takes_the_number_of_penalties_by_both_names_and_what_peers_are_given():
    X, y = sample()
    a, b = lasso_path(X, y, n_alphas=7, precompute=True, copy_X=False, verbose=0), lasso_path(X, y, alphas=7)
    assert_array_equal(a[0], b[0])
    assert_array_equal(a[1], b[1])
