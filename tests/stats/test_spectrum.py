"""The QR algorithm against LAPACK, mpmath and closed forms, where naive ones stall too; its kernels against NumPy."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import mpmath
import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal

from breadth.blas import granted_threads
from breadth.stats.francis_kernels import francis
from breadth.stats.multishift_kernels import BULGES, SMALL, STEP, chain, restored, rows_left
from breadth.stats.slab_kernels import FEW, FUSED, LANES, PAD, cut, joined, rotate_slabs, turn_slabs
from breadth.stats.spectrum import qr_algorithm
from breadth.stats.tridiagonal_kernels import ql_sweeps


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def matched(ours, peer):
    """Largest distance from one of ours to the nearest of theirs, and back."""
    apart = np.abs(np.asarray(ours)[:, None] - np.asarray(peer))
    return max(apart.min(0).max(), apart.min(1).max())


@pytest.mark.parametrize("n", [1, 2, 3, 8, 40, SMALL, SMALL + 1, 130, 333, FEW * LANES + 1])
def test_values_and_vectors_are_lapacks(rng, n):
    A = rng.normal(size=(n, n))
    general, symmetric = qr_algorithm(A), qr_algorithm(A + A.T)
    assert matched(general.values, np.linalg.eigvals(A)) < 1e-11  # a random matrix's values are ill-conditioned by ~100
    assert general.residuals.max() < 3e-14 * np.sqrt(n)
    assert_allclose(np.abs(A @ general.vectors - general.vectors * general.values).max(), 0, atol=3e-14 * np.sqrt(n))
    assert_allclose(np.linalg.norm(general.vectors, axis=0), 1)
    assert (np.diff(np.abs(general.values)) < 1e-11).all()
    largest = max(1, np.abs(symmetric.values).max())
    assert_allclose(symmetric.values, np.linalg.eigvalsh(A + A.T), rtol=0, atol=2e-14 * largest)
    assert_allclose(symmetric.vectors.T @ symmetric.vectors, np.eye(n), atol=2e-14)
    assert_allclose((A + A.T) @ symmetric.vectors, symmetric.vectors * symmetric.values, atol=2e-14 * largest)


def test_values_are_mpmaths_with_thirty_digits(rng):
    A = rng.normal(size=(9, 9))
    with mpmath.workdps(30):
        exact = [complex(v) for v in mpmath.eig(mpmath.matrix(A.tolist()), left=False, right=False)]
        exact_symmetric = [float(v) for v in mpmath.eigsy(mpmath.matrix((A + A.T).tolist()), eigvals_only=True)]
    assert matched(qr_algorithm(A).values, exact) < 1e-13
    assert_allclose(qr_algorithm(A + A.T).values, sorted(exact_symmetric), atol=1e-14)


@pytest.mark.parametrize("n", [5, 97, 256])
def test_values_of_a_path_a_cycle_and_a_triangle_are_their_closed_forms(rng, n):
    path = 2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1)
    exact = 2 - 2 * np.cos(np.pi * np.arange(1, n + 1) / (n + 1))
    assert_allclose(qr_algorithm(path).values, exact, atol=2e-14)
    cycle = qr_algorithm(np.roll(np.eye(n), 1, axis=0))
    assert matched(cycle.values, np.exp(2j * np.pi * np.arange(n) / n)) < 2e-14
    assert_allclose(np.abs(cycle.vectors), n**-0.5, atol=1e-12)
    for triangle in (np.triu(rng.normal(size=(n, n))), np.tril(rng.normal(size=(n, n)))):
        assert matched(qr_algorithm(triangle).values, np.diag(triangle)) < 1e-15


def hard(n, rng):
    """Matrices on which shifts cancel, blocks do not part, or balancing decides."""
    normal = rng.normal(size=(n, n))
    orthogonal = np.linalg.qr(normal)[0]
    triple = np.repeat([1.0, 2.0, 3.0], [n // 3, n // 3, n - 2 * (n // 3)])
    units = 10 ** rng.uniform(-8, 8, n)
    turns = scipy.linalg.block_diag(*[[[0.0, 1.0], [-1.0, 0.0]]] * (n // 2))  # +- i, n / 2 times
    repeated = orthogonal @ np.diag(triple) @ orthogonal.T
    return {
        "zero": np.zeros((n, n)),
        "identity": np.eye(n),
        "rank one": np.outer(normal[0], normal[1]),
        "ones": np.ones((n, n)),
        "nilpotent": np.eye(n, k=1),
        "defective": 2 * np.eye(n) + np.eye(n, k=-1),
        "orthogonal": orthogonal,
        "skew": normal - normal.T,
        "stochastic": np.abs(normal) / np.abs(normal).sum(1, keepdims=True),
        "units": units[:, None] * normal / units,
        "graded": 10.0 ** (-12 * np.arange(n) / n)[:, None] * normal,
        "companion": scipy.linalg.companion(np.append(1, normal[0])),
        "threefold": normal @ np.diag(triple) @ np.linalg.inv(normal),
        "pairs": scipy.linalg.block_diag(*[[[1.0, 2.0], [-2.0, 1.0]]] * (n // 2)),
        "threefold, symmetric": (repeated + repeated.T) / 2,
        "turns": orthogonal @ turns @ orthogonal.T,
        "turns, not normal": np.linalg.inv(normal) @ turns @ normal,
        "projection": orthogonal[:, : n // 2] @ orthogonal[:, : n // 2].T,
        "Hilbert": scipy.linalg.hilbert(n),
        "Wilkinson": np.diag(np.abs(np.arange(n) - n // 2).astype(float)) + np.eye(n, k=1) + np.eye(n, k=-1),
        "Grcar": np.triu(np.tril(np.ones((n, n)), 3)) - np.eye(n, k=-1),
        "far apart": np.where(rng.random((n, n)) < 0.5, 1e-200, 1) * normal,
    }


@pytest.mark.parametrize("size", [1.0, 1e-200, 1e200])
@pytest.mark.parametrize("n", [6, 30, 130, 250])
def test_matrices_that_stall_a_naive_algorithm(n, size):
    for name, A in hard(n, np.random.default_rng(1)).items():
        found = qr_algorithm(size * A)
        largest = np.linalg.norm(A, 2) or 1.0
        peer = np.linalg.eigvals(A)
        assert np.isfinite(found.vectors).all(), name
        assert_allclose(np.linalg.norm(found.vectors, axis=0), 1, rtol=1e-13, err_msg=name)
        assert_allclose(found.residuals / size, 0, atol=2e-14 * max(1, n / 30) * largest, err_msg=name)
        if name not in ("Grcar", "nilpotent", "defective"):  # their values move by the nth root of what rounds off
            assert matched(found.values / size, peer) < 1e-11 * largest, name


@pytest.mark.parametrize("n", [4, 66, 100])
@pytest.mark.parametrize("spread", [8, 20, 60])
def test_units_that_differ_by_many_powers_of_ten_are_balanced_away(n, spread):
    rng = np.random.default_rng(5)
    units, A = 10.0 ** rng.uniform(-spread, spread, n), rng.normal(size=(n, n))
    found = qr_algorithm(units[:, None] * A / units)
    assert matched(found.values, np.linalg.eigvals(A)) < 1e-12 * np.sqrt(n)
    assert (np.diff(np.abs(found.values)) < 1e-10).all()


def test_threads_that_call_at_once_find_the_same_and_leave_blas_as_it_was(rng):
    A = rng.normal(size=(120, 120))
    alone, before = qr_algorithm(A), granted_threads()
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(qr_algorithm, [A] * 24):
            assert_allclose(found.values, alone.values, atol=1e-10)
    assert granted_threads() == before


def test_a_defective_matrix_repeats_its_vector():
    found = qr_algorithm([[2.0, 1.0], [0.0, 2.0]])
    assert_allclose(found.values, [2, 2])
    assert_allclose(np.abs(found.vectors), [[1, 1], [0, 0]], atol=1e-14)


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 7).flatmap(lambda n: arrays(np.float64, (n, n), elements=st.integers(-3, 3).map(float))))
def test_trace_and_products_hold_for_matrices_of_small_integers(A):
    found = qr_algorithm(A)
    assert_allclose(found.values.sum(), np.trace(A), atol=1e-12)
    assert_allclose(A @ found.vectors, found.vectors * found.values, atol=1e-12)
    assert_allclose(np.linalg.norm(found.vectors, axis=0), 1)
    if not np.array_equal(A, A.T):
        assert matched(found.values, found.values.conj()) < 1e-14


@pytest.mark.parametrize(
    ("A", "words"),
    [
        ([[1.0, 2]], "A must be a square matrix"),
        (np.empty((0, 0)), "at least 1 rows"),
        ([[np.nan]], "A holds NaN"),
        ([[np.inf, 1], [1, 0]], "A holds NaN or infinity"),
        ([[1, 1j], [-1j, 1]], "A must be real"),
        (np.array([[1, 1j], [-1j, 1]]), "A must be real"),
    ],
)
def test_bad_arguments_are_named(A, words):
    with pytest.raises(ValueError, match=words):
        qr_algorithm(A)


@pytest.mark.parametrize("n", [8, 100])
@pytest.mark.parametrize("symmetric", [True, False])
def test_too_few_sweeps_are_an_error(rng, n, symmetric):
    A = rng.normal(size=(n, n))
    with pytest.raises(ArithmeticError, match="max_sweeps=1 steps; raise max_sweeps"):
        qr_algorithm(A + A.T if symmetric else A, max_sweeps=1)


def test_the_matrix_given_is_left_as_it_is(rng):
    A = rng.normal(size=(80, 80))
    for a in (A, A + A.T):
        before = a.copy()
        qr_algorithm(a)
        assert_array_equal(a, before)


@pytest.mark.parametrize("shape", [(1, 1), (5, LANES), (7, LANES + 1), (70, 90)])
def test_slabs_are_the_matrix(rng, shape):
    A = rng.normal(size=shape)
    assert_array_equal(joined(cut(A), shape[1]), A)


@pytest.mark.parametrize("spans", [[(0, 9)], [(0, 9), (2, 9), (2, 8), (3, 4), (5, 8)], [(8, 9)] * 6])
@pytest.mark.parametrize("columns", [40, FEW * LANES])
def test_sweeps_of_rotations_are_products_one_by_one(rng, spans, columns):
    n = 10
    A = rng.normal(size=(n, columns))
    angles = rng.uniform(0, 6, (8, n))
    C, S = np.ones((8, n + 2 * PAD)), np.zeros((8, n + 2 * PAD))
    expected = A.copy()
    for t, (first, stop) in enumerate(spans):
        for k in range(stop - 1, first - 1, -1):
            c, s = np.cos(angles[t, k]), np.sin(angles[t, k])
            C[t, k + PAD], S[t, k + PAD] = c, s
            expected[k : k + 2] = np.array([[c, -s], [s, c]]) @ expected[k : k + 2]
    slabs = cut(A)
    assert FUSED == 4
    rotate_slabs(slabs.reshape(len(slabs), -1), C, S, np.array(spans), len(spans))
    assert_allclose(joined(slabs, columns), expected, atol=1e-14)


def reflection(n, k, tau, v, w):
    u = np.zeros(n + 1)
    u[k : k + 3] = 1, v, w
    return np.eye(n) - tau * np.outer(u[:n], u[:n])


@pytest.mark.parametrize(("first", "stop"), [(0, 12), (3, 11), (5, 7)])
@pytest.mark.parametrize("columns", [40, FEW * LANES])
def test_turned_slabs_are_products_one_by_one(rng, first, stop, columns):
    n, n_sweeps = 12, 3
    A, V = rng.normal(size=(n, columns)), rng.normal(size=(4, 4))
    R = np.zeros((n_sweeps, 3, n + 4))
    expected = A.copy()
    expected[2:6] = V @ expected[2:6]
    for t in range(n_sweeps):
        for k in range(first, stop - 1):
            v, w = rng.normal(size=2) * [1, k < stop - 2]
            R[t, :, k] = 2 / (1 + v * v + w * w), v, w
            expected = reflection(n, k, *R[t, :, k]) @ expected
    slabs = cut(A)
    turn_slabs(slabs.reshape(len(slabs), -1), V, 2, R, first, stop, n_sweeps)
    assert_allclose(joined(slabs, columns), expected, atol=1e-13)


def test_ql_sweeps_keep_the_rotations_that_make_the_matrix_diagonal(rng):
    n = 12
    d, e = rng.normal(size=n), np.append(rng.normal(size=n - 1), 0)
    T = np.diag(d) + np.diag(e[:-1], 1) + np.diag(e[:-1], -1)
    C, S = np.empty((2, 5, n + 2 * PAD))
    spans, state = np.empty((5, 2), np.int64), np.zeros(2, np.int64)
    Q = np.eye(n)
    while state[0] < n - 1:
        for t in range(ql_sweeps(d, e, state, C, S, spans, 30)):
            for k in range(spans[t, 1] - 1, spans[t, 0] - 1, -1):
                c, s = C[t, k + PAD], S[t, k + PAD]
                Q[k : k + 2] = np.array([[c, -s], [s, c]]) @ Q[k : k + 2]
    assert_allclose(Q @ T @ Q.T, np.diag(d), atol=1e-14)
    assert_array_equal(e, 0)


@pytest.mark.parametrize("n", [1, 2, 3, 20])
def test_francis_is_a_similarity_to_a_schur_form_whose_blocks_are_complex_pairs(rng, n):
    H = np.triu(rng.normal(size=(n, n)), -1)
    T, Qt = H.copy(), np.eye(n)
    assert francis(T, Qt, 50) >= 0
    assert_allclose(Qt @ H @ Qt.T, T, atol=1e-13)
    assert_array_equal(np.tril(T, -2), 0)
    below = np.flatnonzero(np.diag(T, -1))
    assert (np.diff(below) > 1).all()
    for k in below:
        assert np.iscomplexobj(np.linalg.eigvals(T[k : k + 2, k : k + 2]))


@pytest.mark.parametrize(("n", "bulges"), [(100, BULGES), (40, 3), (2 * STEP + 1, 1), (30, BULGES)])
def test_a_chain_is_the_product_of_its_reflections_and_leaves_a_hessenberg_matrix(rng, n, bulges):
    H = np.triu(rng.normal(size=(n, n)), -1)
    pairs = np.column_stack([rng.normal(size=(bulges, 1)).repeat(2, axis=1), rng.uniform(0, 1, bulges)])
    R = np.zeros((BULGES, 3, n + 4))
    swept = H.copy()
    chain(swept, 0, n, pairs, R)
    Q = np.eye(n)
    for b in range(bulges):
        for k in range(n - 1):
            Q = Q @ reflection(n, k, *R[b, :, k])
    assert_allclose(Q.T @ H @ Q, swept, atol=2e-13)
    assert_allclose(Q.T @ Q, np.eye(n), atol=1e-13)
    assert_allclose(np.tril(swept, -2), 0, atol=1e-15)
    # the first column of the product is that of the polynomial whose roots are the shifts
    column = np.eye(n)[:, 0]
    for s1, s2, im in pairs:
        column = (H - s1 * np.eye(n)) @ ((H - s2 * np.eye(n)) @ column) + im * im * column
        column /= np.linalg.norm(column)
    assert_allclose(abs(column @ Q[:, 0]), 1, atol=1e-12)


def test_a_window_leaves_what_is_coupled_and_becomes_hessenberg_again(rng):
    n, spike = 10, 0.7
    H = np.triu(rng.normal(size=(n, n)), -1)
    H[6, 5] = 1e-20  # the last four rows hardly feel the spike
    T, Qt = H.copy(), np.eye(n)
    francis(T, Qt, 50)
    schur, Vt = T.copy(), Qt.copy()
    left = rows_left(T, Vt, spike)
    assert left == 6
    assert np.abs(spike * Vt[left:, 0]).max() <= 2.3e-16 * np.abs(np.diag(T)[left:]).max()
    head = restored(T, Vt, left, spike)
    assert_allclose(np.tril(T[:left, :left], -2), 0, atol=1e-15)
    assert_allclose(Vt @ H @ Vt.T, T, atol=1e-13)
    assert_allclose(spike * Vt[:, 0], head * np.eye(n)[0], atol=1e-15)
    assert_allclose(T[left:, left:], schur[left:, left:], atol=1e-15)
    assert rows_left(np.diag([1.0, 2.0]), np.eye(2), 0.0) == 0
