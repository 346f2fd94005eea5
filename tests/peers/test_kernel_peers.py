"""Gram matrices beside scikit-learn's, in float64."""

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn.metrics.pairwise as peer
from numpy.testing import assert_allclose
from sklearn.datasets import load_wine
from sklearn.preprocessing import StandardScaler

from breadth.tabular.kernels import gram as own

SETTINGS = [
    ("linear_kernel", {}),
    ("polynomial_kernel", {}),
    ("polynomial_kernel", {"degree": 2, "gamma": 0.4, "coef0": -0.5}),
    ("rbf_kernel", {}),
    ("rbf_kernel", {"gamma": 3.0}),
    ("sigmoid_kernel", {}),
    ("sigmoid_kernel", {"gamma": 0.1, "coef0": -1.0}),
]


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize(("name", "settings"), SETTINGS)
def test_matrices_equal_scikit_learns(name, settings, sparse):
    X = StandardScaler().fit_transform(load_wine().data)
    X, Y = (sp.csr_matrix(X), sp.csr_matrix(X[::3])) if sparse else (X, X[::3])
    for pair in ((X, Y), (X, None)):
        # sums of 13 products in another order; the cube of a base near 0 has no relative digits
        assert_allclose(getattr(own, name)(*pair, **settings), getattr(peer, name)(*pair, **settings), 1e-12, 1e-13)


def test_smallest_eigenvalue_equals_numpys():
    K = own.sigmoid_kernel(StandardScaler().fit_transform(load_wine().data), gamma=1.0)
    with pytest.warns(own.IndefiniteKernelWarning):
        assert_allclose(own.check_psd(K), np.linalg.eigvalsh(K)[0], rtol=1e-10)
