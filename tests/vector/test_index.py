"""The checks of input that every index shares."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from breadth.vector.index import as_vectors, check_count, check_space


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cosine_vectors_are_scaled_to_length_one_whatever_their_size(dtype, scale):
    X = (np.random.default_rng(0).normal(size=(5, 7)) * scale).astype(dtype)
    rows = as_vectors(X, dim=7, metric="cosine")
    assert rows.dtype == np.float32 and rows.flags.c_contiguous
    assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-6)  # float32
    assert_allclose(as_vectors([[3, 4]], dim=2, metric="cosine"), [[0.6, 0.8]], rtol=1e-7)


def test_other_vectors_are_kept_as_they_are():
    X = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)
    assert as_vectors(X, dim=7, metric="dot") is X
    turned = np.asfortranarray(X)
    assert as_vectors(turned, dim=7, metric="euclidean").flags.c_contiguous
    assert as_vectors(np.zeros((0, 7)), dim=7, metric="cosine").shape == (0, 7)


@pytest.mark.parametrize(
    ("vectors", "error", "message"),
    [
        ([1.0, 2.0], ValueError, r"shape \(n, 2\), got \(2,\); a single one is vectors\[None\]"),
        ([[1.0]], ValueError, "2 columns, the dimension of this index, got 1"),
        ([[1.0, np.nan]], ValueError, "row 0 holds NaN or infinity"),
        ([[1.0, 1], [1, np.inf]], ValueError, "row 1 holds NaN or infinity"),
        ([[1e200, 1e200]], ValueError, "row 0 holds an entry too large"),
        ([[1e19, 0]], ValueError, "no longer than 1e\\+18"),
        ([["a", "b"]], TypeError, "must be real numbers"),
        ([[1j, 0]], TypeError, "must be real numbers"),
        ([[True, False]], TypeError, "must be real numbers"),
    ],
)
def test_vectors_that_are_none_are_named(vectors, error, message):
    with pytest.raises(error, match=message):
        as_vectors(vectors, dim=2, metric="dot")


def test_space_and_counts_are_checked():
    with pytest.raises(ValueError, match="metric must be 'cosine', 'dot' or 'euclidean', got 'l2'"):
        check_space(3, "l2")
    with pytest.raises(TypeError, match="dim must be an integer"):
        check_space(3.0, "dot")
    with pytest.raises(TypeError, match="k must be an integer"):
        check_count("k", True, 3, "vectors")
    check_count("k", np.int64(3), 3, "vectors")
