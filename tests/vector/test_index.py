"""The checks of input that every index shares."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from breadth.vector.flat import Flat
from breadth.vector.hnsw import HNSW
from breadth.vector.index import as_vectors, check_count, check_space
from breadth.vector.ivf import IVF


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cosine_vectors_are_scaled_to_length_one_whatever_their_size(dtype, scale):
    X = (np.random.default_rng(0).normal(size=(5, 7)) * scale).astype(dtype)
    rows = as_vectors(X, dim=7, metric="cosine")
    assert rows.dtype == np.float32 and rows.flags.c_contiguous
    assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-6)  # float32
    assert_allclose(as_vectors([[3, 4]], dim=2, metric="cosine"), [[0.6, 0.8]], rtol=1e-7)


@pytest.mark.parametrize("metric", ["cosine", "dot", "euclidean"])
def test_vectors_of_any_layout_and_width_come_out_contiguous(metric):
    X = np.random.default_rng(0).normal(size=(6, 8)) + 2
    expected = as_vectors(X[:, ::2].copy(), dim=4, metric=metric)
    for given in (X[:, ::2], np.asfortranarray(X)[:, ::2], X.astype(">f8")[:, ::2], X.astype(np.longdouble)[:, ::2]):
        rows = as_vectors(given, dim=4, metric=metric)
        assert rows.flags.c_contiguous and rows.dtype == np.float32
        assert_array_equal(rows, expected)


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
        ([[1.0, 2.0], [3.0]], ValueError, r"vectors must have shape \(n, 2\), got rows of different lengths"),
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
    with pytest.raises(ValueError, match=r"k must be in \[1, 0\].*there are no vectors yet: add some first"):
        check_count("k", 1, 0, "vectors")


@pytest.mark.parametrize(
    ("n_threads", "error"), [(0, ValueError), (-1, ValueError), ("2", TypeError), (1.5, TypeError)]
)
@pytest.mark.parametrize("make", [Flat, IVF])
def test_a_number_of_threads_that_is_none_is_named(make, n_threads, error):
    index = make(2)
    index.add([1, 2], np.eye(2))
    with pytest.raises(error, match="n_threads must be"):
        index.search(np.ones((3, 2)), 1, n_threads=n_threads)


@pytest.mark.parametrize(
    ("make", "name", "settings"),
    [
        (IVF, "n_probe", {"n_lists": 4, "n_probe": np.int64(2), "seed": np.int64(3)}),
        (IVF, "rerank", {"n_lists": np.int32(4), "n_subvectors": np.int64(2), "rerank": np.int64(2)}),
        (HNSW, "ef_search", {"M": np.int64(8), "ef_search": np.int64(20)}),
    ],
)
def test_settings_may_be_changed_to_what_can_be_saved_and_to_nothing_else(make, name, settings, tmp_path):
    index = make(4, **settings)
    index.add(np.arange(300), np.random.default_rng(0).normal(size=(300, 4)))
    setattr(index, name, np.int64(3))
    for wrong, error in ((0, ValueError), (None, TypeError), (2.5, TypeError), ("3", TypeError)):
        with pytest.raises(error, match=f"{name} must be"):
            setattr(index, name, wrong)
    index.save(tmp_path / "index")
    again = make.load(tmp_path / "index")
    assert getattr(again, name) == getattr(index, name) == 3
    assert_array_equal(again.search(np.ones((2, 4)), 5).ids, index.search(np.ones((2, 4)), 5).ids)


def test_an_index_without_reranking_stays_so():
    index = IVF(4, n_subvectors=2)
    assert index.rerank is None
    with pytest.raises(ValueError, match="rerank is None in this index and stays so, got 3: make another index"):
        index.rerank = 3
