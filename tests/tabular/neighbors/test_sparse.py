"""Nearest neighbours among sparse rows: those of the same rows, dense, in every form of them."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from breadth.tabular.neighbors.classifier import KNeighborsClassifier
from breadth.tabular.neighbors.regressor import KNeighborsRegressor
from breadth.tabular.neighbors.sparse import SparseIndex

REGIMES = {
    "plain": lambda rng, shape: rng.normal(size=shape),
    "counts": lambda rng, shape: rng.poisson(1.0, size=shape).astype(float),  # many ties, many cancel
    "mean 1e6": lambda rng, shape: rng.normal(size=shape) + 1e6,
    "tiny": lambda rng, shape: rng.normal(size=shape) * 1e-140,
    "huge": lambda rng, shape: rng.normal(size=shape) * 1e140,
    "one far row": lambda rng, shape: np.where(np.arange(shape[0])[:, None] == 3, 1e12, rng.normal(size=shape)),
    "copies": lambda rng, shape: np.tile(rng.normal(size=(1, shape[1])), (shape[0], 1)),
}


def rows_of(regime, n, seed=0, p=40, density=0.15):
    rng = np.random.default_rng(seed)
    X = REGIMES[regime](rng, (n, p)) * (np.random.default_rng(7 + seed).random((n, p)) < density)
    X[[1, 5]] = 0.0  # empty rows
    X[:, -1] = 0.0  # an empty column
    X[8] = X[2]
    return X


@pytest.mark.parametrize("metric", ["euclidean", "manhattan", "cosine"])
@pytest.mark.parametrize("regime", REGIMES)
def test_sparse_rows_have_the_neighbours_of_dense_ones(regime, metric):
    X, Q = rows_of(regime, 700), np.vstack([rows_of(regime, 700)[:20], rows_of(regime, 30, seed=1)])
    y = np.zeros(len(X))
    dense = KNeighborsRegressor(25, metric=metric, algorithm="brute").fit(X, y)
    sparse = KNeighborsRegressor(25, metric=metric).fit(sp.csr_matrix(X), y)
    for k in (1, 25):
        distance, index = dense.kneighbors(Q, k)
        for model, queries in ((sparse, sp.csr_matrix(Q)), (sparse, Q), (dense, sp.csr_matrix(Q))):
            found = model.kneighbors(queries, k)
            assert_array_equal(found[1], index)
            # rtol: the same terms in the same order; the compiler may fuse a product with its sum
            assert_allclose(found[0], distance, rtol=1e-14, atol=1e-15 if metric == "cosine" else 0)
    assert_array_equal(sparse.kneighbors()[1], dense.kneighbors()[1])


@pytest.mark.parametrize("metric", ["euclidean", "manhattan", "cosine"])
def test_every_form_of_sparse_rows_gives_the_same(metric):
    X, Q = rows_of("counts", 300), rows_of("counts", 20, seed=1)
    y = np.arange(300) % 3
    model = KNeighborsClassifier(9, metric=metric).fit(sp.csr_array(X), y)
    truth = model.kneighbors(sp.csr_array(Q))

    def long(m):
        m = sp.csr_matrix(m)
        return sp.csr_matrix((m.data, m.indices.astype(np.int64), m.indptr.astype(np.int64)), m.shape)

    def backwards(m):
        m = sp.csr_matrix(m)
        parts = [slice(a, b) for a, b in zip(m.indptr[:-1], m.indptr[1:], strict=True)]
        turned = [np.concatenate([v[part][::-1] for part in parts]) for v in (m.data, m.indices)]
        return sp.csr_matrix((*turned, m.indptr), m.shape)

    def with_zeros(m):
        m = sp.coo_matrix(m)
        more = np.arange(len(range(m.shape[0])))
        return sp.csr_matrix(
            (np.append(m.data, 0.0 * more), (np.append(m.row, more), np.append(m.col, 0 * more))), m.shape
        )

    def twice(m):
        m = sp.csr_matrix(m)
        return sp.csr_matrix((np.repeat(m.data / 2, 2), np.repeat(m.indices, 2), 2 * m.indptr), m.shape)

    forms = (
        sp.csc_matrix,
        sp.coo_array,
        sp.lil_matrix,
        sp.dok_array,
        sp.bsr_matrix,
        long,
        backwards,
        with_zeros,
        twice,
    )
    for form in forms:
        other = KNeighborsClassifier(9, metric=metric).fit(form(X), y)
        given = form(Q)
        before = given.toarray()
        distance, index = other.kneighbors(given)
        assert_array_equal(index, truth[1])
        assert_array_equal(distance, truth[0])
        assert_array_equal(given.toarray(), before)


def test_what_a_user_gives_is_left_as_it_is():
    X = sp.csr_matrix((np.array([1.0, 0.0, 2.0]), np.array([2, 1, 0]), np.array([0, 2, 3])), (2, 3))
    data, indices = X.data.copy(), X.indices.copy()
    KNeighborsClassifier(1).fit(X, [0, 1]).predict(X)
    assert_array_equal(X.data, data)
    assert_array_equal(X.indices, indices)


@pytest.mark.parametrize("metric", ["euclidean", "manhattan", "cosine"])
def test_threads_do_not_change_a_bit_of_sparse_searches(metric):
    X = sp.csr_array(rows_of("plain", 900))
    index = SparseIndex.build(X, metric)
    alone = index.search(X, 11, 1)
    for n_threads in (2, 5):
        together = index.search(X, 11, n_threads)
        assert_array_equal(alone[0], together[0])
        assert_array_equal(alone[1], together[1])


def test_differences_of_sparse_rows_do_not_cancel():
    X = sp.csr_matrix([[1e8, 0.0, 1.0], [1e8, 0.0, 1.0 + 1e-6], [1e8, 0.0, 1.0 + 3e-6]])
    distance, index = KNeighborsClassifier(3).fit(X, [0, 1, 0]).kneighbors(X[:1])
    assert_array_equal(index, [[0, 1, 2]])
    assert_allclose(distance, [[0.0, 1e-6, 3e-6]], rtol=1e-9)  # 1 + 1e-6 holds 1e-6 to ten digits


def test_rows_without_an_entry_are_rows():
    empty = sp.csr_matrix((4, 3))
    for metric, expected in (("euclidean", 0.0), ("manhattan", 0.0), ("cosine", 1.0)):
        distance, index = KNeighborsClassifier(3, metric=metric).fit(empty, [0, 1, 0, 1]).kneighbors(empty)
        assert_array_equal(index, np.tile([0, 1, 2], (4, 1)))
        assert_array_equal(distance, expected)


def test_bad_sparse_input_is_named():
    X = sp.csr_matrix([[0.0, 1.0], [2.0, 0.0]])
    bad = sp.csr_matrix([[np.nan, 1.0], [2.0, 0.0]])
    with pytest.raises(ValueError, match="NaN"):
        KNeighborsClassifier(1).fit(bad, [0, 1])
    with pytest.raises(ValueError, match="NaN"):
        KNeighborsClassifier(1).fit(X, [0, 1]).predict(bad)
    with pytest.raises(ValueError, match=r"n_neighbors must be in \[1, 2\].*got 3"):
        KNeighborsClassifier(1).fit(X, [0, 1]).kneighbors(X, 3)
    with pytest.raises(ValueError, match="metric 'chebyshev' is not for sparse rows"):
        KNeighborsClassifier(1, metric="chebyshev").fit(X, [0, 1])
    with pytest.raises(ValueError, match="may overflow float64: rescale X"):
        KNeighborsClassifier(1).fit(X * 1e200, [0, 1])
    assert_array_equal(KNeighborsClassifier(1, metric="chebyshev").fit(X.toarray(), [0, 1]).predict(X), [0, 1])
