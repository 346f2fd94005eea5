"""LogisticRegression: gradient, weights, separation, extreme logits and bad input."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import check_grad
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import parametrize_with_checks

from breadth.tabular.linear.logistic import LogisticRegression
from breadth.tabular.linear.logistic_problem import LogisticProblem
from breadth.tabular.linear.separation import SeparationWarning


@parametrize_with_checks([LogisticRegression(), LogisticRegression(class_weight="balanced")])
def test_keeps_every_rule_of_scikit_learn(estimator, check):
    check(estimator)


def sample(n=400, p=4, classes=2, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    edges = [0.0] if classes == 2 else np.linspace(-1.5, 1.5, classes - 1)
    return X, np.digitize(X @ np.linspace(-1, 1, p) + rng.logistic(size=n), edges)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix])
def test_gradient_is_the_derivative_of_the_loss(form, classes):
    X, y = sample(classes=classes)
    problem = LogisticProblem(form(X + 3), y, np.full(len(y), 1 / len(y)), 0.1, classes, True)
    theta = np.random.default_rng(1).normal(size=problem.n_rows * 5)
    error = check_grad(lambda t: problem.loss_and_gradient(t)[0], lambda t: problem.loss_and_gradient(t)[1], theta)
    assert error < 1e-6  # forward differences of step 1.5e-8


@pytest.mark.parametrize("classes", [2, 4])
def test_integer_weight_is_the_row_repeated_and_zero_the_row_absent(classes):
    X, y = sample(classes=classes)
    weight = np.random.default_rng(1).integers(0, 4, size=len(y))
    for class_weight in (None, "balanced"):
        weighted = LogisticRegression(class_weight=class_weight).fit(X, y, sample_weight=weight)
        repeated = LogisticRegression(class_weight=class_weight).fit(np.repeat(X, weight, axis=0), np.repeat(y, weight))
        assert_allclose(weighted.coef_, repeated.coef_, rtol=1e-8)  # the same steps, sums in another order


@pytest.mark.parametrize("classes", [2, 3])
def test_sparse_and_dense_input_give_the_same_model(classes):
    X, y = sample(classes=classes)
    X[np.abs(X) < 0.5] = 0.0
    dense, sparse = LogisticRegression().fit(X, y), LogisticRegression().fit(sp.csr_matrix(X), y)
    assert_allclose(sparse.coef_, dense.coef_, rtol=1e-8)
    assert_allclose(sparse.predict_proba(sp.csr_matrix(X)), dense.predict_proba(X), rtol=1e-8)


def test_a_column_of_mean_1e4_and_badly_scaled_columns_need_no_more_steps():
    X, y = sample()
    plain = LogisticRegression(C=np.inf).fit(X, y)
    moved = LogisticRegression(C=np.inf).fit(X * [1e-3, 1, 1e3, 1e6] + 1e4, y)
    assert moved.n_iter_[0] == plain.n_iter_[0]
    assert_allclose(moved.coef_ * [1e-3, 1, 1e3, 1e6], plain.coef_, rtol=1e-6)  # 1e-3 beside 1e4 keeps 9 digits


def test_constant_column_gets_coefficient_zero_and_duplicates_share():
    X, y = sample()
    model = LogisticRegression(tol=1e-9).fit(np.column_stack([X, np.full(len(y), 1e4 / 3), X[:, 0]]), y)
    assert abs(model.coef_[0, 4]) < 1e-9
    assert_allclose(model.coef_[0, 0], model.coef_[0, 5], rtol=1e-9)


def test_huge_logits_keep_their_digits():
    model = LogisticRegression().fit([[-1.0], [1.0]], [0, 1])
    model.coef_, model.intercept_ = np.array([[1.0]]), np.array([0.0])
    X = [[-800.0], [-40.0], [40.0], [800.0]]
    assert_allclose(model.predict_log_proba(X)[:, 1], [-800.0, -40.0, -4.248354255291589e-18, 0.0], rtol=1e-14)
    assert_allclose(model.predict_proba(X)[1:3, [1, 0]].diagonal(), 4.248354255291589e-18, rtol=1e-14)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        problem = LogisticProblem(np.array([[1e8], [-1e8]]), np.array([0, 1]), np.array([0.5, 0.5]), 0.0, 2, False)
        loss, _ = problem.loss_and_gradient(np.array([800.0, 0.0]))
    assert_allclose(loss, 800.0)  # in scaled coordinates both margins are -800


@pytest.mark.parametrize("classes", [2, 3])
def test_complete_separation_is_said_with_its_mend(classes):
    X, _ = sample()
    y = np.digitize(X[:, 0], [0.0] if classes == 2 else [-0.5, 0.5])
    X[:, 0] += np.where(X[:, 0] > 0, 0.2, -0.2) if classes == 2 else 0.0
    with pytest.warns(SeparationWarning, match=r"separation.*Give a finite C"):
        LogisticRegression(C=np.inf, max_iter=1000).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LogisticRegression(max_iter=1000).fit(X, y)  # with a penalty the estimate exists


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix])
def test_quasi_complete_separation_names_the_column(form, classes):
    X, y = sample(classes=classes)
    X = np.column_stack([X, (y == 1) & (X[:, 0] > 1.0)])  # a rare level that only class 1 has
    with pytest.warns(SeparationWarning, match="quasi-complete separation of the classes by column 4:"):
        LogisticRegression(penalty=None).fit(form(X), y)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_separation_is_found_exactly_where_a_sweep_of_directions_finds_it(seed, fit_intercept):
    rng = np.random.default_rng(seed)
    x = rng.integers(-2, 3, size=12).astype(float)  # one column on a grid: boundaries are hit exactly
    y = (x + rng.normal(size=12) * 0.7 > 0).astype(int)
    if len(np.unique(y)) < 2:
        pytest.skip("one class drawn")
    sign = np.where(y == 1, 1.0, -1.0)
    cuts = np.unique(x) if fit_intercept else [0.0]
    separable = any((sign * s * (x - c) >= 0).all() and (sign * s * (x - c) > 0).any() for s in (1, -1) for c in cuts)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        LogisticRegression(penalty=None, fit_intercept=fit_intercept).fit(x[:, None], y)
    assert any(issubclass(w.category, SeparationWarning) for w in caught) == separable


def test_overlapping_classes_give_no_warning_without_penalty():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LogisticRegression(penalty=None).fit(*sample())
        LogisticRegression(C=np.inf).fit(*sample(classes=3))
        X, y = sample()
        LogisticRegression(C=np.inf).fit(np.column_stack([X, X[:, 0]]), y)  # collinear is not separated


def test_too_few_steps_is_said():
    X, y = load_iris(return_X_y=True)
    with pytest.warns(ConvergenceWarning, match="max_iter=2 steps"):
        LogisticRegression(max_iter=2).fit(X, y)


def test_labels_of_any_kind_come_back():
    X, y = sample(classes=3)
    names = np.array(["low", "middle", "top"])[y]
    model = LogisticRegression().fit(X, names)
    assert_array_equal(model.classes_, ["low", "middle", "top"])
    assert_array_equal(model.predict(X), np.array(["low", "middle", "top"])[LogisticRegression().fit(X, y).predict(X)])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"C": 0}, "C must be > 0"),
        ({"C": np.nan}, "C must be > 0"),
        ({"penalty": "l0"}, "penalty must be 'l2', 'l1', 'elasticnet' or None, got 'l0'"),
        ({"l1_ratio": 2.0}, r"l1_ratio must be in \[0, 1\]"),
        ({"penalty": None, "C": 10.0}, "without meaning"),
        ({"tol": 0}, "tol must be > 0"),
        ({"max_iter": 0}, "max_iter must be >= 1"),
        ({"solver": "sga"}, "solver must be 'lbfgs' or .* or 'saga', got 'sga'"),
        ({"class_weight": "even"}, "class_weight must be"),
        ({"class_weight": {0: -1.0, 1: 1.0}}, "class_weight must be >= 0"),
        ({"class_weight": {0: 0.0, 1: 1.0}}, "no weight to class"),
    ],
)
def test_bad_parameters_are_named(parameters, message):
    with pytest.raises(ValueError, match=message):
        LogisticRegression(**parameters).fit(*sample())


def test_bad_data_is_named():
    X, y = sample()
    with pytest.raises(ValueError, match="at least 2 classes, got only one class"):
        LogisticRegression().fit(X, np.zeros(len(y)))
    with pytest.raises(ValueError, match="no weight to class"):
        LogisticRegression().fit(X, y, sample_weight=(y == 0).astype(float))
    with pytest.raises(ValueError, match="NaN"):
        LogisticRegression().fit(np.where(X[0, 0] == X, np.nan, X), y)
    with pytest.raises(ValueError, match=r"[Nn]egative"):
        LogisticRegression().fit(X, y, sample_weight=-np.ones(len(y)))


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("penalty", ["l2", "l1", None])
def test_warm_start_goes_on_from_the_last_fit(penalty, classes, form, fit_intercept):
    X, y = sample(classes=classes)
    X = form(np.where(np.abs(X) > 0.3, X + 2.0, 0.0))
    settings = {"penalty": penalty, "fit_intercept": fit_intercept, "tol": 1e-8, "max_iter": 1000}
    cold = LogisticRegression(**settings).fit(X, y)
    warm = LogisticRegression(**settings, warm_start=True).fit(X, y)
    assert_array_equal(warm.coef_, cold.coef_)
    assert warm.fit(X, y).n_iter_[0] <= 1 < cold.n_iter_[0]
    assert_allclose(warm.coef_, cold.coef_, atol=1e-6)  # tol over curvature
    assert_allclose(warm.intercept_, cold.intercept_, atol=1e-6)
    warm.set_params(C=2.0 if penalty else 1.0).fit(X, y)
    assert_allclose(warm.coef_, clone(warm).fit(X, y).coef_, atol=1e-6)


def test_warm_start_of_another_shape_is_named():
    X, y = sample()
    model = LogisticRegression(warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match=r"warm_start=True.*\(1, 4\), not \(1, 3\)"):
        model.fit(X[:, :3], y)


def test_calls_written_for_scikit_learn_run():
    X, y = sample()
    model = LogisticRegression(dual=False, intercept_scaling=2, n_jobs=-1, verbose=1, solver="liblinear").fit(X, y)
    assert_array_equal(model.coef_, LogisticRegression().fit(X, y).coef_)
