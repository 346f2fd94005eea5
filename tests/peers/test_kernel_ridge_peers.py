"""KernelRidge and KernelPCA beside scikit-learn's, in float64."""

import numpy as np
import pytest
import sklearn.decomposition
import sklearn.kernel_ridge
from numpy.testing import assert_allclose
from sklearn.datasets import load_diabetes
from sklearn.preprocessing import scale

from breadth.tabular.kernels.pca import KernelPCA
from breadth.tabular.kernels.ridge import KernelRidge

KERNELS = [
    {"kernel": "linear"},
    {"kernel": "poly", "degree": 2},
    {"kernel": "polynomial", "gamma": 0.2},
    {"kernel": "rbf", "gamma": 0.05},
    {"kernel": "laplacian"},
]


def rows():
    X, y = load_diabetes(return_X_y=True)
    return scale(X), (y - y.mean()) / y.std()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("settings", KERNELS)
def test_regressions_equal_scikit_learns(settings, weighted):
    X, y = rows()
    y = np.column_stack([y, y**2])
    weight = np.random.default_rng(0).uniform(0, 2, len(y)) if weighted else None
    ours, peer = (
        make(alpha=0.5, **settings).fit(X[::2], y[::2], None if weight is None else weight[::2])
        for make in (KernelRidge, sklearn.kernel_ridge.KernelRidge)
    )
    # cubes reach 1e5, and the condition of K + alpha I with them
    assert_allclose(ours.predict(X), peer.predict(X), rtol=1e-7, atol=1e-8)
    assert_allclose(ours.dual_coef_, peer.dual_coef_, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("n_components", [3, 20])
@pytest.mark.parametrize("settings", [*KERNELS[:2], KERNELS[3], {"kernel": "cosine"}])
def test_components_equal_scikit_learns(settings, n_components):
    X, _ = rows()
    extra = {"fit_inverse_transform": True, "alpha": 0.1} if settings["kernel"] in ("rbf", "linear") else {}
    ours, peer = (
        make(n_components, random_state=0, **settings, **extra).fit(X[::2])
        for make in (KernelPCA, sklearn.decomposition.KernelPCA)
    )
    size = peer.eigenvalues_[0]
    assert_allclose(ours.eigenvalues_, peer.eigenvalues_, rtol=1e-9, atol=1e-12 * size)
    sound = peer.eigenvalues_ > 1e-9 * size
    assert_allclose(ours.transform(X)[:, sound], peer.transform(X)[:, sound], atol=1e-8 * size**0.5)
    if extra:
        Z = peer.transform(X)
        assert_allclose(ours.inverse_transform(Z), peer.inverse_transform(Z), atol=1e-7)
