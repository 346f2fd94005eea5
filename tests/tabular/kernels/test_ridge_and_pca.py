"""KernelRidge and KernelPCA: what they are in another form, weights, far columns and bad input."""

import warnings

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sp
from numpy.testing import assert_allclose
from sklearn.datasets import make_circles
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import parametrize_with_checks

from breadth.tabular.kernels.gram import IndefiniteKernelWarning, rbf_kernel
from breadth.tabular.kernels.pca import KernelPCA
from breadth.tabular.kernels.ridge import KernelRidge


@parametrize_with_checks([KernelRidge(), KernelRidge(kernel="rbf"), KernelPCA(), KernelPCA(2, kernel="rbf")])
def test_keeps_every_rule_of_scikit_learn(estimator, check):
    check(estimator)


def sample(n=120, p=4, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    return X, np.sin(X[:, 0]) + X[:, 1] ** 2 + 0.1 * rng.normal(size=n)


def test_the_linear_kernel_is_ridge_regression_without_intercept():
    X, y = sample()
    coef = np.linalg.solve(X.T @ X + 0.7 * np.eye(4), X.T @ y)
    assert_allclose(KernelRidge(alpha=0.7).fit(X, y).predict(X), X @ coef, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("kernel", ["rbf", "linear", "poly"])
def test_integer_weight_is_the_row_repeated_and_zero_the_row_absent(kernel):
    X, y = sample()
    weight = np.random.default_rng(1).integers(0, 3, size=len(y))
    weighted = KernelRidge(kernel=kernel).fit(X, y, sample_weight=weight)
    repeated = KernelRidge(kernel=kernel).fit(np.repeat(X, weight, axis=0), np.repeat(y, weight))
    assert_allclose(weighted.predict(X), repeated.predict(X), rtol=1e-8, atol=1e-10)


def test_each_target_has_its_penalty():
    X, y = sample()
    both = KernelRidge([0.1, 3.0], kernel="rbf").fit(X, np.column_stack([y, -y]))
    for column, (alpha, sign) in enumerate([(0.1, 1), (3.0, -1)]):
        one = KernelRidge(alpha, kernel="rbf").fit(X, sign * y)
        assert_allclose(both.predict(X)[:, column], one.predict(X), rtol=1e-12)


def test_no_penalty_interpolates_and_equal_rows_get_their_mean():
    X, y = sample(40)
    assert_allclose(KernelRidge(0.0, kernel="rbf", gamma=2.0).fit(X, y).predict(X), y, atol=1e-7)
    with pytest.warns(scipy.linalg.LinAlgWarning, match="raise alpha"):
        model = KernelRidge(0.0, kernel="rbf").fit([[0.0], [0.0], [1.0], [1.0]], [1.0, 3.0, 5.0, 5.0])
    assert_allclose(model.predict([[0.0], [1.0]]), [2.0, 5.0])


def test_far_columns_and_sparse_rows_change_no_rbf_regression():
    X, y = sample()
    X = np.round(X * 2**20) / 2**20 * (np.abs(X) > 0.5)
    near = KernelRidge(0.1, kernel="rbf").fit(X, y).predict(X)
    assert_allclose(KernelRidge(0.1, kernel="rbf").fit(X + 1e4, y).predict(X + 1e4), near, rtol=1e-6, atol=1e-7)
    assert_allclose(KernelRidge(0.1, kernel="rbf").fit(sp.csr_array(X), y).predict(sp.csr_array(X)), near, rtol=1e-9)


def test_a_matrix_and_a_function_serve_as_kernels():
    X, y = sample()
    named = KernelRidge(0.1, kernel="rbf", gamma=0.3).fit(X, y).predict(X[:9])
    K = rbf_kernel(X, gamma=0.3)
    assert_allclose(KernelRidge(0.1, kernel="precomputed").fit(K, y).predict(K[:9]), named, rtol=1e-10)

    def gauss(a, b, width):
        return np.exp(-np.square(a - b).sum() / width)

    own = KernelRidge(0.1, kernel=gauss, kernel_params={"width": 1 / 0.3}).fit(X, y)
    assert_allclose(own.predict(X[:9]), named, rtol=1e-9)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"alpha": -1.0}, "alpha must be >= 0"),
        ({"alpha": [1.0, 2.0]}, "one for each target"),
        ({"kernel": "precomputed"}, "square matrix"),
        ({"kernel": "rbf", "gamma": -1.0}, "gamma must be > 0"),
    ],
)
def test_bad_settings_of_ridge_are_told(settings, words):
    with pytest.raises(ValueError, match=words):
        KernelRidge(**settings).fit(*sample())


def test_an_indefinite_kernel_is_told():
    with pytest.warns(IndefiniteKernelWarning):
        KernelRidge(50.0, kernel="sigmoid").fit(*sample())


def test_the_linear_kernels_coordinates_are_principal_components():
    X, _ = sample()
    U, s, _ = np.linalg.svd(X - X.mean(axis=0), full_matrices=False)
    model = KernelPCA(4)
    Z = model.fit_transform(X)
    assert_allclose(np.abs(Z), np.abs(U * s), atol=1e-10)
    assert_allclose(model.eigenvalues_, s**2)
    assert_allclose(model.transform(X), Z, atol=1e-10)
    assert KernelPCA().fit(X).eigenvalues_.shape == (4,)  # the others are 0


@pytest.mark.parametrize("solver", ["dense", "arpack"])
def test_distances_of_coordinates_are_distances_in_the_kernels_space(solver):
    X, _ = sample(250)
    Z = KernelPCA(249, kernel="rbf", gamma=1.0, eigen_solver=solver).fit_transform(X)
    K = rbf_kernel(X, gamma=1.0)
    assert_allclose(np.square(Z[:, None] - Z).sum(axis=2), 2 - 2 * K, atol=1e-9)


def test_circles_come_apart_and_new_rows_fall_beside_old_ones():
    X, y = make_circles(300, factor=0.3, noise=0.05, random_state=0)
    model = KernelPCA(2, kernel="rbf", gamma=2.0)
    Z = model.fit_transform(X)
    assert max(abs(np.corrcoef(Z[:, k], y)[0, 1]) for k in range(2)) > 0.9
    assert_allclose(model.transform(X[:7] + 1e-9), Z[:7], atol=1e-7)
    assert list(model.get_feature_names_out()) == ["kernelpca0", "kernelpca1"]


def test_the_inverse_takes_rows_back_to_where_they_were():
    X, _ = make_circles(200, factor=0.5, noise=0.05, random_state=0)
    model = KernelPCA(20, kernel="rbf", gamma=1.0, fit_inverse_transform=True, alpha=1e-3).fit(X)
    back = model.inverse_transform(model.transform(X))
    assert np.sqrt(np.square(back - X).mean()) < 0.1 * X.std()
    with pytest.raises(NotFittedError, match="set fit_inverse_transform=True"):
        KernelPCA(2).fit(X).inverse_transform(X)


def test_far_columns_change_no_coordinate():
    X, _ = sample()
    X = np.round(X * 2**20) / 2**20
    for kernel in ("rbf", "linear"):
        near, far = (KernelPCA(3, kernel=kernel).fit_transform(X + mean) for mean in (0.0, 1e4))
        # the linear kernel's entries are near 4e8 before they are centred
        assert_allclose(far, near, atol=1e-8 if kernel == "rbf" else 1e-5)


def test_constant_and_single_rows_have_coordinates_0():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert_allclose(KernelPCA(2, kernel="rbf").fit_transform(np.ones((5, 3))), 0.0, atol=1e-7)
        assert_allclose(KernelPCA(1).fit_transform([[3.0, 1.0]]), [[0.0]])


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"eigen_solver": "randomized"}, "eigen_solver must be"),
        ({"n_components": 0}, "n_components must be >= 1"),
        ({"alpha": 0.0}, "alpha must be > 0"),
        ({"kernel": "precomputed"}, "square matrix"),
        ({"kernel": "precomputed", "fit_inverse_transform": True}, "Cannot fit_inverse_transform"),
        ({"kernel": "sigmoid", "gamma": 2.0}, "negative eigenvalue.*use the RBF kernel"),
    ],
)
def test_bad_settings_of_components_are_told(settings, words):
    with pytest.raises(ValueError, match=words):
        KernelPCA(**settings).fit(sample()[0])
