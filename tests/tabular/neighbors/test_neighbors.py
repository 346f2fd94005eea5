"""KNeighborsClassifier: exactness, ties, votes and bad input."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.utils.estimator_checks import parametrize_with_checks

from breadth.tabular.neighbors.classifier import KNeighborsClassifier
from breadth.tabular.neighbors.index import NeighborIndex
from breadth.tabular.neighbors.regressor import KNeighborsRegressor
from breadth.tabular.neighbors.tree import NeighborTree, build_index

CHECKED = [
    KNeighborsClassifier(),
    KNeighborsClassifier(p=1, weights="distance"),
    KNeighborsRegressor(algorithm="kd_tree"),
]


@parametrize_with_checks(CHECKED)
def test_keeps_every_rule_of_scikit_learn(estimator, check):
    check(estimator)


def by_double_loop(queries, points, k, metric):
    """Slow twin of the kernels: every distance from differences, summed column by column; a stable sort."""
    total = np.zeros((len(queries), len(points)))
    for f in range(points.shape[1]):
        step = queries[:, None, f] - points[None, :, f]
        total += step * step if metric == "euclidean" else np.abs(step)
    order = np.argsort(total, axis=1, kind="stable")[:, :k]
    distance = np.take_along_axis(total, order, axis=1)
    return (np.sqrt(distance) if metric == "euclidean" else distance), order


REGIMES = {
    "plain": lambda rng, n, p: rng.normal(size=(n, p)),
    "mean 1e6": lambda rng, n, p: rng.normal(size=(n, p)) + 1e6,
    "grid of ties": lambda rng, n, p: rng.integers(0, 2, size=(n, p)).astype(float),
    "all rows equal": lambda rng, n, p: np.full((n, p), 1e4 / 3),
    "one far row": lambda rng, n, p: np.vstack([rng.normal(size=(n - 1, p)), np.full((1, p), 1e12)]),
    "tiny": lambda rng, n, p: rng.normal(size=(n, p)) * 1e-150,
    "huge": lambda rng, n, p: rng.normal(size=(n, p)) * 1e150,
    "nearest first": lambda rng, n, p: np.sort(np.abs(rng.normal(size=(n, 1))), axis=0) * np.ones(p),
    "farthest first": lambda rng, n, p: -np.sort(-np.abs(rng.normal(size=(n, 1))), axis=0) * np.ones(p),
}


@pytest.mark.parametrize("metric", ["euclidean", "manhattan"])
@pytest.mark.parametrize("p", [1, 3, 28])
@pytest.mark.parametrize("regime", REGIMES)
def test_neighbours_are_those_of_a_double_loop(regime, p, metric):
    rng = np.random.default_rng(0)
    points = REGIMES[regime](rng, 2500, p)  # more than two blocks, the last not full
    queries = np.vstack([points[:40], points[-3:], REGIMES[regime](rng, 40, p)])
    index = NeighborIndex.build(points, metric)
    for k in (1, 7, 100):
        distance, found = index.search(queries, k)
        true_distance, truth = by_double_loop(queries, points, k, metric)
        assert_array_equal(found, truth)
        assert_allclose(distance, true_distance, rtol=1e-14)  # the compiler may fuse a product with its sum


@pytest.mark.parametrize("p", [1, 3, 28])
@pytest.mark.parametrize("regime", REGIMES)
def test_a_tree_gives_the_neighbours_of_a_double_loop(regime, p):
    rng = np.random.default_rng(0)
    points = REGIMES[regime](rng, 1500, p)
    queries = np.vstack([points[:40], points[-3:], REGIMES[regime](rng, 20, p)])
    tree = NeighborTree.build(points)
    for k in (1, 7, 100):
        distance, found = tree.search(queries, k)
        true_distance, truth = by_double_loop(queries, points, k, "euclidean")
        assert_array_equal(found, truth)
        assert_allclose(distance, true_distance, rtol=1e-14)  # the compiler may fuse a product with its sum
        together = tree.search(queries, k, 3)
        assert_array_equal(together[0], distance)
        assert_array_equal(together[1], found)


@pytest.mark.parametrize("n", [1, 2, 24, 25, 100])
def test_a_tree_of_few_points_holds_them_all(n):
    points = np.random.default_rng(0).normal(size=(n, 2))
    _, found = NeighborTree.build(points).search(points, n)
    assert_array_equal(np.sort(found, axis=1), np.tile(np.arange(n), (n, 1)))
    assert_array_equal(found[:, 0], np.arange(n))


def test_a_tree_is_taken_where_rows_vary_in_few_directions():
    rng = np.random.default_rng(0)
    few = rng.normal(size=(20_000, 4)) @ rng.normal(size=(4, 32)) + 1e-3 * rng.normal(size=(20_000, 32))
    assert isinstance(build_index(few, "euclidean", "auto", 10), NeighborTree)
    assert isinstance(build_index(few, "euclidean", "brute", 10), NeighborIndex)
    assert isinstance(build_index(few, "manhattan", "auto", 10), NeighborIndex)
    assert isinstance(build_index(rng.normal(size=(20_000, 32)), "euclidean", "auto", 10), NeighborIndex)
    outlier = np.vstack([rng.normal(size=(20_000, 32)), np.full((1, 32), 1e9)])  # it alone makes one direction
    assert isinstance(build_index(outlier, "euclidean", "auto", 10), NeighborIndex)


def test_a_regression_is_the_weighted_mean_of_its_neighbours():
    X, y = [[0.0], [1.0], [3.0], [3.0]], [0.0, 1.0, 1.0, 4.0]
    assert_allclose(KNeighborsRegressor(2).fit(X, y).predict([[0.2], [3.0]]), [0.5, 2.5])
    # distances 0.5, 0.5 and 2.5 from 0.5: weights 2, 2 and 0.4
    model = KNeighborsRegressor(3, weights="distance").fit(X, np.column_stack([y, np.negative(y)]))
    assert_allclose(model.predict([[0.5], [3.0]]), [[2.4 / 4.4, -2.4 / 4.4], [2.5, -2.5]], rtol=1e-14)
    with pytest.raises(ValueError, match="weights returned 0 for every neighbour of a row"):
        KNeighborsRegressor(3, weights=np.zeros_like).fit(X, y).predict([[1.0]])
    with pytest.raises(ValueError, match=r"n_neighbors must be in \[1, 4\].*got 5"):
        KNeighborsRegressor(5).fit(X, y)


def test_a_query_beyond_the_range_of_float32_is_still_exact():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(2000, 4))
    queries = np.vstack([np.full(4, 1e30), points[0]])
    assert_array_equal(NeighborIndex.build(points, "euclidean").search(queries, 1)[1][1], [0])
    assert_array_equal(
        NeighborIndex.build(points, "euclidean").search(queries, 3)[1],
        by_double_loop(queries, points, 3, "euclidean")[1],
    )


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_threads_do_not_change_a_bit(n_threads):
    rng = np.random.default_rng(0)
    points, queries = rng.normal(size=(3000, 8)), rng.normal(size=(777, 8))
    index = NeighborIndex.build(points, "euclidean")
    alone, together = index.search(queries, 9, 1), index.search(queries, 9, n_threads)
    assert_array_equal(alone[0], together[0])
    assert_array_equal(alone[1], together[1])


def test_equally_distant_rows_are_taken_by_index():
    X = [[1.0], [-1.0], [1.0], [-1.0], [5.0]]
    model = KNeighborsClassifier(3).fit(X, [0, 1, 1, 0, 1])
    distance, index = model.kneighbors([[0.0]])
    assert_array_equal(index, [[0, 1, 2]])
    assert_array_equal(distance, [[1.0, 1.0, 1.0]])
    assert_array_equal(model.predict([[0.0]]), [1])


def test_equal_votes_go_to_the_first_label():
    assert_array_equal(KNeighborsClassifier(2).fit([[-1.0], [1.0]], ["b", "a"]).predict([[0.0]]), ["a"])


def test_training_rows_are_not_their_own_neighbours():
    X = np.array([[0.0], [0.0], [0.0], [3.0], [4.0]])
    model = KNeighborsClassifier(1).fit(X, [0, 1, 0, 1, 0])
    assert_array_equal(model.kneighbors(return_distance=False)[:, 0], [1, 0, 0, 4, 3])
    assert_array_equal(model.kneighbors(n_neighbors=2)[1][:3], [[1, 2], [0, 2], [0, 1]])


def test_distance_weights_vote_by_nearness_and_exact_matches_alone():
    X, y = [[0.0], [1.0], [3.0], [3.0]], [0, 1, 1, 0]
    model = KNeighborsClassifier(3, weights="distance").fit(X, y)
    # distances 0.5, 0.5 and 2.5 from 0.5: votes 2, 2 and 0.4, of which label 1 has 2.4
    assert_allclose(model.predict_proba([[0.5], [3.0]]), [[2 / 4.4, 2.4 / 4.4], [0.5, 0.5]], rtol=1e-15)
    tiny = KNeighborsClassifier(2, weights="distance").fit([[0.0], [3e-320]], [0, 1])
    assert np.isfinite(tiny.predict_proba([[1e-320]])).all()


def test_weights_may_be_a_function():
    X, y = [[0.0], [1.0], [3.0]], [0, 1, 1]
    model = KNeighborsClassifier(3, weights=lambda d: np.exp(-d)).fit(X, y)
    vote = np.exp([0.0, -1.0, -3.0])
    assert_allclose(model.predict_proba([[0.0]])[0, 0], vote[0] / vote.sum(), rtol=1e-15)
    with pytest.raises(ValueError, match="weights must return finite numbers"):
        KNeighborsClassifier(3, weights=lambda d: -d).fit(X, y).predict([[1.0]])
    with pytest.raises(ValueError, match="weights returned 0 for every neighbour"):
        KNeighborsClassifier(3, weights=np.zeros_like).fit(X, y).predict([[1.0]])


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"n_neighbors": 0}, ValueError, r"n_neighbors must be in \[1, 3\].*got 0"),
        ({"n_neighbors": 4}, ValueError, r"n_neighbors must be in \[1, 3\].*got 4"),
        ({"n_neighbors": 2.0}, TypeError, "n_neighbors must be an integer"),
        ({"n_neighbors": 1, "weights": "near"}, ValueError, "weights must be"),
        ({"n_neighbors": 1, "metric": "near"}, ValueError, "metric must be .* got .near."),
        ({"n_neighbors": 1, "p": 0}, ValueError, "p must be a number above 0"),
        ({"n_neighbors": 1, "algorithm": "cover_tree"}, ValueError, "algorithm must be"),
    ],
)
def test_bad_parameters_are_named(parameters, error, message):
    with pytest.raises(error, match=message):
        KNeighborsClassifier(**parameters).fit([[0.0], [1.0], [2.0]], [0, 1, 0])


def test_bad_data_is_named():
    model = KNeighborsClassifier(1).fit([[0.0], [1.0]], [0, 1])
    with pytest.raises(ValueError, match="NaN"):
        model.predict([[np.nan]])
    with pytest.raises(ValueError, match="infinity"):
        KNeighborsClassifier(1).fit([[np.inf], [1.0]], [0, 1])
    with pytest.raises(ValueError, match=r"in \[1, 1\] with n_samples = 1 other training rows"):
        model.kneighbors(n_neighbors=2)


def test_distances_beyond_float64_are_an_error_not_a_wrong_neighbour():
    index = NeighborIndex.build(np.array([[0.0], [1.0]]), "euclidean")
    with pytest.raises(ValueError, match="overflow float64"):
        index.search(np.array([[1e200]]), 1)
