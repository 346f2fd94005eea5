"""LinearSVC: optimality of both solvers, weights, far columns and bad input."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_iris, make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import parametrize_with_checks
from threadpoolctl import threadpool_limits

from breadth.tabular.kernels.linear_svm import LinearSVC


def _declared_by_scikit_learn(estimator):
    return {
        f"check_sample_weight_equivalence_on_{kind}_data": "repeated rows are another problem, solved within tol alone"
        for kind in ("dense", "sparse")
    }


@parametrize_with_checks([LinearSVC(), LinearSVC(dual=True)], expected_failed_checks=_declared_by_scikit_learn)
def test_keeps_every_rule_of_scikit_learn(estimator, check):
    check(estimator)


def sample(n=400, p=8):
    X, y = make_classification(n, p, n_informative=5, flip_y=0.1, random_state=0)
    return (X - X.mean(axis=0)) / X.std(axis=0), y


def objective(model, X, y, loss, C=1.0):
    margin = np.where(y == model.classes_[1], 1, -1) * (X @ model.coef_[0] + model.intercept_[0])
    slack = np.maximum(0, 1 - margin)
    size = model.coef_[0] @ model.coef_[0] + model.intercept_[0] ** 2
    return size / 2 + C * (slack if loss == "hinge" else slack**2).sum()


def test_both_solvers_end_at_one_optimum():
    X, y = sample()
    dual, primal = (LinearSVC(dual=d, tol=1e-9, max_iter=100_000).fit(X, y) for d in (True, False))
    assert_allclose(dual.coef_, primal.coef_, rtol=1e-6)
    assert_allclose(dual.intercept_, primal.intercept_, rtol=1e-6)


def test_the_gradient_of_the_squared_hinge_is_zero():
    X, y = sample()
    model = LinearSVC(tol=1e-10).fit(X, y)
    sign = np.where(y == 1, 1.0, -1.0)
    slack = np.maximum(0, 1 - sign * model.decision_function(X))
    assert_allclose(model.coef_[0], 2 * X.T @ (slack * sign), atol=1e-8)
    assert_allclose(model.intercept_[0], 2 * (slack * sign).sum(), atol=1e-8)


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
def test_no_small_step_lowers_the_objective(loss):
    X, y = sample()
    model = LinearSVC(loss=loss, dual=True, tol=1e-8, max_iter=200_000).fit(X, y)
    least = objective(model, X, y, loss)
    rng = np.random.default_rng(0)
    coef, intercept = model.coef_.copy(), model.intercept_.copy()
    for _ in range(50):
        model.coef_ = coef + 1e-3 * rng.normal(size=coef.shape)
        model.intercept_ = intercept + 1e-3 * rng.normal(size=1)
        assert objective(model, X, y, loss) > least


@pytest.mark.parametrize("settings", [{"dual": True}, {"dual": False}, {"loss": "hinge"}])
def test_sparse_rows_have_the_planes_of_dense_ones(settings):
    X, y = sample()
    X = X * (np.abs(X) > 1)
    dense = LinearSVC(**settings, tol=1e-8, max_iter=100_000, random_state=0).fit(X, y)
    sparse = LinearSVC(**settings, tol=1e-8, max_iter=100_000, random_state=0).fit(sp.csr_array(X), y)
    assert_allclose(sparse.coef_, dense.coef_, rtol=1e-5, atol=1e-7)
    assert_allclose(sparse.decision_function(sp.csr_array(X)), dense.decision_function(X), atol=1e-5)


@pytest.mark.parametrize("dual", [True, False])
def test_weight_2_is_the_row_twice_and_weight_0_the_row_absent(dual):
    X, y = sample()
    weight = np.random.default_rng(1).integers(0, 3, size=len(y))
    weighted = LinearSVC(dual=dual, tol=1e-9, max_iter=100_000).fit(X, y, sample_weight=weight)
    repeated = LinearSVC(dual=dual, tol=1e-9, max_iter=100_000).fit(np.repeat(X, weight, axis=0), np.repeat(y, weight))
    assert_allclose(weighted.coef_, repeated.coef_, rtol=1e-5)


def test_columns_of_mean_1e4_are_borne_by_newton():
    X, y = sample()
    model = LinearSVC(tol=1e-10).fit(X + 1e4, y)
    assert model.score(X + 1e4, y) > 0.8
    # b is penalised, and here it is a combination of far columns: the optimum has b near 0
    assert (
        objective(model, X + 1e4, y, "squared_hinge")
        < objective(LinearSVC(tol=1e-10).fit(X, y), X, y, "squared_hinge") * 1.2
    )


def test_each_class_has_a_plane_and_threads_change_no_bit():
    X, y = load_iris(return_X_y=True)
    names = np.array(["a", "b", "c"])[y]
    models = []
    for threads in (1, 2):
        with threadpool_limits(threads, "blas"):
            models.append(LinearSVC(dual=True, random_state=0, max_iter=10_000).fit(X, names))
    one, two = models
    assert one.coef_.shape == (3, 4) and one.intercept_.shape == (3,)
    assert_array_equal(one.coef_, two.coef_)
    assert set(one.predict(X)) == {"a", "b", "c"}
    assert_array_equal(LinearSVC(fit_intercept=False).fit(X, names).intercept_, 0.0)


def test_degenerate_rows_are_borne():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for dual in (True, False):
            model = LinearSVC(dual=dual).fit(np.zeros((4, 2)), [0, 1, 1, 1])
            assert_array_equal(model.coef_, 0.0)
            assert model.predict([[5.0, 5.0]]) == [1]
            assert LinearSVC(dual=dual).fit([[0.0], [1.0]], [0, 1]).predict([[2.0]]) == [1]
        LinearSVC(loss="hinge", fit_intercept=False).fit(np.zeros((4, 2)), [0, 1, 1, 1])


def test_too_few_epochs_are_told():
    X, y = sample()
    with pytest.warns(ConvergenceWarning, match=r"max_iter=2 epochs.*scale X, raise max_iter"):
        LinearSVC(dual=True, max_iter=2, tol=1e-9).fit(X, y)
    with pytest.warns(ConvergenceWarning, match="max_iter=1 steps"):
        LinearSVC(dual=False, max_iter=1, tol=1e-9).fit(X, y)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"penalty": "l1"}, "penalty must be 'l2'"),
        ({"loss": "log"}, "loss must be 'squared_hinge' or 'hinge'"),
        ({"loss": "hinge", "dual": False}, "set dual=True"),
        ({"dual": "maybe"}, "dual must be True, False or 'auto'"),
        ({"multi_class": "crammer_singer"}, "multi_class must be 'ovr'"),
        ({"C": -1.0}, "C must be > 0"),
        ({"tol": 0}, "tol must be > 0"),
        ({"intercept_scaling": 0}, "intercept_scaling must be > 0"),
        ({"max_iter": 0}, "max_iter must be >= 1"),
    ],
)
def test_settings_out_of_range_are_told(settings, words):
    X, y = sample(40)
    with pytest.raises(ValueError, match=words):
        LinearSVC(**settings).fit(X, y)


def test_data_that_cannot_be_fitted_are_told():
    X, y = sample(40)
    with pytest.raises(ValueError, match="only one class"):
        LinearSVC().fit(X, np.zeros(40))
    with pytest.raises(ValueError, match=r"no weight to class .*1"):
        LinearSVC().fit(X, y, sample_weight=(y == 0).astype(float))
