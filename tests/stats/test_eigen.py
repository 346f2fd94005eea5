"""Extreme eigenvalues and low rank against ARPACK and scikit-learn; independence against exact rational arithmetic."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse.linalg import eigsh, svds
from sklearn.utils.extmath import randomized_svd

from breadth.stats.eigen import lanczos, low_rank_approximation, power_iteration
from breadth.stats.linalg import linear_independence


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_power_iteration_converges_by_the_ratio_of_the_first_two(rng):
    Q = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    A = Q @ np.diag([1.0, -0.8, 0.5, 0.3, 0.1, 0]) @ Q.T
    found = power_iteration(A, tol=1e-12)
    assert found.converged
    assert_allclose(found.value, 1, rtol=1e-12)
    assert_allclose(np.abs(found.vector @ Q[:, 0]), 1, rtol=1e-12)
    residuals = [power_iteration(A, n_iterations=k, tol=1e-300).residual for k in (40, 60)]
    assert_allclose((residuals[1] / residuals[0]) ** (1 / 20), 0.8, rtol=1e-3)
    nonsymmetric = np.array([[4.0, 1], [2, 3]])
    assert_allclose(power_iteration(nonsymmetric).value, 5, rtol=1e-9)
    assert power_iteration(scipy.sparse.eye(4) * 3).value == pytest.approx(3)
    assert power_iteration(np.zeros((3, 3))).value == 0


@pytest.mark.parametrize("size", [1e155, 1e-170])
def test_power_iteration_whatever_the_unit(size):
    found = power_iteration(size * np.diag([3.0, 1.0]), start=[1e200, 1e200])
    assert found.converged
    assert_allclose(found.value, 3 * size, rtol=1e-9)
    assert_allclose(np.abs(found.vector), [1, 0], atol=1e-9)


def test_power_iteration_says_that_it_did_not_converge():
    for A in (np.array([[0.0, -1], [1, 0]]), np.diag([1.0, -1.0])):
        found = power_iteration(A, n_iterations=200)
        assert not found.converged and found.residual > 0.1 and found.n_iterations == 200


@pytest.mark.parametrize("which", ["largest", "smallest"])
def test_lanczos_is_arpacks(rng, which):
    A = rng.normal(size=(120, 120))
    A = A + A.T
    found = lanczos(A, 4, which=which)
    peer = np.sort(eigsh(A, 4, which="LA" if which == "largest" else "SA")[0])
    assert_allclose(found.values, peer[::-1] if which == "largest" else peer, rtol=1e-9)
    assert (found.residuals < 1e-8 * np.abs(found.values).max()).all()
    assert_allclose(found.vectors.T @ found.vectors, np.eye(4), atol=1e-10)
    few = lanczos(A, 1, which=which, n_steps=25)
    assert np.abs(few.values[0] - np.linalg.eigvalsh(A)).min() <= few.residuals[0]


@pytest.mark.parametrize("which", ["largest", "smallest"])
def test_lanczos_restarts_until_close_values_are_told_apart(rng, which):
    n = 700  # beyond what is kept whole; the path's extreme values differ by 1e-5 of the largest
    path = scipy.sparse.diags([-1.0, 2.0, -1.0], [-1, 0, 1], shape=(n, n)).tocsr()
    exact = 2 - 2 * np.cos(np.pi * np.arange(1, n + 1) / (n + 1))
    found = lanczos(path, 5, which=which)
    assert_allclose(found.values, exact[::-1][:5] if which == "largest" else exact[:5], rtol=0, atol=1e-9)
    assert found.residuals.max() < 1e-9
    assert_allclose(found.vectors.T @ found.vectors, np.eye(5), atol=1e-10)


@pytest.mark.parametrize("size", [1e155, 1e-170])
def test_lanczos_whatever_the_unit(size):
    found = lanczos(size * np.diag([3.0, 1.0, 2.0]), 3)
    assert_allclose(found.values, [3 * size, 2 * size, size], rtol=1e-12)


def test_what_did_not_converge_is_of_the_vector_returned():
    A = np.diag([3.0, 1.0])
    found = power_iteration(A, n_iterations=3)
    assert_allclose(found.value, found.vector @ A @ found.vector, rtol=1e-14)
    assert_allclose(found.residual, np.linalg.norm(A @ found.vector - found.value * found.vector), rtol=1e-12)


def test_lanczos_finds_multiple_values_sparse_matrices_and_whole_spectra(rng):
    assert_allclose(lanczos(np.diag([1.0, 1, 2, 2, 3]), 5).values, [3, 2, 2, 1, 1], rtol=1e-12)
    assert_allclose(lanczos(np.eye(4), 3).values, 1)
    assert_array_equal(lanczos(np.zeros((3, 3)), 2).values, 0)
    path = scipy.sparse.diags([-1.0, 2.0, -1.0], [-1, 0, 1], shape=(200, 200)).tocsr()
    exact = 2 - 2 * np.cos(np.pi * np.arange(1, 201) / 201)
    assert_allclose(lanczos(path, 3).values, exact[::-1][:3], rtol=1e-9)
    # values that converge early do not come back as ghosts
    spread = np.diag(np.concatenate([[1000.0, 500.0], np.linspace(0, 1, 98)]))
    assert_allclose(lanczos(spread, 4).values, [1000, 500, 1, 1 - 1 / 97], rtol=1e-9)


@pytest.mark.parametrize("shape", [(60, 40), (40, 60), (1, 5), (5, 1)])
def test_low_rank_is_the_nearest_and_randomized_comes_to_it(rng, shape):
    rank = min(3, *shape)
    A = rng.normal(size=shape) @ np.diag(0.7 ** np.arange(shape[1]))
    s = np.linalg.svd(A, compute_uv=False)
    exact = low_rank_approximation(A, rank)
    assert_allclose(exact.error, np.sqrt((s[rank:] ** 2).sum()), rtol=1e-10, atol=1e-12)
    drawn = low_rank_approximation(A, rank, method="randomized", rng=1)
    assert_allclose(drawn.singular, s[:rank], rtol=1e-8)
    assert_allclose(drawn.matrix(), exact.matrix(), atol=1e-5)
    assert_allclose(drawn.singular, randomized_svd(A, rank, n_iter=7, random_state=0)[1], rtol=1e-7)
    if min(shape) > 3:
        assert_allclose(np.sort(svds(A, rank)[1])[::-1], exact.singular, rtol=1e-8)
        other = exact.matrix() + 0.01 * np.outer(A[:, 0], rng.normal(size=shape[1]))
        assert np.linalg.norm(A - other) > exact.error
    assert_allclose(drawn.left.T @ drawn.left, np.eye(rank), atol=1e-12)


def rational_rank(rows):
    """Rank by elimination in fractions."""
    m = [[Fraction(int(v)) for v in row] for row in rows]
    rank = 0
    for j in range(len(m[0])):
        pivot = next((i for i in range(rank, len(m)) if m[i][j]), None)
        if pivot is None:
            continue
        m[rank], m[pivot] = m[pivot], m[rank]
        for i in range(rank + 1, len(m)):
            factor = m[i][j] / m[rank][j]
            m[i] = [a - factor * b for a, b in zip(m[i], m[rank], strict=True)]
        rank += 1
    return rank


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.data())
def test_rank_is_the_exact_one_and_dependent_columns_are_their_combinations(n, k, data):
    cells = data.draw(st.lists(st.integers(-3, 3), min_size=n * k, max_size=n * k))
    A = np.array(cells, float).reshape(n, k)
    for method in ("qr", "svd"):
        found = linear_independence(A, method=method)
        assert found.rank == rational_rank(A.tolist())
        assert found.independent == (found.rank == k)
        assert sorted([*found.basis, *found.dependent]) == list(range(k))
        rebuilt = A[:, list(found.basis)] @ found.coefficients
        assert_allclose(rebuilt, A[:, list(found.dependent)], atol=1e-10)


def test_dependent_columns_are_named_whatever_their_units(rng):
    a, b, c = rng.normal(size=(3, 30))
    X = np.column_stack([a, 1e9 * b, 1e-9 * c, 2 * a - b, np.zeros(30), 1e12 * c])
    found = linear_independence(X, names=["a", "b", "c", "d", "e", "f"])
    assert found.rank == 3 and "e" in found.dependent
    assert "e = 0" in found.explain()
    assert found.rank == np.linalg.matrix_rank(X[:, [0, 1, 2, 3, 5]] / np.linalg.norm(X[:, [0, 1, 2, 3, 5]], axis=0))
    dummies = np.eye(3)[np.arange(30) % 3]
    trap = linear_independence(np.column_stack([np.ones(30), dummies]), names=["one", "red", "green", "blue"])
    assert not trap.independent and len(trap.dependent) == 1
    assert len(trap.explain()) == 1
    far = linear_independence(np.column_stack([1e200 * a, 1e-200 * b, 2e-200 * b - 1e-200 * a]))
    assert far.rank == 2 and len(far.dependent) == 1
    np.testing.assert_allclose(far.sizes, linear_independence(np.column_stack([a, b, 2 * b - a])).sizes, atol=1e-14)
    nearly = np.column_stack([a, a + 1e-9 * b])
    assert linear_independence(nearly).independent
    assert not linear_independence(nearly, rtol=1e-6).independent
    assert linear_independence(np.zeros((2, 2))).rank == 0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: power_iteration(np.eye(2), start=[0, 0]), "is not 0"),
        (lambda: power_iteration(np.eye(2), tol=0), "tol must be > 0"),
        (lambda: power_iteration(np.full((2, 2), np.nan)), "A holds NaN"),
        (lambda: lanczos(np.array([[1.0, 2], [0, 1]])), "A must be symmetric"),
        (lambda: lanczos([[1, 2], [3, 4]]), "A must be symmetric"),
        (lambda: lanczos(scipy.sparse.csr_array([[2.0, 1], [9, 2]])), "A must be symmetric"),
        (lambda: lanczos(np.array([[1, 1j], [-1j, 1]])), "A must be real"),
        (lambda: power_iteration(scipy.sparse.csr_array([[1, 1j], [-1j, 1]])), "A must be real"),
        (lambda: lanczos(np.eye(2), 3), "k must be in \\[1, 2\\]"),
        (lambda: lanczos(np.eye(3), 2, n_steps=1), "n_steps must be an integer >= 2"),
        (lambda: low_rank_approximation(np.eye(2), 3), "rank must be in \\[1, 2\\]"),
        (lambda: low_rank_approximation([1.0, 2], 1), "A must have 2 dimensions"),
        (lambda: linear_independence(np.empty((3, 0))), "at least one column"),
        (lambda: linear_independence(np.eye(2), names=["a"]), "names must be one for each of 2"),
        (lambda: linear_independence(np.eye(2), rtol=2), "rtol must be in"),
    ],
)
def test_bad_arguments_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()
