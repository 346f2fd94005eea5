"""KMeans and MiniBatchKMeans on sparse rows: their kernels, the same answer as for dense rows, and bad input."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler

from breadth.tabular import KMeans, MiniBatchKMeans
from breadth.tabular.clusters.lloyd_sparse import lloyd_sparse
from breadth.tabular.clusters.rows import distances, inertia_of, mean_variance, nearest
from breadth.tabular.clusters.sparse_kernels import add_sparse
from breadth.tabular.clusters.sparse_rows import SquaresBetween, canonical, compressed, shares


def documents(n=600, p=80, seed=0, dtype=np.float64):
    """Rows with some 8 of p columns each, a few without any, and columns that no row has."""
    rng = np.random.default_rng(seed)
    X = rng.exponential(size=(n, p)) * (rng.random((n, p)) < 0.1)
    X[:, 5], X[7], X[n // 2] = 0, 0, 0
    return sp.csr_array(X.astype(dtype))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n", "p", "k"), [(1, 1, 1), (50, 9, 2), (700, 40, 7), (256, 12, 33), (90, 30, 20)])
def test_the_kernels_equal_a_double_loop(n, p, k, dtype):
    rng = np.random.default_rng(0)
    X = (rng.integers(-3, 4, size=(n, p)) * (rng.random((n, p)) < 0.4)).astype(dtype)  # integers: exact, and ties
    rows, centres = sp.csr_array(X), rng.integers(-2, 3, size=(k, p)).astype(dtype)
    square = np.array([[np.sum((x - c) ** 2) for c in centres] for x in X])
    labels = nearest(rows, centres)
    assert_array_equal(labels, square.argmin(axis=1))
    assert_array_equal(distances(rows, centres), np.sqrt(square.astype(np.float64)).astype(dtype))
    weight = rng.integers(0, 3, size=n).astype(dtype)
    assert inertia_of(rows, centres, labels, weight) == square.min(axis=1) @ weight
    which = rng.integers(n, size=3)
    assert_array_equal(SquaresBetween(rows, 1)(which), [[np.sum((x - X[i]) ** 2) for x in X] for i in which])
    assert_allclose(mean_variance(rows), np.var(X.astype(np.float64), axis=0).mean(), rtol=1e-12)  # sums in other order
    total, mass = np.zeros((k, p)), np.zeros(k)
    add_sparse(*compressed(rows), weight, labels, total, mass)
    own = labels == np.arange(k)[:, None]
    assert_array_equal(mass, own @ weight)
    assert_array_equal(total, (own * weight) @ X)
    weight[:] = weight + 1
    run = lloyd_sparse(rows, centres, weight=weight, max_iter=1, tol=0)
    if own.any(axis=1).all():  # none is refilled
        means = (own * weight.astype(np.float64)) @ X / (own @ weight.astype(np.float64))[:, None]
        assert_array_equal(run.centres, means.astype(dtype))


def test_equal_centres_in_any_place_give_the_first_label():
    rows = documents()
    for k in range(1, 40):  # vectors of centres, and what is left of them
        centres = np.repeat(rows[[3]].toarray(), k, axis=0)
        assert not nearest(rows, centres).any()


def test_shares_hold_every_row_once_whatever_their_length():
    for starts in ([0, 0], [0, 0, 0, 9], np.arange(100_001), np.r_[0, np.full(50_000, 10**6)]):
        parts = shares(np.asarray(starts, np.uint64), 20, 20)
        assert_array_equal(np.concatenate([np.arange(*part) for part in parts]), np.arange(len(starts) - 1))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("init", ["k-means++", "random", "array", "function"])
@pytest.mark.parametrize("model", [KMeans, MiniBatchKMeans])
def test_sparse_rows_give_the_clusters_of_dense_rows(model, init, weighted):
    X = documents()
    weight = np.random.default_rng(1).integers(0, 4, X.shape[0]) / 2 if weighted else None
    start = {"array": X[10:16].toarray(), "function": lambda X, k, random_state: X[10 : 10 + k]}.get(init, init)
    small = {} if model is KMeans else {"batch_size": 100}
    settings = {"n_clusters": 6, "init": start, "n_init": 2, "random_state": 3, **small}
    sparse, dense = (model(**settings).fit(rows, sample_weight=weight) for rows in (X, X.toarray()))
    # dense rows are centred, so that every sum differs in its rounding
    assert_allclose(sparse.cluster_centers_, dense.cluster_centers_, rtol=1e-10, atol=1e-10)
    assert_allclose(sparse.inertia_, dense.inertia_, rtol=1e-10)
    assert_array_equal(sparse.labels_, dense.labels_)
    assert sparse.n_iter_ == dense.n_iter_
    assert sparse.labels_.dtype == sparse.predict(X).dtype == np.int32
    for rows in (X, X.toarray()):  # either kind of rows to either model
        assert_array_equal(sparse.predict(rows), dense.predict(X))
        assert_allclose(sparse.transform(rows), dense.transform(X), rtol=1e-7, atol=1e-7)  # roots, at rows on a centre
        assert_allclose(sparse.score(rows, sample_weight=weight), dense.score(X, sample_weight=weight), rtol=1e-10)
    assert_array_equal(sparse.labels_, model(**settings).fit_predict(X, sample_weight=weight))


def test_streams_may_change_from_dense_to_sparse_batches_and_back():
    parts = [documents(200, seed=seed) for seed in range(6)]
    dense, sparse, mixed = (MiniBatchKMeans(5, init=parts[0][10:15].toarray(), random_state=0) for _ in range(3))
    for i, part in enumerate(parts):
        dense.partial_fit(part.toarray())
        sparse.partial_fit(part)
        mixed.partial_fit(part if i % 2 else part.toarray())
        for model in (sparse, mixed):
            assert_allclose(model.cluster_centers_, dense.cluster_centers_, rtol=1e-10, atol=1e-10)  # other roundings
            assert_array_equal(model.labels_, dense.labels_)
    assert_array_equal(mixed.predict(parts[0]), dense.predict(parts[0].toarray()))


def ill_ordered(X):
    """The same rows with their columns falling, entries in two halves, and explicit zeros."""
    X = X.tocoo()
    n, zeros = X.shape[0], np.zeros(X.shape[0])
    row = np.r_[X.row, X.row, np.arange(n)]
    column = np.r_[X.col, X.col, np.zeros(n, int)]
    order = np.lexsort((-column, row))
    data = np.r_[X.data / 2, X.data / 2, zeros][order]
    starts = np.r_[0, np.cumsum(np.bincount(row, minlength=n))]
    return sp.csr_array((data, column[order], starts), shape=X.shape)


def with_long_indices(X):
    X = sp.csr_array(X)
    X.indices, X.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    return X


FORMS = {name: getattr(sp, f"{name}_array") for name in ("csr", "csc", "coo", "lil", "dok", "bsr", "dia")}
FORMS |= {"csr_matrix": sp.csr_matrix, "long indices": with_long_indices, "ill-ordered": ill_ordered}


@pytest.mark.parametrize("model", [KMeans, MiniBatchKMeans])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_same_rows_gives_the_same_clusters_and_is_not_written_to(form, model):
    X = documents()
    given = FORMS[form](X)
    before = given.copy()
    parts = [name for name in ("data", "indices", "indptr", "row", "col") if hasattr(given, name)]
    if form in ("csr", "csr_matrix", "long indices", "ill-ordered"):
        for name in parts:
            getattr(given, name).flags.writeable = False
    plain = model(5, random_state=0).fit(X)
    other = model(5, random_state=0).fit(given)
    assert_array_equal(other.cluster_centers_, plain.cluster_centers_)
    assert_array_equal(other.predict(given), plain.labels_)
    assert_array_equal(other.transform(given), plain.transform(X))
    for name in parts:
        assert_array_equal(getattr(given, name), getattr(before, name))


def test_rows_in_order_are_not_copied():
    X = documents()
    assert canonical(X) is X
    assert np.shares_memory(compressed(X).indices, X.indices)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("model", [KMeans, MiniBatchKMeans])
def test_threads_do_not_change_a_bit(model, dtype):
    X = documents(8000, dtype=dtype)
    alone = model(20, random_state=0, n_jobs=1, max_iter=15).fit(X)
    assert alone.cluster_centers_.dtype == alone.transform(X).dtype == dtype
    for n_jobs in (2, 3, 7):
        together = model(20, random_state=0, n_jobs=n_jobs, max_iter=15).fit(X)
        assert_array_equal(alone.cluster_centers_, together.cluster_centers_)
        assert_array_equal(alone.labels_, together.labels_)
        assert alone.inertia_ == together.inertia_
        assert_array_equal(alone.predict(X), together.predict(X))
        assert_array_equal(alone.transform(X), together.transform(X))


def test_a_centre_without_rows_moves_to_the_farthest_row():
    X = sp.csr_array([[0.0], [1.0], [10.0], [11.0], [50.0]])
    model = KMeans(3, init=[[0.0], [10.0], [-1e3]], max_iter=1, tol=0).fit(X)
    assert_array_equal(model.cluster_centers_, [[0.5], [10.5], [50.0]])
    assert_array_equal(model.labels_, [0, 0, 1, 1, 2])


@pytest.mark.parametrize("seed", range(5))
def test_fewer_distinct_rows_than_clusters_is_a_warning(seed):
    X = sp.csr_array([[0.1, 0.0, 0.7], [0.1, 0.0, 0.7], [0.0, 0.3, 0.0], [0.0, 0.3, 0.0], [0.0, 0.0, 0.0]])
    with pytest.warns(ConvergenceWarning, match="X has 3 distinct clusters, fewer than n_clusters = 4"):
        model = KMeans(4, random_state=seed).fit(X)
    assert model.inertia_ == 0
    with pytest.warns(ConvergenceWarning, match="X has 1 distinct clusters"):
        zero = KMeans(2, random_state=seed).fit(sp.csr_array((6, 4)))
    assert zero.inertia_ == 0
    assert_array_equal(zero.cluster_centers_, np.zeros((2, 4)))


@pytest.mark.parametrize("model", [KMeans, MiniBatchKMeans])
def test_bad_sparse_rows_are_named(model):
    with pytest.raises(ValueError, match="NaN"):
        model(1).fit(sp.csr_array([[np.nan, 0.0]]))
    with pytest.raises(ValueError, match="n_clusters must be at most n_samples = 3, got 4"):
        model(4).fit(sp.csr_array(np.eye(3)))
    with pytest.raises(ValueError, match=r"init must .*shape \(2, 3\), got \(1, 3\)"):
        model(2, init=lambda X, k, random_state: X[:1]).fit(sp.csr_array(np.eye(3)))
    broken = sp.csr_array(np.eye(3))
    for column in (3, -1):
        broken.indices[1] = column
        with pytest.raises(ValueError, match=r"X's column indices must be in \[0, 3\)"):
            model(1).fit(broken)


@pytest.mark.parametrize("model", [KMeans, MiniBatchKMeans])
def test_a_pipeline_from_words_to_clusters_runs(model):
    rng = np.random.default_rng(0)
    topics = [["goal", "match", "team", "league", "coach"], ["star", "orbit", "planet", "comet", "moon"]]
    truth = rng.integers(2, size=200)
    texts = [" ".join(rng.choice(topics[label], size=12)) for label in truth]
    pipeline = make_pipeline(TfidfVectorizer(), MaxAbsScaler(), model(2, n_init=3, random_state=0, verbose=0))
    labels = pipeline.fit_predict(texts)
    assert_array_equal(labels == labels[0], truth == truth[0])
    assert_array_equal(pipeline.predict(texts), labels)
