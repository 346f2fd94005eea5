"""Ridge: the optimum by every solver and shape, weights, penalties per target, none, and bad input."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Ridge as SklearnRidge
from sklearn.utils.estimator_checks import parametrize_with_checks

from breadth.tabular.linear.least_squares import LinearRegression
from breadth.tabular.linear.ridge import Ridge


@parametrize_with_checks([Ridge(), Ridge(positive=True), Ridge(solver="svd"), Ridge(solver="lsqr", tol=1e-10)])
def test_keeps_every_rule_of_scikit_learn(estimator, check):
    if estimator.solver == "svd" and "sparse" in str(check):
        pytest.skip("the singular value decomposition is of dense input, and says so")
    check(estimator)


def sample(n=120, p=30, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    return X, X[:, :4] @ np.array([3.0, -2.0, 1.0, 0.5]) + 5.0 + 0.5 * rng.normal(size=n), rng.exponential(size=n)


def closed_form(X, y, weight, alpha):
    mean, centre = weight @ X / weight.sum(), weight @ y / weight.sum()
    root = np.sqrt(weight)[:, None]
    rows = np.vstack([root * (X - mean), np.sqrt(alpha) * np.eye(X.shape[1])])  # a least-squares problem on more rows
    coef = np.linalg.lstsq(rows, np.append(root[:, 0] * (y - centre), np.zeros(X.shape[1])), rcond=None)[0]
    return coef, centre - mean @ coef


@pytest.mark.parametrize("shape", [(120, 30), (30, 120), (50, 50)])
@pytest.mark.parametrize("solver", ["auto", "cholesky", "svd", "lsqr"])
@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix], ids=["dense", "sparse"])
def test_every_solver_finds_the_closed_form(shape, solver, form):
    if solver == "svd" and form is sp.csr_matrix:
        pytest.skip("dense only")
    X, y, weight = sample(*shape)
    model = Ridge(0.7, solver=solver, tol=1e-14).fit(form(X), y, weight)
    coef, intercept = closed_form(X, y, weight, 0.7)
    assert_allclose(model.coef_, coef, atol=1e-10)  # condition below 1e3 squared
    assert_allclose(model.intercept_, intercept, atol=1e-10)
    assert model.solver_ == ("cholesky" if solver == "auto" else solver)


def test_wide_sparse_input_goes_to_lsqr():
    X = sp.random(200, 1500, density=0.05, random_state=0, format="csr")
    y = X @ np.arange(1500.0) / 1500
    model = Ridge(0.1, tol=1e-13).fit(X, y)
    assert model.solver_ == "lsqr" and model.n_iter_[0] > 0
    assert_allclose(model.coef_, Ridge(0.1).fit(X.toarray(), y).coef_, atol=1e-9)
    with pytest.warns(ConvergenceWarning, match="raise max_iter"):
        Ridge(0.1, max_iter=1, tol=1e-13).fit(X, y)


def test_each_target_has_its_penalty_and_none_is_least_squares():
    X, y, weight = sample()
    Y = np.column_stack([y, -y, y])
    model = Ridge([0.0, 1.0, 50.0]).fit(X, Y, weight)
    assert_allclose(model.coef_[0], LinearRegression().fit(X, y, weight).coef_, atol=1e-11)
    assert_allclose(model.coef_[1], -Ridge(1.0).fit(X, y, weight).coef_, atol=1e-12)
    assert_allclose(model.coef_[2], Ridge(50.0).fit(X, y, weight).coef_, atol=1e-12)


def test_y_of_one_column_has_the_shapes_of_scikit_learn():
    X, y, _ = sample()
    ours, theirs = Ridge(0.7).fit(X, y[:, None]), SklearnRidge(0.7).fit(X, y[:, None])
    for name in ("coef_", "intercept_"):
        assert np.shape(getattr(ours, name)) == np.shape(getattr(theirs, name))
    assert_allclose(ours.predict(X), theirs.predict(X), rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(120, 30), (30, 120)])
@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix], ids=["dense", "sparse"])
def test_positive_coefficients_are_the_optimum_among_those_for_each_target(shape, form):
    X, y, weight = sample(*shape)
    X += 3.0
    Y, alpha = np.column_stack([y, -y, y]), np.array([0.0, 1.0, 50.0])
    model = Ridge(alpha, positive=True).fit(form(X), Y, weight)
    assert model.solver_ == "active_set" and (model.coef_ >= 0).all()
    rest = Y - model.predict(form(X))
    pull = ((X - weight @ X / weight.sum()).T @ (weight[:, None] * rest)).T - alpha[:, None] * model.coef_
    used = model.coef_ > 0
    assert used.any() and not used.all()
    assert_allclose(pull[used], 0.0, atol=1e-9)  # sums of some 120 products of size 30
    assert (pull[~used] <= 1e-9).all()
    peer = SklearnRidge(50.0, positive=True, tol=1e-12, max_iter=10**6).fit(X, y, weight)
    assert_allclose(model.coef_[2], peer.coef_, atol=1e-5)  # L-BFGS stops there


def test_positive_coefficients_of_wide_sparse_input_say_what_to_take():
    X = sp.random(20, 1001, density=0.01, random_state=0, format="csr")
    with pytest.raises(ValueError, match="ElasticNet"):
        Ridge(positive=True).fit(X, np.arange(20.0))


@pytest.mark.parametrize("solver", ["sag", "saga", "sparse_cg", "lbfgs"])
def test_solvers_of_scikit_learn_find_the_same(solver):
    X, y, _ = sample()
    assert_array_equal(Ridge(solver=solver, random_state=0).fit(X, y).coef_, Ridge().fit(X, y).coef_)


def test_no_penalty_on_collinear_columns_takes_the_shortest_coefficients():
    X, y, _ = sample()
    model = Ridge(0.0).fit(np.column_stack([X, X[:, 0]]), y)
    assert model.solver_ == "least_squares"
    assert_allclose(model.coef_[0], model.coef_[30], rtol=1e-10)


@pytest.mark.parametrize("alpha", [1e-13, 1e-9])
def test_a_tiny_penalty_on_collinear_columns_costs_no_digits(alpha):
    X, y, _ = sample()
    model = Ridge(alpha).fit(np.column_stack([X, X[:, 0]]), y)
    assert model.solver_ == "svd"
    assert_allclose(2 * model.coef_[0], LinearRegression().fit(X, y).coef_[0], rtol=1e-6)


def test_weight_two_is_the_row_twice():
    X, y, _ = sample()
    weight = np.random.default_rng(0).integers(0, 4, len(y))
    twice = Ridge().fit(np.repeat(X, weight, axis=0), np.repeat(y, weight))
    assert_allclose(Ridge().fit(X, y, weight).coef_, twice.coef_, atol=1e-12)


@pytest.mark.parametrize("mean", [1e4, 1e6])
def test_column_means_cost_no_digits(mean):
    X, y, _ = sample()
    # eps x mean is lost in forming the input itself
    assert_allclose(Ridge().fit(X + mean, y).coef_, Ridge().fit(X, y).coef_, atol=1e-9)


def test_one_row_is_fitted_by_the_intercept():
    model = Ridge().fit([[1.0, 2.0]], [5.0])
    assert_array_equal(model.coef_, [0.0, 0.0])
    assert model.intercept_ == 5.0


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"alpha": -1.0}, "alpha must be >= 0"),
        ({"alpha": [1.0, 2.0]}, "one for each of 1 targets"),
        ({"solver": "qr"}, "solver must be"),
        ({"tol": -1.0}, "tol must be >= 0"),
        ({"max_iter": 0}, "max_iter must be >= 1"),
    ],
)
def test_bad_parameters_are_named(settings, said):
    X, y, _ = sample()
    with pytest.raises(ValueError, match=said):
        Ridge(**settings).fit(X, y)


def test_weights_of_nothing_and_sparse_svd_are_refused():
    X, y, weight = sample()
    with pytest.raises(ValueError, match="at least one non-zero"):
        Ridge().fit(X, y, 0 * weight)
    with pytest.raises(ValueError, match="needs dense X"):
        Ridge(solver="svd").fit(sp.csr_matrix(X), y)
