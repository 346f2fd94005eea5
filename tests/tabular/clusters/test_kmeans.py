"""KMeans: its kernels, its steps, and bad input."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import parametrize_with_checks

from breadth.tabular.clusters.kmeans import KMeans
from breadth.tabular.clusters.kmeans_kernels import assign_and_sum
from breadth.tabular.clusters.lloyd import lloyd, nearest_centres

EXPECTED = dict.fromkeys(
    ("check_sample_weight_equivalence_on_dense_data", "check_sample_weight_equivalence_on_sparse_data"),
    "the seeds are drawn by row, so copies of a row are other draws",
)


@parametrize_with_checks([KMeans(3, n_init=2)], expected_failed_checks=lambda estimator: EXPECTED)
def test_keeps_every_rule_of_scikit_learn(estimator, check):
    check(estimator)


def by_loop(rows, weight, centres):
    """Slow twin of the kernels."""
    distance = np.array([[np.sum((x - c) ** 2) for c in centres] for x in rows])
    labels = distance.argmin(axis=1)
    total, mass = np.zeros(centres.shape), np.zeros(len(centres))
    for x, w, label in zip(rows, weight, labels, strict=True):
        total[label] += w * x
        mass[label] += w
    return labels, total, mass


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("n", "p", "k"), [(1, 1, 1), (257, 3, 2), (700, 40, 7), (256, 2, 33)])
def test_the_kernels_equal_a_double_loop(n, p, k, dtype):
    rng = np.random.default_rng(0)
    rows = rng.integers(-3, 4, size=(n, p)).astype(dtype)  # integers: sums are exact, and distances tie
    centres = rng.integers(-3, 4, size=(k, p)).astype(dtype)
    weight = rng.integers(0, 3, size=n).astype(dtype)
    labels, total, mass = np.empty(n, np.int32), np.zeros((k, p)), np.zeros(k)
    assign_and_sum(rows, weight, centres, (0.5 * (centres**2).sum(1)).astype(dtype), labels, total, mass)
    for ours, slow in zip((labels, total, mass), by_loop(rows, weight, centres), strict=True):
        assert_array_equal(ours, slow)
    assert_array_equal(nearest_centres(rows, centres), labels)


def test_calls_written_for_scikit_learn_run():
    X = np.random.default_rng(0).normal(size=(300, 4)) + 1e4
    plain = KMeans(3, init=X[:3]).fit(X)
    for other in (
        KMeans(3, init=lambda X, k, random_state: X[:k], n_init=2, verbose=0, copy_x=False).fit(X),
        KMeans(3, init=X[:3], algorithm="elkan").fit(X),
    ):
        assert_allclose(other.cluster_centers_, plain.cluster_centers_, rtol=1e-12)  # sums of rows in another order
        assert_array_equal(other.labels_, plain.labels_)
    with pytest.raises(ValueError, match=r"init must have shape \(3, 4\), got \(2, 4\)"):
        KMeans(3, init=lambda X, k, random_state: X[:2]).fit(X)


def test_equally_near_centres_give_the_first_label():
    rows = np.array([[0.0], [1.0], [-1.0]])
    assert_array_equal(nearest_centres(rows, np.array([[1.0], [-1.0], [1.0], [0.0], [0.0]])), [3, 0, 1])


@pytest.mark.parametrize("n_jobs", [2, 3, 7])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_threads_do_not_change_a_bit(n_jobs, dtype):
    X = np.random.default_rng(0).normal(size=(20_000, 5)).astype(dtype)
    alone = KMeans(20, random_state=0, n_jobs=1, max_iter=15).fit(X)
    together = KMeans(20, random_state=0, n_jobs=n_jobs, max_iter=15).fit(X)
    assert_array_equal(alone.cluster_centers_, together.cluster_centers_)
    assert_array_equal(alone.labels_, together.labels_)
    assert alone.inertia_ == together.inertia_
    assert_array_equal(alone.predict(X), together.predict(X))


@pytest.mark.parametrize("mean", [0.0, 1e4])
def test_separate_groups_are_found(mean):
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(5), 60)
    X = rng.normal(size=(5, 4))[truth] * 30 + rng.normal(size=(300, 4)) + mean
    model = KMeans(5, n_init=4, random_state=0).fit(X)
    for group in range(5):
        assert len(np.unique(model.labels_[truth == group])) == 1
    means = np.array([X[model.labels_ == j].mean(axis=0) for j in range(5)])
    assert_allclose(model.cluster_centers_, means, rtol=1e-12)  # sums in another order
    assert_array_equal(model.predict(X), model.labels_)
    assert_allclose(-model.score(X), model.inertia_, rtol=1e-9)  # of differences at the mean 1e4, or centred
    assert_array_equal(model.transform(X).argmin(axis=1), model.labels_)


REGIMES = {
    "groups": lambda rng: rng.normal(size=(40, 5))[rng.integers(40, size=6000)] * 3 + rng.normal(size=(6000, 5)),
    "no groups": lambda rng: rng.normal(size=(6000, 5)),
    "repeated rows": lambda rng: rng.integers(0, 4, size=(6000, 5)).astype(float),
    "one far row": lambda rng: np.vstack([rng.normal(size=(5999, 5)), np.full((1, 5), 1e5)]),
    "two scales": lambda rng: rng.normal(size=(6000, 5)) * np.array([1e-3, 1, 1, 1, 1e3]),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("regime", REGIMES)
def test_bounds_spare_comparisons_and_change_no_cluster(regime, dtype):
    rng = np.random.default_rng(0)
    X = REGIMES[regime](rng).astype(dtype)
    X -= X.mean(axis=0)
    weight = rng.integers(0, 3, len(X)).astype(dtype)
    start = np.unique(X, axis=0)[rng.choice(len(np.unique(X, axis=0)), 40, replace=False)]
    plain, bounded, chosen = (
        lloyd(X, start, weight=weight, algorithm=name, max_iter=60) for name in ("lloyd", "hamerly", "auto")
    )
    assert plain.scanned == 1
    assert bounded.scanned < 1
    for run in (bounded, chosen):
        assert run.n_iter == plain.n_iter or dtype == np.float32
        # the means of float32 rows differ in their last digit, after which a row near a border may change sides
        assert_allclose(run.inertia, plain.inertia, rtol=1e-3 if dtype == np.float32 else 1e-12)
        if dtype == np.float64:
            assert_array_equal(run.labels, plain.labels)
            assert_allclose(run.centres, plain.centres, rtol=1e-9, atol=1e-9)
    together = lloyd(X, start, weight=weight, algorithm="hamerly", max_iter=60, n_threads=3)
    assert_array_equal(together.centres, bounded.centres)
    assert_array_equal(together.labels, bounded.labels)


def test_bounds_refill_empty_clusters_as_the_plain_turns_do():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 3))
    start = np.vstack([X[:3], rng.normal(size=(4, 3)) + 1e3])
    plain, bounded = (lloyd(X, start, algorithm=name) for name in ("lloyd", "hamerly"))
    assert_array_equal(plain.labels, bounded.labels)
    assert plain.n_iter == bounded.n_iter


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lloyd([1.0], [[1.0]]), r"rows must have shape \(n, p\), got \(1,\)"),
        (lambda: lloyd([[1.0]], [[1.0, 2.0]]), r"centres must have shape \(k, 1\), got \(1, 2\)"),
        (lambda: lloyd([[1.0]], [[1.0]], weight=[-1.0]), "weight must be >= 0"),
        (lambda: lloyd([[1.0]], [[1.0]], max_iter=0), "max_iter must be at least 1"),
        (lambda: lloyd([[1.0]], [[1.0]], tol=-1.0), "tol must be at least 0"),
        (lambda: lloyd([[1.0]], [[1.0]], algorithm="elkan"), "algorithm must be 'auto', 'lloyd' or 'hamerly'"),
        (lambda: KMeans(1, algorithm="best").fit([[1.0]]), "algorithm must be 'auto', 'lloyd', 'hamerly' or 'elkan'"),
    ],
)
def test_bad_arguments_of_the_algorithm_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_inertia_never_rises_from_one_iteration_to_the_next():
    X = np.random.default_rng(0).normal(size=(2000, 6))
    start = X[:15]
    inertia = []
    for iterations in (1, 2, 4, 8, 16, 32):
        inertia.append(KMeans(15, init=start, max_iter=iterations, tol=0).fit(X).inertia_)
    assert_array_equal(inertia, sorted(inertia, reverse=True))


def test_a_centre_without_rows_moves_to_the_farthest_row():
    X = np.array([[0.0], [1.0], [10.0], [11.0], [50.0]])
    model = KMeans(3, init=[[0.0], [10.0], [-1e3]], max_iter=1, tol=0).fit(X)
    assert_array_equal(model.cluster_centers_, [[0.5], [10.5], [50.0]])
    assert_array_equal(model.labels_, [0, 0, 1, 1, 2])


def test_rows_of_weight_zero_have_a_label_but_no_say():
    X = np.array([[0.0], [1.0], [10.0], [12.0], [1e6]])
    model = KMeans(2, init=[[0.0], [10.0]]).fit(X, sample_weight=[1, 3, 1, 1, 0])
    assert_allclose(model.cluster_centers_, [[0.75], [11.0]], rtol=1e-10)  # the rows are centred at a mean of 2e5
    assert_array_equal(model.labels_, [0, 0, 1, 1, 1])


def test_fewer_distinct_rows_than_clusters_is_a_warning():
    with pytest.warns(ConvergenceWarning, match="X has 2 distinct clusters, fewer than n_clusters = 3"):
        model = KMeans(3, random_state=0).fit([[0.0], [0.0], [1.0], [1.0]])
    assert model.inertia_ == 0


def test_as_many_clusters_as_rows_and_one_row_alone():
    assert_array_equal(np.sort(KMeans(3, random_state=0).fit([[1.0], [2.0], [4.0]]).labels_), [0, 1, 2])
    assert_array_equal(KMeans(1).fit([[7.0, 8.0]]).cluster_centers_, [[7.0, 8.0]])


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"n_clusters": 0}, ValueError, "n_clusters must be at least 1, got 0"),
        ({"n_clusters": 4}, ValueError, "n_clusters must be at most n_samples = 3, got 4"),
        ({"n_clusters": 2.0}, TypeError, "n_clusters must be an integer"),
        ({"n_clusters": 2, "n_init": 0}, ValueError, "n_init must be at least 1"),
        ({"n_clusters": 2, "n_init": "some"}, ValueError, "n_init must be an integer or 'auto'"),
        ({"n_clusters": 2, "max_iter": 0}, ValueError, "max_iter must be at least 1"),
        ({"n_clusters": 2, "tol": -1.0}, ValueError, "tol must be >= 0"),
        ({"n_clusters": 2, "init": "best"}, ValueError, "init must be .* got 'best'"),
        ({"n_clusters": 2, "init": [[0.0]]}, ValueError, r"init must have shape \(2, 1\), got \(1, 1\)"),
        ({"n_clusters": 2, "init": [[0.0], [np.nan]]}, ValueError, "init must be finite"),
    ],
)
def test_bad_parameters_are_named(parameters, error, message):
    with pytest.raises(error, match=message):
        KMeans(**parameters).fit([[0.0], [1.0], [2.0]])


def test_bad_data_is_named():
    with pytest.raises(ValueError, match="NaN"):
        KMeans(1).fit([[np.nan]])
    with pytest.raises(ValueError, match=r"[Nn]egative"):
        KMeans(1).fit([[0.0], [1.0]], sample_weight=[1.0, -1.0])
