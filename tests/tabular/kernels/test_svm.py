"""SVC: optimality, caches and rests that change nothing, weights, far columns, probabilities and bad input."""

import pickle
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_iris, make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import parametrize_with_checks
from threadpoolctl import threadpool_limits

from breadth.tabular.kernels.gram import (
    IndefiniteKernelWarning,
    linear_kernel,
    polynomial_kernel,
    rbf_kernel,
    sigmoid_kernel,
)
from breadth.tabular.kernels.smo import Rows, solve
from breadth.tabular.kernels.svm import SVC
from breadth.tabular.kernels.svm_kernels import subtract_products

FORMULA = {"linear": linear_kernel, "poly": polynomial_kernel, "rbf": rbf_kernel, "sigmoid": sigmoid_kernel}


def _declared_by_scikit_learn(estimator):
    return {
        f"check_sample_weight_equivalence_on_{kind}_data": "repeated rows are another problem, solved within tol alone"
        for kind in ("dense", "sparse")
    }


@parametrize_with_checks([SVC(), SVC(kernel="linear")], expected_failed_checks=_declared_by_scikit_learn)
def test_keeps_every_rule_of_scikit_learn(estimator, check):
    check(estimator)


def sample(n=300, seed=0, flip=0.1):
    X, y = make_classification(n, 6, n_informative=4, flip_y=flip, random_state=seed)
    return (X - X.mean(axis=0)) / X.std(axis=0), y


def gap(K, sign, beta, price):
    """Violation of the optimality conditions of max s.b - b.K b / 2, in float64."""
    g = sign - K @ beta
    lower, upper = np.minimum(0, sign * price), np.maximum(0, sign * price)
    return g[beta < upper].max() - g[beta > lower].min()


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("kernel", FORMULA)
def test_rows_of_the_kernel_are_the_formula_in_float32(kernel, sparse):
    X = np.random.default_rng(0).normal(size=(700, 7))
    X[np.abs(X) < (1.5 if sparse else 0)] = 0.0
    settings = {} if kernel == "linear" else {"gamma": 0.3}
    settings |= {"coef0": 0.5} if kernel in ("poly", "sigmoid") else {}
    rows = Rows.of(sp.csr_matrix(X) if sparse else X, kernel, **({"gamma": 1.0, "coef0": 0.0} | settings), degree=3)
    g = np.zeros(700)
    subtract_products(rows.arrays, np.array([5, 6]), np.eye(700)[5] * 2, 100, 650, g)
    Z = X if sparse or kernel != "linear" else X - X.mean(axis=0)
    K = FORMULA[kernel](Z[5:6], Z, **settings)[0]
    assert_allclose(g[100:650], -2 * K[100:650], rtol=2e-7, atol=1e-7)  # half a unit of float32
    assert not g[:100].any() and not g[650:].any()


@pytest.mark.parametrize("kernel", FORMULA)
def test_the_solution_satisfies_the_optimality_conditions(kernel):
    X, y = sample()
    sign = np.where(y == 1, 1.0, -1.0)
    settings = {} if kernel == "linear" else {"gamma": 0.05}
    K = FORMULA[kernel](X, **settings, **({"coef0": -1.0} if kernel == "sigmoid" else {}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IndefiniteKernelWarning)
        model = SVC(kernel=kernel, coef0=-1.0 if kernel == "sigmoid" else 1.0, tol=1e-5, **settings).fit(X, y)
    beta = np.zeros(300)
    beta[model.support_] = model.dual_coef_[0]
    assert abs(beta.sum()) < 1e-12
    assert gap(K, sign, beta, 1.0) < 1e-5 + 1e-5  # kernel values are rounded to float32 while it is solved
    # a row's score is K beta + b
    assert_allclose(model.decision_function(X), K @ beta + model.intercept_[0], atol=1e-9)
    free = np.abs(beta) * (1 - np.abs(beta)) > 1e-9
    assert_allclose((K @ beta + model.intercept_[0])[free], sign[free], atol=2e-5)


def test_two_points_have_the_answer_of_the_book():
    """The widest margin between -1 and 3 is 4: w = 1/2, b = -1/2, alpha = 1 / (2 * 2)^2 * 2."""
    model = SVC(kernel="linear", C=10, tol=1e-10).fit([[-1.0], [3.0]], [0, 1])
    assert_allclose(model.coef_, [[0.5]])
    assert_allclose(model.intercept_, [-0.5])
    assert_allclose(model.dual_coef_, [[-0.125, 0.125]])
    assert_allclose(model.decision_function([[-1.0], [1.0], [3.0]]), [-1, 0, 1], atol=1e-12)
    assert_allclose(model.dual_objective_, [0.125])


@pytest.mark.parametrize("options", [{"shrinking": False}, {"cache_size": 0.01}, {"cache_size": 1e-9}])
def test_neither_rests_nor_a_small_cache_change_the_optimum(options):
    X, y = sample(1500)
    whole = SVC(C=3, tol=1e-6).fit(X, y)
    other = SVC(C=3, tol=1e-6, **options).fit(X, y)
    assert_allclose(other.dual_objective_, whole.dual_objective_, rtol=1e-8)  # g of float32 kernel values adds up
    assert_allclose(other.decision_function(X), whole.decision_function(X), atol=1e-5)  # some times tol


def test_resting_rows_save_steps_over_all_and_are_looked_at_again():
    X, y = sample(4000, flip=0.2)
    sign = np.where(y == 1, 1.0, -1.0)
    rows = Rows.of(X, "rbf", gamma=1.0, degree=3, coef0=0)
    box = np.minimum(0, 50 * sign), np.maximum(0, 50 * sign)
    found = solve(rows, sign, *box, tol=1e-3, max_iter=-1, shrinking=True, cache_bytes=2e8)
    assert found.converged and found.gap < 1e-3
    assert gap(rbf_kernel(X, gamma=1.0), sign, found.beta, 50.0) < 2e-3


@pytest.mark.parametrize("kernel", ["rbf", "linear"])
def test_columns_of_mean_1e4_change_nothing(kernel):
    X, y = sample()
    X = np.round(X * 2**20) / 2**20  # numbers whose sum with the mean is exact
    near = SVC(kernel=kernel, gamma=0.1, tol=1e-8).fit(X, y)
    far = SVC(kernel=kernel, gamma=0.1, tol=1e-8).fit(X + 1e4, y)
    assert_allclose(far.decision_function(X + 1e4), near.decision_function(X), atol=1e-6)
    assert_array_equal(far.predict(X + 1e4), near.predict(X))


def test_equal_rows_of_both_classes_and_constant_columns_are_borne():
    X = np.column_stack([np.repeat([0.0, 1.0, 2.0], 20), np.full(60, 7.0)])
    y = np.tile([0, 1], 30)  # says nothing
    model = SVC().fit(X, y)
    assert np.isfinite(model.decision_function(X)).all()
    assert SVC().fit(np.ones((4, 2)), [0, 1, 1, 1]).predict([[1.0, 1.0]]) == [1]


def test_weight_is_a_factor_of_C_and_a_row_of_weight_0_is_absent():
    X, y = sample()
    weight = np.random.default_rng(1).integers(0, 4, size=len(y))
    weighted = SVC(gamma=0.2, tol=1e-7).fit(X, y, sample_weight=weight)
    repeated = SVC(gamma=0.2, tol=1e-7).fit(np.repeat(X, weight, axis=0), np.repeat(y, weight))
    assert_allclose(weighted.dual_objective_, repeated.dual_objective_, rtol=1e-8)
    assert_allclose(weighted.decision_function(X), repeated.decision_function(X), atol=1e-5)  # some times tol
    assert not (weight[weighted.support_] == 0).any()


def test_class_weight_moves_the_boundary_towards_the_light_class():
    X, y = sample()
    rare = np.r_[np.flatnonzero(y == 0), np.flatnonzero(y == 1)[:30]]
    plain, balanced = SVC().fit(X[rare], y[rare]), SVC(class_weight="balanced").fit(X[rare], y[rare])
    assert (balanced.predict(X) == 1).sum() > (plain.predict(X) == 1).sum()
    assert_allclose(balanced.class_weight_, len(rare) / (2 * np.bincount(y[rare])))


@pytest.mark.parametrize("labels", [[0, 1, 2], ["a", "b", "c"]])
def test_a_matrix_a_function_and_a_name_of_one_kernel_agree(labels):
    X, y = load_iris(return_X_y=True)
    y = np.array(labels)[y]
    named = SVC(gamma=0.5, tol=1e-8).fit(X, y)
    K = rbf_kernel(X, gamma=0.5)
    matrix = SVC(kernel="precomputed", tol=1e-8).fit(K, y)
    function = SVC(kernel=lambda x, z: np.exp(-0.5 * np.square(x - z).sum()), tol=1e-8).fit(X, y)
    for other, Z in ((matrix, K), (function, X)):
        assert_array_equal(other.support_, named.support_)
        assert_allclose(other.decision_function(Z), named.decision_function(X), atol=1e-6)
        assert_array_equal(other.predict(Z), named.predict(X))
    assert named.predict(X).dtype == y.dtype


def test_sparse_rows_have_the_solution_of_dense_ones():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 80)) * (rng.random((500, 80)) < 0.08)
    y = X[:, :10].sum(axis=1) + 0.3 * rng.normal(size=500) > 0
    for kernel in ("linear", "rbf", "poly"):
        dense = SVC(kernel=kernel, tol=1e-7).fit(X, y)
        sparse = SVC(kernel=kernel, tol=1e-7).fit(sp.csr_array(X), y)
        assert_allclose(sparse.dual_objective_, dense.dual_objective_, rtol=1e-7)
        assert_allclose(sparse.decision_function(sp.csr_array(X)), dense.decision_function(X), atol=1e-5)
        assert sp.issparse(sparse.support_vectors_)


def test_any_number_of_threads_gives_the_same_bits():
    X, y = load_iris(return_X_y=True)
    models = []
    for threads in (1, 2):
        with threadpool_limits(threads, "blas"):
            models.append(SVC(probability=True, random_state=0).fit(X, y))
    one, two = models
    assert_array_equal(one.dual_coef_, two.dual_coef_)
    assert_array_equal(one.predict_proba(X), two.predict_proba(X))


def test_scores_of_classes_have_whole_votes_and_scores_of_pairs_have_signs():
    X, y = load_iris(return_X_y=True)
    model = SVC().fit(X, y)
    assert model.decision_function(X).shape == (150, 3)
    pairs = model.set_params(decision_function_shape="ovo").decision_function(X)
    assert_array_equal(pairs[y == 0, 0] > 0, True)  # of classes 0 and 1
    ties = SVC(break_ties=True).fit(X, y)
    assert_array_equal(ties.predict(X), ties.decision_function(X).argmax(axis=1))


def test_probabilities_are_calibrated_where_raw_scores_are_none():
    X, y = sample(1500, flip=0.3)
    model = SVC(probability=True, random_state=0).fit(X[:750], y[:750])
    proba = model.predict_proba(X[750:])
    assert_allclose(proba.sum(axis=1), 1.0)
    assert_allclose(model.predict_log_proba(X[750:]), np.log(proba))
    from_score = 1 / (1 + np.exp(-4 * model.decision_function(X[750:])))  # a confident guess
    truth = y[750:]

    def brier(p):
        return np.mean((p - truth) ** 2)

    assert brier(proba[:, 1]) < brier(from_score)
    assert abs(proba[:, 1].mean() - truth.mean()) < 0.05
    assert not hasattr(SVC(), "predict_proba")


def test_a_class_of_one_row_has_a_probability():
    X, y = load_iris(return_X_y=True)
    few = np.r_[0:50, 50]
    assert np.isfinite(SVC(probability=True, random_state=0).fit(X[few], y[few]).predict_proba(X)).all()


def test_a_pickled_model_predicts_alike():
    X, y = load_iris(return_X_y=True)
    model = SVC().fit(X, y)
    assert_array_equal(pickle.loads(pickle.dumps(model)).decision_function(X), model.decision_function(X))


def test_too_few_steps_are_told():
    X, y = sample()
    with pytest.warns(ConvergenceWarning, match=r"max_iter=5 steps.*raise max_iter"):
        model = SVC(max_iter=5).fit(X, y)
    assert model.fit_status_ == 1 and model.n_iter_[0] == 5


def test_an_indefinite_sigmoid_is_told_and_still_ends():
    X, y = sample()
    with pytest.warns(IndefiniteKernelWarning, match="use the RBF kernel"):
        model = SVC(kernel="sigmoid", gamma=1.0, coef0=1.0).fit(X, y)
    assert np.isfinite(model.dual_coef_).all()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"C": 0}, "C must be > 0"),
        ({"tol": 0}, "tol must be > 0"),
        ({"gamma": "wide"}, "gamma must be 'scale', 'auto' or"),
        ({"gamma": -1.0}, "gamma must be 'scale', 'auto' or"),
        ({"kernel": "gauss"}, "kernel must be one of 'linear'"),
        ({"kernel": "poly", "degree": -1}, "degree must be >= 0"),
        ({"max_iter": 0}, "max_iter must be >= 1"),
        ({"cache_size": 0}, "cache_size must be > 0"),
        ({"decision_function_shape": "both"}, "decision_function_shape must be"),
        ({"kernel": "poly", "degree": 60, "gamma": 1e6}, "overflow float32: scale X"),
    ],
)
def test_settings_out_of_range_are_told(settings, words):
    X, y = sample(60)
    with pytest.raises(ValueError, match=words):
        SVC(**settings).fit(X, y)


def test_data_that_cannot_be_fitted_are_told():
    X, y = sample(60)
    with pytest.raises(ValueError, match="only one class"):
        SVC().fit(X, np.zeros(60))
    with pytest.raises(ValueError, match=r"no weight to class .*1"):
        SVC().fit(X, y, sample_weight=(y == 0).astype(float))
    with pytest.raises(ValueError, match=r"square matrix.*\(60, 6\)"):
        SVC(kernel="precomputed").fit(X, y)
    with pytest.raises(AttributeError, match="only with kernel='linear'"):
        SVC().fit(X, y).coef_  # noqa: B018
    with pytest.raises(ValueError, match="set decision_function_shape='ovr'"):
        SVC(break_ties=True, decision_function_shape="ovo").fit(X, y).predict(X)
