"""Gram matrices: what a kernel is, far columns, sparse rows, threads, and matrices that are none."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from threadpoolctl import threadpool_limits

from breadth.tabular.kernels.gram import (
    IndefiniteKernelWarning,
    check_psd,
    linear_kernel,
    polynomial_kernel,
    rbf_kernel,
    sigmoid_kernel,
)

KERNELS = [linear_kernel, polynomial_kernel, rbf_kernel, sigmoid_kernel]
SHAPED = KERNELS[1:]


def rows(n=700, p=5, seed=0):
    return np.random.default_rng(seed).normal(size=(n, p))


def test_polynomial_is_the_inner_product_of_its_monomials():
    x, y = rows(4, 2), rows(3, 2, 1)

    def monomials(z):  # of (z1 + z2 + 1)^2, each with the root of its count
        a, b = z.T
        return np.column_stack([a * a, b * b, 2**0.5 * a * b, 2**0.5 * a, 2**0.5 * b, np.ones_like(a)])

    assert_allclose(polynomial_kernel(x, y, degree=2, gamma=1.0), monomials(x) @ monomials(y).T, rtol=1e-13)


@pytest.mark.parametrize("degree", [0, 1, 2, 3, 7, 2.5, 100])
def test_every_degree_is_the_power(degree):
    x = np.abs(rows(20))
    inner = x @ x.T / 5 + 1
    assert_allclose(polynomial_kernel(x, degree=degree), inner**degree, rtol=1e-13 * max(degree, 1))


@pytest.mark.parametrize("kernel", [linear_kernel, polynomial_kernel, rbf_kernel])
def test_gram_matrices_of_kernels_are_positive_semi_definite(kernel):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert check_psd(kernel(rows(300))) > -1e-10


def test_the_sigmoid_is_no_kernel_and_check_psd_says_so():
    K = sigmoid_kernel(rows(300), gamma=1.0, coef0=1.0)
    with pytest.warns(IndefiniteKernelWarning, match="no Gram matrix.*use the RBF kernel") as caught:
        smallest = check_psd(K)
    assert smallest < -1
    assert caught[0].filename == __file__
    shifted = K + (1e-9 - smallest) * np.eye(300)  # what the warning advises
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_psd(shifted)


def test_a_small_sigmoid_with_negative_coef0_looks_like_a_gaussian_once_centred():
    """Lin & Lin 2003: with a small gamma and coef0 < 0 it is nearly positive semi-definite once centred."""
    K = sigmoid_kernel(rows(200, 2), gamma=0.01, coef0=-1.0)
    centred = K - K.mean(axis=0) - K.mean(axis=1)[:, None] + K.mean()
    assert np.linalg.eigvalsh(centred)[0] > -1e-4


@pytest.mark.parametrize("n", [1, 2, 50, 1200])
def test_smallest_eigenvalue_is_that_of_a_full_decomposition(n):
    K = linear_kernel(rows(n, n + 3)) + np.eye(n)
    assert_allclose(check_psd(K), np.linalg.eigvalsh(K)[0], rtol=1e-8)


def test_a_constant_matrix_is_semi_definite():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert abs(check_psd(np.ones((1500, 1500)))) < 1e-9
        assert check_psd(np.zeros((3, 3))) == 0.0


@pytest.mark.parametrize("mean", [1e4, 1e6])
def test_rbf_keeps_its_digits_in_far_columns(mean):
    X = np.round(rows() * 2**20) / 2**20  # numbers whose sum with the mean is exact
    assert_allclose(rbf_kernel(X + mean, gamma=0.3), rbf_kernel(X, gamma=0.3), rtol=1e-9)  # the rounded mean's part


def test_rbf_in_float32_keeps_float32_digits():
    X = (rows() + 1e3).astype(np.float32)
    K = rbf_kernel(X, gamma=2.0)
    assert K.dtype == np.float32
    # rounding of centred entries, 1e3 eps, times the slope of exp
    assert_allclose(K, rbf_kernel(X.astype(float), gamma=2.0), atol=2e-6)


def test_rbf_of_a_row_with_itself_is_exactly_one():
    assert_array_equal(np.diag(rbf_kernel(rows() * 1e8)), 1.0)


@pytest.mark.parametrize("kernel", KERNELS)
def test_sparse_rows_give_what_dense_ones_give(kernel):
    X = rows(600, 30) * (rows(600, 30, 1) > 1)
    Y = X[::7]
    assert_allclose(kernel(sp.csr_matrix(X)), kernel(X), rtol=1e-12, atol=1e-14)
    assert_allclose(kernel(sp.csr_array(X), sp.csr_array(Y)), kernel(X, Y), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kernel", SHAPED)
def test_any_number_of_threads_gives_the_same_bits(kernel):
    X, Y = rows(900), rows(1100, seed=1)
    with threadpool_limits(1, "blas"):
        one = kernel(X), kernel(X, Y)
    with threadpool_limits(2, "blas"):
        two = kernel(X), kernel(X, Y)
    for a, b in zip(one, two, strict=True):
        assert_array_equal(a, b)
    assert_array_equal(one[0], one[0].T)


@pytest.mark.parametrize("kernel", KERNELS)
def test_one_row_and_one_column(kernel):
    K = kernel([[2.0]], [[3.0], [-1.0]])
    assert K.shape == (1, 2) and np.isfinite(K).all()


@pytest.mark.parametrize("kernel", KERNELS)
def test_bad_rows_are_told(kernel):
    with pytest.raises(ValueError, match="NaN"):
        kernel([[np.nan]])
    with pytest.raises(ValueError, match="ncompatible dimension"):
        kernel(rows(), rows(p=4))


@pytest.mark.parametrize("kernel", SHAPED)
@pytest.mark.parametrize("gamma", [0.0, -1.0, np.nan])
def test_gamma_is_positive(kernel, gamma):
    with pytest.raises(ValueError, match="gamma must be > 0, got"):
        kernel(rows(), gamma=gamma)


def test_degree_is_not_negative():
    with pytest.raises(ValueError, match="degree must be >= 0, got -1"):
        polynomial_kernel(rows(), degree=-1)


@pytest.mark.parametrize(
    ("K", "words"),
    [
        (np.ones((2, 3)), r"square.*\(2, 3\)"),
        (np.ones((0, 0)), "square"),
        (np.array([[1.0, np.nan], [np.nan, 1.0]]), "finite"),
        (np.array([[1.0, 2.0], [0.0, 1.0]]), "symmetric; it differs from its transpose by 2"),
    ],
)
def test_what_is_no_symmetric_matrix_is_told(K, words):
    with pytest.raises(ValueError, match=words):
        check_psd(K)
