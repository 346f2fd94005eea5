"""SVR: optimality, weights, far columns, degenerate targets and bad input."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import parametrize_with_checks

from breadth.tabular.kernels.gram import rbf_kernel
from breadth.tabular.kernels.svr import SVR


def _declared_by_scikit_learn(estimator):
    return {
        f"check_sample_weight_equivalence_on_{kind}_data": "repeated rows are another problem, solved within tol alone"
        for kind in ("dense", "sparse")
    }


@parametrize_with_checks([SVR()], expected_failed_checks=_declared_by_scikit_learn)
def test_keeps_every_rule_of_scikit_learn(estimator, check):
    check(estimator)


def waves(n=300, p=3, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    return X, np.sin(2 * X[:, 0]) + X[:, 1] + 0.2 * rng.normal(size=n)


def test_the_solution_satisfies_the_optimality_conditions():
    X, y = waves()
    model = SVR(C=2.0, gamma=0.5, tol=1e-7).fit(X, y)
    beta = np.zeros(300)
    beta[model.support_] = model.dual_coef_[0]
    residual = y - rbf_kernel(X, gamma=0.5) @ beta - model.intercept_[0]
    assert abs(beta.sum()) < 1e-10
    slack = 1e-5  # kernel values are rounded to float32 while it is solved
    assert (np.abs(residual[beta == 0]) < 0.1 + slack).all()
    assert (np.abs(residual[np.abs(beta) > 2 - 1e-12]) > 0.1 - slack).all()
    free = (beta != 0) & (np.abs(beta) < 2 - 1e-9)
    assert_allclose(residual[free], 0.1 * np.sign(beta[free]), atol=slack)
    objective = y @ beta - 0.1 * np.abs(beta).sum() - beta @ rbf_kernel(X, gamma=0.5) @ beta / 2
    shifted = objective - np.median(y) * beta.sum()
    assert_allclose(model.dual_objective_, shifted, rtol=1e-6)


def test_errors_within_epsilon_cost_nothing():
    X, y = waves()
    model = SVR(epsilon=100.0).fit(X, y)
    assert len(model.support_) == 0
    assert_allclose(model.predict(X), (y.max() + y.min()) / 2, atol=100 - np.ptp(y) / 2)
    assert len(SVR(epsilon=0.0).fit(X, y).support_) == 300


def test_a_line_is_found_with_its_slope():
    X = np.linspace(-1, 1, 50)[:, None]
    model = SVR(kernel="linear", C=100.0, epsilon=0.0).fit(X, 3 * X[:, 0] + 7)
    assert_allclose(model.coef_, [[3.0]], rtol=1e-3)  # tol
    assert_allclose(model.intercept_, [7.0], rtol=1e-3)


@pytest.mark.parametrize("kernel", ["rbf", "linear"])
def test_columns_and_targets_of_mean_1e4_change_nothing(kernel):
    X, y = waves()
    X, y = np.round(X * 2**20) / 2**20, np.round(y * 2**20) / 2**20
    near = SVR(kernel=kernel, gamma=0.3, tol=1e-7).fit(X, y).predict(X)
    assert_allclose(
        SVR(kernel=kernel, gamma=0.3, tol=1e-7).fit(X + 1e4, y + 1e4).predict(X + 1e4) - 1e4, near, atol=1e-5
    )


def test_weight_is_a_factor_of_C_and_a_row_of_weight_0_is_absent():
    X, y = waves()
    weight = np.random.default_rng(1).integers(0, 3, size=300)
    weighted = SVR(gamma=0.5, tol=1e-7).fit(X, y, sample_weight=weight)
    repeated = SVR(gamma=0.5, tol=1e-7).fit(np.repeat(X, weight, axis=0), np.repeat(y, weight))
    assert_allclose(weighted.predict(X), repeated.predict(X), atol=1e-5)
    assert not (weight[weighted.support_] == 0).any()


def test_sparse_rows_and_a_matrix_have_the_solution_of_dense_rows():
    X, y = waves(p=30)
    X = X * (np.abs(X) > 1.5)
    dense = SVR(gamma=0.1, tol=1e-7).fit(X, y).predict(X)
    assert_allclose(SVR(gamma=0.1, tol=1e-7).fit(sp.csr_array(X), y).predict(sp.csr_array(X)), dense, atol=1e-5)
    K = rbf_kernel(X, gamma=0.1)
    assert_allclose(SVR(kernel="precomputed", tol=1e-7).fit(K, y).predict(K), dense, atol=1e-5)


def test_one_row_and_equal_targets_are_constants():
    assert_allclose(SVR().fit([[1.0, 2.0]], [5.0]).predict([[0.0, 0.0]]), [5.0])
    X, _ = waves()
    assert_allclose(SVR().fit(X, np.full(300, 3.0)).predict(X), 3.0)


def test_bad_input_is_told():
    X, y = waves(60)
    with pytest.raises(ValueError, match="epsilon must be >= 0"):
        SVR(epsilon=-0.1).fit(X, y)
    with pytest.raises(ValueError, match="C must be > 0"):
        SVR(C=0).fit(X, y)
    with pytest.raises(ValueError, match="at least one non-zero"):
        SVR().fit(X, y, sample_weight=np.zeros(60))
    with pytest.raises(AttributeError, match="only with kernel='linear'"):
        SVR().fit(X, y).coef_  # noqa: B018
    with pytest.warns(ConvergenceWarning, match="raise max_iter"):
        assert SVR(max_iter=3).fit(X, y).fit_status_ == 1
    assert_array_equal(SVR().fit(X, y).n_support_, [len(SVR().fit(X, y).support_)])
