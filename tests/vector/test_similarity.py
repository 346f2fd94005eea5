"""Cosine, dot product and Euclidean distance by exact sums, also where the usual formulas lose every digit."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from breadth.vector import similarity
from breadth.vector.similarity import cosine_similarity, dot_product, euclidean_distance

ALL = [cosine_similarity, dot_product, euclidean_distance]


def exact(function, x, y):
    """The measure in rational arithmetic, rounded once (and once more by the root)."""
    x, y = [Fraction(float(v)) for v in x], [Fraction(float(v)) for v in y]
    dot = sum(a * b for a, b in zip(x, y, strict=True))
    if function is dot_product:
        return float(dot)
    if function is euclidean_distance:
        return math.sqrt(sum((a - b) ** 2 for a, b in zip(x, y, strict=True)))
    square = dot**2 / (sum(a * a for a in x) * sum(b * b for b in y))
    return math.copysign(math.sqrt(square), dot)


def regimes():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(6, 20))
    yield "ordinary", X
    yield "mean 1e4", X + 1e4
    yield "mean 1e8 and near-duplicates", 1e8 + np.vstack([X[:2], X[:2] + 1e-6])
    yield "near-duplicates", np.vstack([X[:3], X[:3] * (1 + 1e-12), X[:3] + 1e-13])
    yield "equal", np.repeat(X[:2], 3, axis=0)
    yield "far apart in size", X * 10.0 ** np.arange(-3, 3)[:, None]
    yield (
        "float32 near-duplicates",
        np.vstack([X, np.nextafter(X.astype(np.float32), np.float32(9))]).astype(np.float32),
    )
    yield "float32 mean 1e4", (X + 1e4).astype(np.float32)
    yield "one dimension", X[:, :1]


@pytest.mark.parametrize("function", ALL)
@pytest.mark.parametrize(("name", "X"), list(regimes()), ids=lambda v: v if isinstance(v, str) else "")
def test_every_pair_is_the_exact_value_rounded(function, name, X, monkeypatch):
    monkeypatch.setattr(similarity, "_BLOCK", 7)  # blocks of one row
    result = function(X)
    expected = np.array([[exact(function, x, y) for y in X] for x in X])
    assert result.dtype == X.dtype
    # rtol: float64 sums of 20 products, whose cancellation in the distance is held to 1e-3; float32 rounds once. atol:
    # dot products and cosines near 0 are exact to the size of what cancels
    eps = 1e-12 if X.dtype == np.float64 else 6e-8
    scale = {dot_product: float((X.astype(float) ** 2).sum(1).max()), cosine_similarity: 1.0}.get(function, 0.0)
    np.testing.assert_allclose(result, expected, rtol=eps, atol=1e-14 * scale)
    if function is euclidean_distance:
        same = (X[:, None] == X[None]).all(-1)
        assert ((result == 0) == same).all()
    if function is cosine_similarity:
        assert np.abs(result).max() <= 1


@pytest.mark.parametrize("function", ALL)
def test_one_vector_and_many_give_the_rows_of_all_pairs(function):
    rng = np.random.default_rng(1)
    X, Y = rng.normal(size=(5, 7)), rng.normal(size=(9, 7)).astype(np.float32)
    whole = function(X, Y)
    assert whole.shape == (5, 9)
    assert whole.dtype == np.float64
    np.testing.assert_allclose(function(X[2], Y), whole[2], rtol=1e-13)
    np.testing.assert_allclose(function(X, Y[3]), whole[:, 3], rtol=1e-11)  # rtol: another centre
    assert np.ndim(function(X[2], Y[3])) == 0
    np.testing.assert_allclose(function(X[2], Y[3]), whole[2, 3], rtol=1e-11)
    assert function(X[:0], Y).shape == (0, 9)


def test_lengths_neither_overflow_nor_vanish():
    X = np.array([[1e300, 1e300], [1e-300, 0.0], [-1e300, -1e300]])
    np.testing.assert_allclose(
        cosine_similarity(X), [[1, 0.5**0.5, -1], [0.5**0.5, 1, -(0.5**0.5)], [-1, -(0.5**0.5), 1]], rtol=1e-15
    )
    assert euclidean_distance(X)[0, 2] == pytest.approx(8**0.5 * 1e300, rel=1e-14)
    assert euclidean_distance([3e-200, 0.0], [0.0, 4e-200]) == pytest.approx(5e-200, rel=1e-14)
    with pytest.raises(ValueError, match="row 0 of X to row 2 of Y is too large"):
        euclidean_distance(X * 1e8)
    with pytest.raises(ValueError, match="product of row 0 of X and row 0 of Y is too large for float32"):
        dot_product(np.full((2, 2), 1e30, np.float32))


@pytest.mark.parametrize("function", ALL)
def test_bad_input_is_named(function):
    good = np.eye(3)
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="Y must be finite, but row 1"):
            function(good, np.array([[0, 0, 1], [0, bad, 0]]))
    with pytest.raises(ValueError, match="as many entries a vector, got 3 and 2"):
        function(good, np.eye(2))
    with pytest.raises(ValueError, match="X must have shape"):
        function(np.zeros((2, 2, 2)))
    with pytest.raises(ValueError, match="X must have shape"):
        function(np.zeros((2, 0)))
    with pytest.raises(TypeError, match="X must hold real numbers"):
        function([["a", "b"]])


def test_a_zero_vector_has_no_angle_and_the_caller_says_what_to_do():
    X = np.array([[1.0, 0], [0, 0]])
    with pytest.raises(ValueError, match="row 1 is one"):
        cosine_similarity(X)
    with pytest.raises(ValueError, match="zero must be"):
        cosine_similarity(X, zero="ignore")
    np.testing.assert_array_equal(cosine_similarity(X, zero="nan"), [[1, np.nan], [np.nan, np.nan]])
    np.testing.assert_array_equal(cosine_similarity(X, zero="zero"), [[1, 0], [0, 0]])
    assert dot_product(X)[1, 1] == 0
    assert euclidean_distance(X)[0, 1] == 1
