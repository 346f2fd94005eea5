"""Nearest neighbours by each metric beside a double loop: exactness, ties, extremes, functions and given distances."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks

from breadth.tabular.neighbors.classifier import KNeighborsClassifier
from breadth.tabular.neighbors.regressor import KNeighborsRegressor


def manhattan(x, y):  # at the top, so that an estimator that holds it can be pickled
    return np.abs(x - y).sum()


@parametrize_with_checks(
    [
        KNeighborsClassifier(metric="cosine"),
        KNeighborsRegressor(metric="chebyshev"),
        KNeighborsRegressor(p=3, algorithm="ball_tree"),
        KNeighborsClassifier(metric="precomputed"),
        KNeighborsRegressor(metric="precomputed"),
    ]
)
def test_keeps_every_rule_of_scikit_learn_by_other_metrics(estimator, check):
    check(estimator)


def test_keeps_every_rule_of_scikit_learn_by_a_function():
    # not above: the function's address would be in the test's name, which each worker must read alike
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert len(check_estimator(KNeighborsClassifier(metric=manhattan), on_skip=None)) > 40


def minkowski(p):
    def between(a, b):
        m = np.where((a != b).any(axis=1), np.abs(a - b).max(axis=1), 1.0)  # of each row, so that no power overflows
        return m * ((np.abs(a - b) / m[:, None]) ** p).sum(axis=1) ** (1 / p)

    return between


def cosine(a, b):
    a, b = (x / np.maximum(np.abs(x).max(axis=1, keepdims=True), 1e-300) for x in (a, b))
    lengths = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    return np.where(lengths > 0, np.clip(1 - (a * b).sum(axis=1) / np.where(lengths > 0, lengths, 1), 0, 2), 1.0)


def ratio(top, bottom):
    return np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)


TWINS = {
    "chebyshev": ({"metric": "chebyshev"}, lambda a, b: np.abs(a - b).max(axis=1)),
    "p = inf": ({"p": np.inf}, lambda a, b: np.abs(a - b).max(axis=1)),
    "p = 0.5": ({"p": 0.5}, minkowski(0.5)),
    "p = 1.5": ({"p": 1.5}, minkowski(1.5)),
    "p = 3": ({"metric_params": {"p": 3}}, minkowski(3)),
    "p = 4": ({"p": 4.0}, minkowski(4)),
    "p = 7": ({"p": 7}, minkowski(7)),
    "p = 2.3": ({"p": 2.3}, minkowski(2.3)),
    "p = 60": ({"p": 60}, minkowski(60)),
    "cosine": ({"metric": "cosine"}, cosine),
    "hamming": ({"metric": "hamming"}, lambda a, b: (a != b).mean(axis=1)),
    "canberra": ({"metric": "canberra"}, lambda a, b: ratio(np.abs(a - b), np.abs(a) + np.abs(b)).sum(axis=1)),
    "braycurtis": (
        {"metric": "braycurtis"},
        lambda a, b: ratio(np.abs(a - b).sum(axis=1), np.abs(a).sum(axis=1) + np.abs(b).sum(axis=1)),
    ),
}
REGIMES = {
    "plain": lambda rng, n, p: rng.normal(size=(n, p)),
    "mean 1e6": lambda rng, n, p: rng.normal(size=(n, p)) + 1e6,
    "integers": lambda rng, n, p: rng.integers(-2, 3, size=(n, p)).astype(float),
    "all rows equal": lambda rng, n, p: np.full((n, p), 1e4 / 3),
    "one far row": lambda rng, n, p: np.vstack([rng.normal(size=(n - 1, p)), np.full((1, p), 1e12)]),
    "tiny": lambda rng, n, p: rng.normal(size=(n, p)) * 1e-200,
    "huge": lambda rng, n, p: rng.normal(size=(n, p)) * 1e200,
    "wide": lambda rng, n, p: rng.normal(size=(n, p)) * 10.0 ** rng.uniform(-120, 120, size=(n, 1)),
}


@pytest.mark.parametrize("p", [1, 7])
@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize("name", TWINS)
def test_distances_are_those_of_a_double_loop_and_equal_ones_go_by_index(name, regime, p):
    rng = np.random.default_rng(0)
    points = REGIMES[regime](rng, 1100, p)  # more than two tiles, the last not full
    queries = np.vstack([points[:10], points[-2:], REGIMES[regime](rng, 10, p)])
    parameters, twin = TWINS[name]
    model = KNeighborsRegressor(30, **parameters).fit(points, np.zeros(len(points)))
    distance, index = model.kneighbors(queries)
    full = np.array([twin(np.broadcast_to(x, points.shape), points) for x in queries])
    # rtol, atol: sums and powers of up to 7 terms round differently; a cosine's error does not shrink with it
    atol = 1e-14 if name == "cosine" else 0.0
    assert_allclose(distance, np.sort(full, axis=1)[:, :30], rtol=1e-12, atol=atol)
    assert_allclose(distance, np.take_along_axis(full, index, axis=1), rtol=1e-12, atol=atol)
    later, tied = np.diff(index, axis=1) > 0, np.diff(distance, axis=1) == 0
    assert (later | ~tied).all()
    assert (np.diff(distance, axis=1) >= 0).all()
    assert all(len(set(row)) == 30 for row in index)
    alone = KNeighborsRegressor(30, n_jobs=3, **parameters).fit(points, np.zeros(len(points))).kneighbors(queries)
    assert_array_equal(alone[0], distance)
    assert_array_equal(alone[1], index)


@pytest.mark.parametrize("name", TWINS)
def test_ties_go_by_index_to_the_last_bit_where_rows_repeat(name):
    rng = np.random.default_rng(0)
    few = rng.normal(size=(5, 9))
    points = np.vstack([few] * 150)
    model = KNeighborsClassifier(160, **TWINS[name][0]).fit(points, np.arange(len(points)) % 3)
    index = model.kneighbors(few, return_distance=False)
    for i in range(5):
        assert_array_equal(index[i, :150], np.arange(i, 750, 5))
        assert_array_equal(index[i, 150:], np.sort(index[i, 150:]))
    assert_array_equal(model.kneighbors(few)[0][:, :150], 0.0)


def test_a_row_of_zeros_is_at_cosine_distance_1_from_every_row():
    X = np.array([[0.0, 0.0], [3.0, 0.0], [-1.0, 0.0], [1e300, 1e300], [0.0, 5e-324]])
    for form in (np.asarray, sp.csr_matrix):
        model = KNeighborsClassifier(5, metric="cosine").fit(form(X), [0, 1, 0, 1, 0])
        distance, index = model.kneighbors(form([[0.0, 0.0], [1.0, 0.0]]))
        assert_array_equal(index, [[0, 1, 2, 3, 4], [1, 3, 0, 4, 2]])
        assert_allclose(distance, [[1, 1, 1, 1, 1], [0, 1 - np.sqrt(0.5), 1, 1, 2]], rtol=1e-15)


def test_rows_that_are_nearly_parallel_are_told_apart():
    rng = np.random.default_rng(0)
    points = 1e3 + rng.normal(size=(3000, 6))
    distance, index = KNeighborsClassifier(5, metric="cosine").fit(points, np.arange(3000) % 2).kneighbors(points[:20])
    full = np.array([cosine(np.broadcast_to(x, points.shape), points) for x in points[:20]])
    # atol: of distances of about 1e-6 only 1e-16 relative to 1 is known
    assert_allclose(distance, np.sort(full, axis=1)[:, :5], rtol=0, atol=1e-15)
    assert_array_equal(index[:, 0], np.arange(20))


def test_a_function_or_a_table_gives_the_neighbours_of_its_distances():
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 4, size=(150, 3)).astype(float), np.arange(150) % 3
    named = KNeighborsClassifier(6, metric="manhattan", weights="distance").fit(X[:100], y[:100])
    table = np.abs(X[:, None] - X[None, :100]).sum(axis=2)
    given = KNeighborsClassifier(6, metric="precomputed", weights="distance").fit(table[:100], y[:100])
    own = KNeighborsClassifier(6, metric=manhattan, weights="distance", n_jobs=2).fit(X[:100], y[:100])
    sparse = KNeighborsClassifier(6, metric=lambda a, b: abs(a - b).sum()).fit(sp.csr_matrix(X[:100]), y[:100])
    for model, queries in ((given, table[100:]), (own, X[100:]), (sparse, sp.coo_matrix(X[100:])), (sparse, X[100:])):
        for asked, truth in ((queries, X[100:]), (None, None)):
            distance, index = model.kneighbors(asked)
            assert_array_equal(distance, named.kneighbors(truth)[0])
            assert_array_equal(index, named.kneighbors(truth)[1])
    assert_array_equal(given.predict(table[100:]), named.predict(X[100:]))
    powered = KNeighborsClassifier(6, metric=lambda a, b, w: w * manhattan(a, b), metric_params={"w": 2.0})
    assert_array_equal(powered.fit(X[:100], y[:100]).kneighbors(X)[0], 2 * named.kneighbors(X)[0])


def test_a_graph_holds_ones_or_distances_nearest_first():
    X = [[0.0], [3.0], [1.0]]
    model = KNeighborsRegressor(2).fit(X, [0, 1, 2])
    assert_array_equal(model.kneighbors_graph(X).toarray(), [[1, 0, 1], [0, 1, 1], [1, 0, 1]])
    graph = model.kneighbors_graph(n_neighbors=1, mode="distance")
    assert graph.format == "csr"
    assert_array_equal(graph.toarray(), [[0, 0, 1], [0, 0, 2], [1, 0, 0]])
    with pytest.raises(ValueError, match="mode must be 'connectivity' or 'distance', got 'near'"):
        model.kneighbors_graph(mode="near")


def test_predictions_without_queries_leave_each_row_out():
    X, y = [[0.0], [0.1], [5.0], [5.1]], [0, 1, 1, 0]
    model = KNeighborsClassifier(1).fit(X, y)
    assert_array_equal(model.predict(None), [1, 0, 0, 1])
    assert model.score(None, y) == 0.0
    assert_array_equal(KNeighborsRegressor(1, weights=None).fit(X, y).predict(None), [1, 0, 0, 1])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"metric": "mahalanobis"}, "metric must be a function or one of .* got 'mahalanobis'"),
        ({"metric": 3}, "metric must be a function or one of .* got 3"),
        ({"p": -1.0}, "p must be a number above 0, got -1"),
        ({"p": "2"}, "p must be a number above 0, got '2'"),
        ({"p": np.nan}, "p must be a number above 0, got nan"),
        ({"metric_params": {"w": [1.0]}}, "metric_params: metric 'minkowski' takes no 'w'"),
        ({"metric": "cosine", "metric_params": {"p": 2}}, "metric_params: metric 'cosine' takes no 'p'"),
        ({"metric_params": 2}, "metric_params must be None or a dict, got 2"),
        ({"metric": "precomputed"}, r"metric 'precomputed' takes a square matrix of distances, got shape \(3, 1\)"),
        ({"metric": lambda x, y: np.nan}, "metric must return a finite number"),
    ],
)
def test_what_is_no_metric_is_named(parameters, message):
    with pytest.raises(ValueError, match=message):
        KNeighborsClassifier(1, **parameters).fit([[0.0], [1.0], [2.0]], [0, 1, 0]).predict([[1.0]])


def test_distances_that_are_given_must_be_distances():
    table = np.array([[0.0, 1.0], [1.0, 0.0]])
    model = KNeighborsClassifier(1, metric="precomputed").fit(table, [0, 1])
    with pytest.raises(ValueError, match="Negative values in data passed to a matrix of precomputed distances"):
        model.predict(-table)
    with pytest.raises(ValueError, match="expecting 2 features"):
        model.predict(table[:, :1])
    with pytest.raises(ValueError, match="X: 2 distances of each row are needed, row 1 holds 1"):
        model.kneighbors(sp.csr_matrix([[3.0, 1.0], [0.0, 1.0]]), 2)


def test_p_given_twice_is_told():
    with pytest.warns(SyntaxWarning, match="metric_params has p=3: p=1 is not read"):
        model = KNeighborsClassifier(1, p=1, metric_params={"p": 3}).fit([[0.0], [1.0]], [0, 1])
    assert model.effective_metric_ == "minkowski"
    assert model.effective_metric_params_ == {"p": 3.0}


def test_entries_whose_distances_overflow_are_an_error():
    with pytest.raises(ValueError, match="may overflow float64: rescale X"):
        KNeighborsClassifier(1, p=3).fit([[0.0], [1.0]], [0, 1]).predict([[1e308]])
