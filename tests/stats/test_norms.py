"""Norms, their axioms, and the kink of the Euclidean one at 0."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from breadth.stats.norms import l2_norm, metric_axioms, norm, norm_axioms, squared_l2_norm

VECTORS = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=12).map(np.array)


@pytest.mark.parametrize("p", [0, 0.5, 1, 1.5, 2, 3, 10, np.inf])
def test_norms_are_numpys(p):
    x = np.random.default_rng(0).normal(size=(4, 5, 3))
    x[0, 0] = 0
    x[1, 2, 1] = 0
    for axis in (-1, 0, 1):
        assert_allclose(norm(x, p, axis=axis), np.linalg.norm(x, p, axis=axis), rtol=1e-13)
    assert_allclose(norm(x, p, axis=None), np.linalg.norm(x.ravel(), p), rtol=1e-13)
    assert norm([], p) == 0 and isinstance(norm([1.0], p), (int, float, np.integer))


@pytest.mark.parametrize("size", [1e300, 1e-300, 5e-324])
def test_no_square_leaves_the_range(size):
    x = size * np.array([3.0, -4.0, 1.0])
    for p in (2, 3, 0.5):
        with mpmath.workdps(40):
            exact = float(mpmath.fsum(abs(mpmath.mpf(v)) ** p for v in x.tolist()) ** (mpmath.mpf(1) / p))
        assert_allclose(norm(x, p), exact, rtol=1e-13)


@pytest.mark.parametrize("p", [1, 1.5, 2, 7, np.inf])
def test_l_p_is_a_norm_from_p_1_on(p):
    assert norm_axioms(lambda v: norm(v, p)).is_norm


def test_a_matrix_of_weights_gives_a_norm():
    M = np.array([[2.0, 1, 0], [1, 3, 0], [0, 0, 1e-3]])
    assert norm_axioms(lambda v: np.sqrt(v @ M @ v)).is_norm


@pytest.mark.parametrize(
    ("f", "fails"),
    [
        (lambda v: norm(v, 0), {"homogeneous"}),
        (lambda v: norm(v, 0.5), {"triangle"}),
        (lambda v: float(v @ v), {"homogeneous", "triangle"}),
        (lambda v: abs(v[0]), {"definite"}),
        (lambda v: v.sum(), {"nonnegative", "homogeneous", "definite"}),
        (lambda v: norm(v) + 1, {"definite", "homogeneous"}),
    ],
)
def test_what_is_no_norm_is_refuted_by_vectors_that_show_it(f, fails):
    found = norm_axioms(f)
    assert set(found.counterexamples) - {"definite"} == fails - {"definite"}
    assert not found.is_norm
    if "triangle" in fails:
        u, v = found.counterexamples["triangle"]
        assert f(u + v) > f(u) + f(v)
    if "homogeneous" in fails:
        a, u = found.counterexamples["homogeneous"]
        assert abs(f(a * u) - abs(a) * f(u)) > 1e-9
    if fails == {"definite"}:
        (w,) = found.counterexamples["definite"]
        assert f(w) == 0 and w.any()


def test_the_count_obeys_the_triangle_inequality_and_its_metric_is_not_a_norms():
    assert norm_axioms(lambda v: norm(v, 0)).triangle
    hamming = metric_axioms(lambda u, v: norm(u - v, 0))
    assert hamming.is_metric and not hamming.comes_from_a_norm


@pytest.mark.parametrize(
    ("d", "metric", "from_norm"),
    [
        (lambda u, v: norm(u - v), True, True),
        (lambda u, v: norm(u - v, 1), True, True),
        (lambda u, v: float((u != v).any()), True, False),
        (lambda u, v: norm(u - v) / (1 + norm(u - v)), True, False),
        (lambda u, v: float(((u - v) ** 2).sum()), False, False),
        (lambda u, v: float(np.maximum(u - v, 0).sum()), False, False),
        (lambda u, v: abs(u[0] - v[0]), False, False),
    ],
    ids=["L2", "L1", "discrete", "bounded", "squared", "one-sided", "first coordinate"],
)
def test_every_norm_gives_a_metric_and_not_the_other_way_round(d, metric, from_norm):
    found = metric_axioms(d)
    assert (found.is_metric, found.comes_from_a_norm) == (metric, from_norm)


@settings(max_examples=30, deadline=None)
@given(VECTORS, st.floats(1, 20), st.floats(0, 20))
def test_norms_fall_with_p_and_lie_between_the_largest_and_the_sum(x, p, more):
    assert norm(x, np.inf) * (1 - 1e-12) <= norm(x, p + more) <= norm(x, p) * (1 + 1e-12)
    assert norm(x, p) <= norm(x, 1) * (1 + 1e-12)


@settings(max_examples=30, deadline=None)
@given(VECTORS)
def test_gradients_are_central_differences(x):
    x = x / max(1.0, np.abs(x).max())
    square, root = squared_l2_norm(x), l2_norm(x)
    assert_allclose(square.value, root.value**2, rtol=1e-13, atol=1e-300)
    assert_array_equal(square.gradient, 2 * x)
    if root.value > 1e-3:
        h = 1e-6 * np.eye(len(x))
        rise = (np.linalg.norm(x + h, axis=1) - np.linalg.norm(x - h, axis=1)) / 2e-6
        assert_allclose(root.gradient, rise, atol=1e-5)
    if root.value > 0:
        assert_allclose(np.linalg.norm(root.gradient / np.abs(root.gradient).max()), 1 / np.abs(root.gradient).max())


def test_at_zero_the_square_is_smooth_and_the_norm_is_not():
    square, root = squared_l2_norm(np.zeros(3)), l2_norm(np.zeros(3))
    assert square.differentiable and not root.differentiable
    assert_array_equal(square.gradient, 0)
    assert_array_equal(root.gradient, 0)
    # the one-sided derivative along u is |u| in both directions, so that no gradient fits
    u = np.array([3.0, 4.0, 0.0])
    assert [l2_norm(1e-9 * s * u).value / 1e-9 for s in (1, -1)] == pytest.approx([5, 5])
    assert np.isnan(l2_norm(np.zeros(3), at_zero="nan").gradient).all()
    with pytest.raises(ValueError, match="use squared_l2_norm"):
        l2_norm(np.zeros(3), at_zero="raise")
    rows = l2_norm([[0.0, 0.0], [3.0, 4.0], [1e-310, 0.0]])  # of denormal length the gradient is still 1 long
    assert rows.differentiable.tolist() == [False, True, True]
    assert_allclose(rows.gradient, [[0, 0], [0.6, 0.8], [1, 0]], rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: norm([1.0], -1), "p must be >= 0"),
        (lambda: norm([1.0], np.nan), "p must be >= 0"),
        (lambda: norm([1.0, np.inf]), "x holds NaN or infinity in 1 of 2"),
        (lambda: norm_axioms(norm, 1), "n_dimensions must be an integer >= 2"),
        (lambda: norm_axioms(lambda v: v), "f must return a number"),
        (lambda: metric_axioms(lambda u, v: np.nan), "d must return a number"),
        (lambda: l2_norm(3.0), "scalar"),
        (lambda: l2_norm([1.0], at_zero="one"), "at_zero must be one of"),
        (lambda: squared_l2_norm([np.nan]), "x holds NaN"),
    ],
)
def test_bad_arguments_are_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_the_name_of_a_norm_is_refused():
    with pytest.raises(ValueError, match="p must be >= 0 or infinite, got 'fro'"):
        norm([1.0, 2.0], "fro")
