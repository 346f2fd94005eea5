"""LinearRegression: rank, collinear columns, weights and bad input."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.utils.estimator_checks import parametrize_with_checks

from breadth.tabular.linear.least_squares import LinearRegression


@parametrize_with_checks([LinearRegression(), LinearRegression(fit_intercept=False), LinearRegression(positive=True)])
def test_keeps_every_rule_of_scikit_learn(estimator, check):
    check(estimator)


def sample(n=200, p=5, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    return X, X @ np.arange(1.0, p + 1) + 3.0 + rng.normal(size=n)


@pytest.mark.parametrize("mean", [0.0, 1e4, 1e6])
def test_column_mean_costs_no_digits(mean):
    X, _ = sample()
    beta = np.arange(1.0, 6.0)
    shifted = X + mean
    model = LinearRegression().fit(shifted, (shifted - mean) @ beta)
    # eps x mean of each entry is lost in forming the input itself
    assert_allclose(model.coef_, beta, rtol=1e-13 + 4e-16 * mean)
    assert len(model.collinear_) == 0


def test_columns_in_very_different_units_are_all_kept():
    X, y = sample()
    unit = np.array([1e-9, 1e-3, 1.0, 1e5, 1e9])
    model = LinearRegression().fit(X * unit, y)
    assert model.rank_ == 5
    assert_allclose(model.coef_ * unit, LinearRegression().fit(X, y).coef_, rtol=1e-11)  # division rounds


@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix, sp.csc_matrix, sp.coo_matrix])
def test_names_the_columns_that_add_nothing(form):
    X, y = sample()
    # 5 doubles 1; 6 is constant at a mean that does not average exactly; 7 = 0 - 2
    X = np.column_stack([X, 2 * X[:, 1] + 7, np.full(200, 1e4 / 3), X[:, 0] - X[:, 2]])
    model = LinearRegression().fit(form(X), y)
    assert_array_equal(model.collinear_, [5, 6, 7])
    assert model.rank_ == 5
    without = LinearRegression().fit(np.delete(X, model.collinear_, axis=1), y)
    assert_allclose(model.predict(X), without.predict(np.delete(X, model.collinear_, axis=1)), rtol=1e-10)
    assert model.coef_[6] == 0.0


def test_without_intercept_a_constant_column_is_a_column():
    X, y = sample()
    model = LinearRegression(fit_intercept=False).fit(np.column_stack([X, np.ones(200)]), y)
    assert len(model.collinear_) == 0
    assert model.intercept_ == 0.0
    assert_allclose(model.coef_[5], LinearRegression().fit(X, y).intercept_, rtol=1e-12)


def test_duplicated_column_shares_its_coefficient():
    X, y = sample()
    model = LinearRegression().fit(np.column_stack([X, X[:, 0]]), y)
    assert_allclose(model.coef_[0], model.coef_[5], rtol=1e-12)
    assert_array_equal(model.collinear_, [5])


def test_more_columns_than_rows_interpolates_with_the_shortest_coefficients():
    X, y = sample(n=8, p=30)
    model = LinearRegression(fit_intercept=False).fit(X, y)
    assert model.rank_ == 8
    assert_array_equal(model.collinear_, np.arange(8, 30))
    assert_allclose(model.coef_, np.linalg.pinv(X) @ y, rtol=1e-10)


@pytest.mark.parametrize("apart", [1.0, 1e-3, 1e-6, 0.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_many_columns_keep_their_digits_however_near_two_of_them_are(apart, weighted):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 80)) * 10.0 ** rng.integers(-6, 7, 80) + 1e3
    X[:, 7] = X[:, 3] + apart * X[:, 7].std() * rng.normal(size=400)
    y = X @ (rng.normal(size=80) / X.std(axis=0)) + rng.normal(size=400)
    weight = rng.exponential(size=400) if weighted else np.ones(400)
    model = LinearRegression().fit(X, y, weight if weighted else None)
    root = np.sqrt(weight)[:, None]
    A = np.hstack([(X - X.mean(axis=0)) / X.std(axis=0), np.ones((400, 1))]) * root
    best = np.linalg.lstsq(A, y * root[:, 0], rcond=1e-13)[0]
    np.testing.assert_allclose(model.predict(X) * root[:, 0], A @ best, rtol=1e-9)
    assert model.rank_ == 80 - (apart == 0)
    assert list(model.collinear_) == ([7] if apart == 0 else [])


def test_one_row_is_fitted_by_the_intercept_alone():
    model = LinearRegression().fit([[1.0, 2.0]], [5.0])
    assert_array_equal(model.coef_, [0.0, 0.0])
    assert model.intercept_ == 5.0
    assert model.rank_ == 0


@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix])
def test_integer_weight_is_the_row_repeated_and_zero_the_row_absent(form):
    X, y = sample(n=5000)
    weight = np.random.default_rng(1).integers(0, 4, size=5000)
    weighted = LinearRegression().fit(form(X), y, sample_weight=weight)
    repeated = LinearRegression().fit(form(np.repeat(X, weight, axis=0)), np.repeat(y, weight))
    assert_allclose(weighted.coef_, repeated.coef_, rtol=1e-11)  # sums in another order
    assert_allclose(weighted.singular_, repeated.singular_, rtol=1e-11)


def test_several_targets_are_fitted_as_each_alone():
    X, y = sample()
    Y = np.column_stack([y, -2 * y, X[:, 0]])
    model = LinearRegression().fit(X, Y)
    assert model.coef_.shape == (3, 5)
    assert model.intercept_.shape == (3,)
    for t in range(3):
        assert_allclose(model.coef_[t], LinearRegression().fit(X, Y[:, t]).coef_, atol=1e-12)


def test_wide_sparse_input_is_solved_without_becoming_dense():
    X = sp.random(3000, 1200, density=0.02, random_state=0, format="csr")
    y = X @ np.linspace(-1, 1, 1200) + 2.0
    weight = np.random.default_rng(0).integers(1, 3, size=3000)
    model = LinearRegression(tol=1e-13).fit(X, y, sample_weight=weight)
    assert model.rank_ is None and model.collinear_ is None and model.singular_ is None
    assert_allclose(model.coef_, np.linspace(-1, 1, 1200), atol=1e-9)
    assert_allclose(model.intercept_, 2.0, rtol=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, y: (np.where(X[0, 0] == X, np.nan, X), y, None), "NaN"),
        (lambda X, y: (np.where(X[0, 0] == X, np.inf, X), y, None), "infinity"),
        (lambda X, y: (X, y, np.full(len(y), -1.0)), r"[Nn]egative"),
        (lambda X, y: (X, y, np.zeros(len(y))), r"0 in every row|non-zero"),
        (lambda X, y: (X, y[:-1], None), "inconsistent numbers of samples"),
        (lambda X, y: (X[:0], y[:0], None), "0 sample"),
    ],
)
def test_bad_input_is_named(change, message):
    X, y, weight = change(*sample())
    with pytest.raises(ValueError, match=message):
        LinearRegression().fit(X, y, sample_weight=weight)


def test_negative_tol_is_named():
    with pytest.raises(ValueError, match="tol must be >= 0, got -1"):
        LinearRegression(tol=-1).fit(*sample())


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(200, 8), (6, 9)])
@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix])
def test_positive_slopes_are_the_optimum_among_those(form, shape, weighted):
    rng = np.random.default_rng(0)
    X = rng.normal(size=shape) * np.logspace(-3, 3, shape[1])
    y = X @ (rng.normal(size=shape[1]) / np.logspace(-3, 3, shape[1])) + 7.0
    weight = rng.exponential(size=len(y)) if weighted else np.ones(len(y))
    model = LinearRegression(positive=True).fit(form(X), y, weight if weighted else None)
    # optimal: the gradient is 0 along slopes in use and points out of the others' range; in units of the columns
    pull = (X - weight @ X / weight.sum()).T @ (weight * (y - model.predict(form(X)))) / np.linalg.norm(X, axis=0)
    used = model.coef_ > 0
    assert (model.coef_ >= 0).all() and 0 < used.sum() < len(used)
    assert_allclose(pull[used], 0.0, atol=1e-11 * np.linalg.norm(y))
    assert (pull[~used] <= 1e-11 * np.linalg.norm(y)).all()


def test_positive_slopes_of_wide_sparse_input_say_what_to_take():
    X = sp.random(20, 1001, density=0.01, random_state=0, format="csr")
    with pytest.raises(ValueError, match="ElasticNet"):
        LinearRegression(positive=True).fit(X, np.arange(20.0))


@pytest.mark.parametrize("positive", [False, True])
def test_sparse_rows_with_unsorted_and_double_entries_stay_as_they_are(positive):
    arrays = np.array([2.0, 1, 4, 1, 2, 9]), np.array([1, 0, 1, 0, 0, 1]), np.array([0, 2, 5, 6])
    X = sp.csr_array(tuple(a.copy() for a in arrays), shape=(3, 2))
    model = LinearRegression(positive=positive).fit(X, [1.0, 2.0, 4.0])
    for kept, given in zip((X.data, X.indices, X.indptr), arrays, strict=True):
        assert_array_equal(kept, given)
    assert_allclose(model.coef_, LinearRegression(positive=positive).fit(X.toarray(), [1.0, 2.0, 4.0]).coef_, rtol=1e-9)
