"""Random forests: what holds without a peer, slow twins of the kernels, and bad input."""

from __future__ import annotations

import itertools
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

from breadth.tabular.trees.descent_kernels import ordered_keys
from breadth.tabular.trees.forest import RandomForestClassifier, RandomForestRegressor
from breadth.tabular.trees.forest_correlation import tree_correlation_and_strength
from breadth.tabular.trees.forest_rank_kernels import rank_column

# what scikit-learn declares for its own forests; test_integer_weight_is_repetition_in_distribution stands in
DRAWN = {"check_sample_weight_equivalence_on_dense_data": "rows are drawn: equal in distribution only"}


@parametrize_with_checks(
    [
        RandomForestClassifier(5),
        RandomForestClassifier(5, criterion="entropy", bootstrap=False, n_jobs=2),
        RandomForestRegressor(5),
        RandomForestRegressor(5, bootstrap=False, max_leaf_nodes=20),
    ],
    expected_failed_checks=lambda estimator: DRAWN if estimator.bootstrap else {},
)
def test_estimator_protocol(estimator, check):
    check(estimator)


def a_table(n: int = 400, missing: float = 0.1, seed: int = 0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 6)).astype(np.float32)
    z = 2 * X[:, 0] + X[:, 1] * X[:, 2] + rng.normal(size=n) / 2
    X[rng.random(X.shape) < missing] = np.nan
    return X, z


@pytest.mark.parametrize("missing", [0.0, 0.2])
@pytest.mark.parametrize("rules", [{}, {"max_leaf_nodes": 20}, {"min_samples_leaf": 5}])
def test_descent_by_keys_is_descent_by_thresholds(missing, rules):
    X, z = a_table(missing=missing)
    fresh, _ = a_table(missing=0.3, seed=1)
    for model in (
        RandomForestClassifier(4, **rules).fit(X, np.digitize(z, [-1, 1])),
        RandomForestRegressor(4, **rules).fit(X, z),
    ):
        cuts = np.unique(model.tree(0).threshold).astype(np.float32)
        cuts = cuts[np.isfinite(cuts)]
        at_cuts = np.repeat(np.concatenate([cuts, np.nextafter(cuts, np.float32(np.inf))])[:, None], 6, axis=1)
        far = np.full((1, 6), np.finfo(np.float32).max)
        for rows in (X, fresh, fresh[:3], at_cuts, -np.zeros((1, 6), np.float32), far, -far):
            leaves = model.apply(rows)
            for t in range(4):
                tree = model.tree(t)
                last = np.zeros(len(rows), np.int64)
                for which, node in tree.paths(rows):
                    last[which] = node
                assert_array_equal(leaves[:, t], last)
                assert (tree.n_samples[tree.is_leaf] >= rules.get("min_samples_leaf", 1)).all()
                assert tree.n_leaves <= rules.get("max_leaf_nodes", np.inf)


def test_keys_are_in_the_order_of_the_values():
    rng = np.random.default_rng(0)
    far = np.finfo(np.float32).max
    x = np.concatenate([rng.normal(size=500), rng.normal(size=99) * 1e-42, [0.0, -0.0, far, -far, np.inf, -np.inf]])
    x = x.astype(np.float32)
    keys = ordered_keys(x)
    assert_array_equal(x[:, None] < x, keys[:, None] < keys)
    assert ordered_keys(np.array([np.nan, -np.nan], np.float32)).tolist() == [0xFFFFFFFF] * 2


def test_ranks_number_the_distinct_values():
    x = np.random.default_rng(0).integers(-20, 20, 300).astype(np.float32)
    x[::7], x[1], x[2] = np.nan, 0.0, -0.0
    rows, ranks, table = np.argsort(x), np.empty(300, np.uint32), np.empty(300, np.float32)
    n = rank_column(x[rows], rows, ranks, table)
    seen = ~np.isnan(x)
    values, twin = np.unique(x[seen], return_inverse=True)
    assert_array_equal(table[:n], values)
    assert_array_equal(ranks[seen], twin)
    assert (ranks[~seen] == 0xFFFFFFFF).all()


@pytest.mark.parametrize("kind", [RandomForestClassifier, RandomForestRegressor])
@pytest.mark.parametrize("n", [30, 300, 70_000])  # ranks of one, two and three bytes
def test_trees_without_limits_are_pure(kind, n):
    rng = np.random.default_rng(0)
    X = (rng.permutation(n) / n).astype(np.float32)[:, None]
    y = np.floor(11 * X[:, 0]) % 3
    model = kind(1, bootstrap=False).fit(X, y)
    tree = model.tree(0)
    assert (tree.impurity[tree.is_leaf] == 0).all()
    assert_array_equal(model.predict(X), y)
    ordered = np.sort(X[:, 0])
    halfway = ordered[:-1] / 2 + ordered[1:] / 2
    assert_array_equal(np.sort(tree.threshold[~tree.is_leaf]), halfway[np.diff(y[np.argsort(X[:, 0])]) != 0])


def impurity_mass(y, w, criterion):
    """Slow twin: weight times impurity of a node."""
    if criterion == "squared_error":
        return (w * (y - np.average(y, weights=w)) ** 2).sum()
    p = np.array([w[y == c].sum() for c in np.unique(y)]) / w.sum()
    return w.sum() * (1 - (p**2).sum() if criterion == "gini" else -(p * np.log2(p)).sum())


@pytest.mark.parametrize("n", [30, 400])  # sorted by insertion, and byte by byte
@pytest.mark.parametrize(("criterion", "n_classes"), [("gini", 2), ("gini", 3), ("entropy", 2), ("squared_error", 1)])
def test_every_split_gains_what_brute_force_finds(n, criterion, n_classes):
    rng = np.random.default_rng(n)
    X = rng.integers(0, 30, (n, 3)).astype(np.float32)
    X[:, 2] = rng.normal(size=n)  # 400 values: ranks of two bytes, beside those of one
    X[rng.random(X.shape) < 0.1] = np.nan
    y = rng.normal(size=n) + 1e4 if n_classes == 1 else rng.integers(0, n_classes, n)
    w = rng.integers(1, 4, n) / 2
    kind = RandomForestRegressor if n_classes == 1 else RandomForestClassifier
    model = kind(1, criterion=criterion, bootstrap=False, max_features=None, max_depth=3, min_samples_leaf=2)
    tree = model.fit(X, y, w).tree(0)
    path = tree.path_matrix(X).toarray().astype(bool)  # (rows, nodes)
    for t in np.flatnonzero(~tree.is_leaf):
        rows, left = path[:, t], tree.left[t]
        x, yt, wt = X[rows], y[rows], w[rows]
        best = 0.0
        for column, side in itertools.product(x.T, (False, True)):
            for cut in np.unique(column[~np.isnan(column)]):
                goes = (column <= cut) | (np.isnan(column) & side)
                if 2 <= goes.sum() <= len(yt) - 2:
                    parts = impurity_mass(yt[goes], wt[goes], criterion) + impurity_mass(
                        yt[~goes], wt[~goes], criterion
                    )
                    best = max(best, impurity_mass(yt, wt, criterion) - parts)
        mass = (tree.weight * tree.impurity)[[t, left, left + 1]]
        # y = 1e4 is centred before it is squared; what is left is its own spacing of 2e-12
        assert_allclose(mass[0] - mass[1] - mass[2], best, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("model", [RandomForestClassifier(7, oob_score=True), RandomForestRegressor(7, oob_score=True)])
@pytest.mark.filterwarnings("ignore:.*out-of-bag")
def test_any_number_of_threads_gives_the_same_bits(model):
    X, z = a_table(20_000)
    y = (z > 0).astype(int) if isinstance(model, RandomForestClassifier) else z
    results = []
    for n_jobs in (1, 2, 3):
        m = clone(model).set_params(n_jobs=n_jobs, random_state=0, max_depth=9).fit(X, y)
        predict = m.predict_proba if isinstance(m, RandomForestClassifier) else m.predict
        results.append((predict(X).tobytes(), m.feature_importances_.tobytes(), m.oob_score_, m.apply(X[:9]).tobytes()))
    assert results[0] == results[1] == results[2]


def test_random_state_decides():
    X, z = a_table()
    first, again, other = (RandomForestRegressor(5, random_state=s).fit(X, z).predict(X) for s in (0, 0, 1))
    assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("classifier", [True, False])
def test_out_of_bag_is_the_mean_of_the_trees_that_did_not_draw_the_row(classifier):
    X, z = a_table()
    y = np.digitize(z, [-1, 1]) if classifier else z
    kind = RandomForestClassifier if classifier else RandomForestRegressor
    model = kind(60, oob_score=True, random_state=0, n_jobs=2).fit(X, y)
    total, votes = 0.0, 0.0
    for t in range(60):
        outside = (model.forest_.draws.of_tree(t)[0] == 0)[:, None]
        total = total + outside * model.tree(t).value[model.apply(X)[:, t]]
        votes = votes + outside
    ours = model.oob_decision_function_ if classifier else model.oob_prediction_[:, None]
    assert_allclose(ours, total / votes, rtol=1e-12)
    X_new, z_new = a_table(4000, seed=5)
    fresh = model.score(X_new, np.digitize(z_new, [-1, 1]) if classifier else z_new)
    assert abs(model.oob_score_ - fresh) < 0.08  # an estimate of it from 400 rows


def test_rows_that_every_tree_drew_are_reported():
    X, z = a_table(30)
    with pytest.warns(UserWarning, match="n_estimators=1 is too few"):
        model = RandomForestRegressor(1, oob_score=True, random_state=0).fit(X, z)
    assert np.isnan(model.oob_prediction_).any() and np.isfinite(model.oob_score_)


@pytest.mark.parametrize("classifier", [True, False])
def test_integer_weight_is_repetition_in_distribution(classifier):
    X, z = a_table(60)
    y = (z > 0).astype(int) if classifier else z
    w = np.random.default_rng(0).integers(0, 4, 60)
    again = np.repeat(np.arange(60), w)
    kind = RandomForestClassifier if classifier else RandomForestRegressor
    model = kind(1500, max_samples=1.0, max_depth=4, n_jobs=2)
    weighted = clone(model).set_params(random_state=1).fit(X, y, w)
    repeated = clone(model).set_params(random_state=2).fit(X[again], y[again])
    a, b = (np.stack([v[:, 0] for v in m.forest_.values_by_tree(X, 2)]) for m in (weighted, repeated))  # (trees, rows)
    deviation = (a.mean(0) - b.mean(0)) / np.sqrt((a.var(0) + b.var(0)) / 1500 + 1e-12)
    # 60 rows: the largest of 60 standard normals exceeds 4.5 once in 2,500 runs, and the seeds are fixed
    assert np.abs(deviation).max() < 4.5


def test_balanced_draws_weigh_a_rare_class_up():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(2000, 3)), rng.random(2000) < 0.03
    X[y] += 1.0
    shares = [
        RandomForestClassifier(30, class_weight=weight, min_samples_leaf=20, random_state=0).fit(X, y).predict(X).mean()
        for weight in (None, "balanced", "balanced_subsample", {False: 1, True: 30})
    ]
    assert shares[0] < 0.01 < 0.05 < min(shares[1:])  # 3 % are of the class


def test_max_samples_is_the_number_of_draws():
    X, z = a_table()
    for max_samples, expected in [(None, 400), (50, 50), (0.5, 200)]:
        draws = RandomForestRegressor(2, max_samples=max_samples).fit(X, z).forest_.draws
        assert draws.of_tree(0)[0].sum() == expected
        assert (draws.of_tree(0)[0] != draws.of_tree(1)[0]).any()


def test_rows_of_weight_zero_are_never_drawn_and_change_nothing():
    X, z = a_table(200)
    w = np.ones(200)
    w[100:] = 0.0
    model = RandomForestRegressor(5, random_state=0).fit(X, z, w)
    assert model.forest_.draws.of_tree(0)[0][100:].sum() == 0
    with_them, without = (
        RandomForestClassifier(3, bootstrap=False, random_state=0).fit(X[:n], z[:n] > 0, w[:n]) for n in (200, 100)
    )
    assert_array_equal(with_them.predict_proba(X), without.predict_proba(X))


def test_correlation_and_strength_follow_their_definitions():
    X, z = a_table(300, missing=0.0)
    y = np.array(["a", "b", "c"])[np.digitize(z, [-1, 1])]
    X_new, z_new = a_table(200, missing=0.0, seed=1)
    y_new = np.array(["a", "b", "c"])[np.digitize(z_new, [-1, 1])]
    model = RandomForestClassifier(15, max_depth=3, random_state=0).fit(X, y)
    h = np.array([model.classes_[model.tree(t).value.argmax(1)[model.apply(X_new)[:, t]]] for t in range(15)])
    raw = np.zeros((15, 200))
    for i in range(200):
        wrong = [c for c in model.classes_ if c != y_new[i]]
        rival = max(wrong, key=lambda c: (h[:, i] == c).sum())
        raw[:, i] = (h[:, i] == y_new[i]).astype(float) - (h[:, i] == rival)
    found = tree_correlation_and_strength(model, X_new, y_new)
    assert_allclose(found.strength, raw.mean(), rtol=1e-12)
    assert_allclose(found.correlation, raw.mean(0).var() / raw.std(1).mean() ** 2, rtol=1e-12)
    assert found.bound >= (model.predict(X_new) != y_new).mean()

    regressor = RandomForestRegressor(15, max_depth=3, random_state=0).fit(X, z)
    trees = np.array([regressor.tree(t).value[regressor.apply(X_new)[:, t], 0] for t in range(15)])
    found = tree_correlation_and_strength(regressor, X_new, z_new)
    assert_allclose(found.correlation, np.corrcoef(trees)[np.triu_indices(15, 1)].mean(), rtol=1e-10)
    assert_allclose(found.strength, np.mean([1 - ((p - z_new) ** 2).mean() / z_new.var() for p in trees]), rtol=1e-12)


def test_fewer_columns_per_split_lower_the_correlation_of_trees():
    X, z = a_table(1000)
    X_new, z_new = a_table(1000, seed=1)
    for kind, y, y_new in ((RandomForestClassifier, z > 0, z_new > 0), (RandomForestRegressor, z, z_new)):
        one, every = (
            tree_correlation_and_strength(kind(40, max_features=m, random_state=0).fit(X, y), X_new, y_new)
            for m in (1, None)
        )
        assert one.correlation < every.correlation


def test_correlation_of_one_tree_or_of_constant_trees_is_nan():
    X, z = a_table(50)
    assert np.isnan(tree_correlation_and_strength(RandomForestRegressor(1).fit(X, z), X, z).correlation)
    assert np.isnan(tree_correlation_and_strength(RandomForestRegressor(3).fit(X, z * 0), X, z).correlation)
    one_class = RandomForestClassifier(3).fit(X, np.zeros(50))
    assert tree_correlation_and_strength(one_class, X, np.zeros(50)).strength == 1.0
    with pytest.raises(ValueError, match="unknown to the forest"):
        tree_correlation_and_strength(one_class, X, np.ones(50))


@pytest.mark.parametrize("kind", [RandomForestClassifier, RandomForestRegressor])
def test_one_row_one_class_constant_and_missing_columns(kind):
    assert kind(3).fit([[1.0, np.nan]], [3]).predict([[5.0, 5.0]]) == 3
    assert (kind(3).fit(np.eye(3), [2, 2, 2]).predict(np.eye(3)) == 2).all()
    each = kind(3, bootstrap=False).fit(np.arange(7.0)[:, None], np.arange(7))
    assert_allclose(each.predict(np.arange(7.0)[:, None]), np.arange(7), atol=1e-15)
    X, z = a_table(300)
    X[:, 3], X[:, 4] = 1.0, np.nan
    model = kind(10, random_state=0).fit(X, z > 0)
    assert not set(model.used_features_) & {3, 4}
    assert_allclose(model.feature_importances_.sum(), 1.0)


def test_missing_itself_can_be_the_split():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(300, 1)), rng.random(300) < 0.5
    X[y] = np.nan
    assert RandomForestClassifier(5).fit(X, y).score(X, y) == 1.0


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")  # how NumPy meets 1e300 on its way to float32
@pytest.mark.parametrize("kind", [RandomForestClassifier, RandomForestRegressor])
def test_bad_data_is_refused_by_name(kind):
    X, y = np.random.default_rng(0).normal(size=(6, 2)), np.array([0, 1, 0, 1, 0, 1])
    for bad in (np.inf, 1e300):
        with pytest.raises(ValueError, match="infinity or a value too large"):
            kind(2).fit(np.where(np.eye(6, 2), bad, X), y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        kind(2).fit(X, y[:3])
    with pytest.raises(ValueError, match="weight"):
        kind(2).fit(X, y, np.zeros(6))
    with pytest.raises(ValueError, match=r"[Nn]egative"):
        kind(2).fit(X, y, -np.ones(6))
    with pytest.raises(ValueError, match="minimum of 1"):
        kind(2).fit(X[:0], y[:0])


@pytest.mark.parametrize(
    "bad",
    [
        {"n_estimators": 0},
        {"criterion": "mse"},
        {"max_features": 0.0},
        {"max_samples": 0},
        {"max_samples": 0.5, "bootstrap": False},
        {"oob_score": True, "bootstrap": False},
        {"class_weight": "even"},
        {"min_samples_leaf": 0},
        {"max_depth": 0},
    ],
    ids=str,
)
def test_bad_parameters_are_refused_by_name(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        RandomForestClassifier(**{"n_estimators": 2, **bad}).fit(np.eye(4), [0, 1, 0, 1])


def test_data_frames_names_and_pickles():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(50, 2)), rng.integers(0, 2, 50)
    plain = RandomForestClassifier(4, random_state=0).fit(X, y)
    for frame in (pd.DataFrame(X, columns=["a", "b"]), pl.DataFrame(X, schema=["a", "b"])):
        model = clone(plain).fit(frame, y)
        assert_array_equal(model.predict_proba(frame), plain.predict_proba(X))
        with pytest.raises(ValueError, match="feature names"):
            model.predict(frame[["b", "a"]])
    again = pickle.loads(pickle.dumps(plain))
    assert_array_equal(again.predict_proba(X), plain.predict_proba(X))
