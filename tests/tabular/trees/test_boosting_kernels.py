"""The kernels of gradient boosting beside slow NumPy twins."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from breadth.tabular.trees.binning import encode, find_edges, histogram_stride, shares
from breadth.tabular.trees.growth_kernels import grow_tree
from breadth.tabular.trees.loss_kernels import (
    Focal,
    Logistic,
    Pinball,
    Poisson,
    Softmax,
    Squared,
    gradient_pass,
    softmax_probabilities,
)
from breadth.tabular.trees.pointer_kernels import row_adder, searcher
from breadth.tabular.trees.workspace import Frontier, Rules, Tree, Workspace


def packed_sums(packed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return packed >> 32, packed & 0xFFFFFFFF


def derivatives(loss, score, target):
    """Float64 gradients and hessians from the formulas, by central differences of the loss where that is simplest."""
    s, y = score.astype(np.float64), target.astype(np.float64)
    p = 1 / (1 + np.exp(-s))
    match loss:
        case Logistic():
            return p - y, p * (1 - p)
        case Squared():
            return s - y, np.ones_like(s)
        case Poisson():
            return np.exp(s) - y, np.exp(s)
        case Pinball(q):
            return np.where(s > y, 1 - q, np.where(s < y, -q, 0)), np.ones_like(s)
        case Softmax(factor):
            return s - y, factor * s * (1 - s)
        case Focal(gamma):
            z = np.where(y > 0, s, -s)

            def value(z):
                p = 1 / (1 + np.exp(-z))
                return -((1 - p) ** gamma) * np.log(p)

            e = 1e-5
            first = (value(z + e) - value(z - e)) / (2 * e)
            second = (value(z + 1e-3) - 2 * value(z) + value(z - 1e-3)) / 1e-6
            p = 1 / (1 + np.exp(-z))
            return np.where(y > 0, first, -first), np.maximum(second, (1 - p) ** gamma * p * (1 - p))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", [Logistic(), Squared(), Poisson(), Pinball(0.3), Softmax(1.5), Focal(2.0)])
def test_gradient_pass_packs_the_formulas_derivatives(loss, weighted):
    rng = np.random.default_rng(0)
    n = 777
    score = rng.normal(size=n).astype(np.float32)
    if isinstance(loss, Softmax):
        score = rng.uniform(0.25, 0.85, n).astype(np.float32)  # probabilities, also after a leaf is added
    target = (rng.random(n) < 0.4).astype(np.float32)
    weight = rng.exponential(size=n).astype(np.float32) if weighted else None
    leaf_of_row = rng.integers(0, 3, n).astype(np.uint16)
    leaf_value = np.array([0.1, -0.2, 0.0], np.float32)
    scales = np.array([1e6, 1e6])
    packed, sums = np.empty(n, np.int64), np.zeros(16, np.int64)
    moved = score + leaf_value[leaf_of_row]
    for t in range(2):
        gradient_pass(t, 2, loss, target, weight, score, leaf_of_row, leaf_value, scales, packed, sums)
    assert np.array_equal(score, moved)
    g, h = derivatives(loss, moved, target)
    w = 1.0 if weight is None else weight
    got_g, got_h = packed_sums(packed)
    np.testing.assert_allclose(got_g / 1e6, g * w, atol=3e-6, err_msg="float32 and rounding to 1e-6")
    np.testing.assert_allclose(got_h / 1e6, h * w, atol=2e-5, err_msg="second difference of the focal loss")
    assert sums[0] + sums[8] == np.abs(got_g).sum()
    assert sums[1] + sums[9] == got_g.sum()
    assert sums[2] + sums[10] == got_h.sum()


def test_a_gradient_too_large_for_its_scale_saturates_so_that_the_sum_exceeds_its_limit():
    score = np.array([1e6, 0.0], np.float32)
    packed, sums = np.empty(2, np.int64), np.zeros(8, np.int64)
    gradient_pass(0, 1, Squared(), np.zeros(2, np.float32), None, score, None, None, np.array([1e6, 1.0]), packed, sums)
    assert sums[0] >= (1 << 31) - 256


def test_logistic_gradients_hold_at_huge_scores():
    score = np.array([-1e30, -100, 0, 100, 1e30], np.float32)
    target = np.array([1, 1, 1, 0, 0], np.float32)
    packed, sums = np.empty(5, np.int64), np.zeros(8, np.int64)
    gradient_pass(0, 1, Logistic(), target, None, score, None, None, np.array([1e6, 1e6]), packed, sums)
    g, h = packed_sums(packed)
    np.testing.assert_allclose(g / 1e6, [-1, -1, -0.5, 1, 1], atol=1e-6)
    np.testing.assert_allclose(h / 1e6, [0, 0, 0.25, 0, 0], atol=1e-6)


def test_the_packed_sigmoid_is_off_by_less_than_its_docstring_says():
    score = np.linspace(-30, 30, 200_001).astype(np.float32)
    packed, sums = np.empty(len(score), np.int64), np.zeros(8, np.int64)
    zero = np.zeros(len(score), np.float32)
    gradient_pass(0, 1, Logistic(), zero, None, score, None, None, np.array([2.0**30, 1.0]), packed, sums)
    expected = 1 / (1 + np.exp(-score.astype(np.float64)))
    assert np.abs((packed >> 32) / 2.0**30 - expected).max() < 2.4e-7


def test_softmax_probabilities_are_a_softmax_of_scores_plus_leaves():
    rng = np.random.default_rng(1)
    score = rng.normal(scale=50, size=(4, 100)).astype(np.float32)
    leaf_of_row = rng.integers(0, 2, (4, 100)).astype(np.uint16)
    leaf_value = rng.normal(size=(4, 2)).astype(np.float32)
    s = (score + np.take_along_axis(leaf_value, leaf_of_row.astype(int), 1)).astype(np.float64)
    expected = np.exp(s - s.max(0)) / np.exp(s - s.max(0)).sum(0)
    probability = np.empty((4, 100), np.float32)
    softmax_probabilities(0, 1, score, leaf_of_row, leaf_value, probability)
    np.testing.assert_allclose(probability, expected, atol=1e-6, err_msg="float32")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_codes_are_the_number_of_edges_below_a_value_and_nan_has_its_own(dtype):
    rng = np.random.default_rng(2)
    X = np.column_stack(
        [rng.normal(size=3000), rng.integers(0, 7, 3000), np.full(3000, 5.0), 1e9 + rng.integers(0, 50, 3000)]
    ).astype(dtype)
    X[::10, 0] = np.nan
    X[:, 2][X[:, 1] > 3] = np.nan
    edges = find_edges(X, 255)
    codes = encode(X, edges)
    for f in range(4):
        e = edges.upper[f, : edges.n_bins[f] - 1]
        expected = np.searchsorted(e, X[:, f], side="left")
        expected[np.isnan(X[:, f])] = edges.n_bins[f]
        assert np.array_equal(codes.columns[f], expected)
        word, lane = divmod(f, codes.lanes)
        byte = (codes.words[word // 2, :, word % 2] >> np.uint64(8 * lane)) & np.uint64(255)
        assert np.array_equal(byte, expected)
    assert edges.has_missing.tolist() == [1, 0, 1, 0]
    assert edges.n_bins[1] == 7
    assert edges.n_bins[2] == 1


@pytest.mark.parametrize("n_threads", [1, 2, 3, 16])
@pytest.mark.parametrize("n_features", [1, 2, 4, 15, 16, 17, 28, 33, 100, 1000])
def test_words_have_room_for_every_feature_and_none_is_empty(n_features, n_threads):
    n_groups, lanes = shares(n_features, n_threads)
    assert 1 <= lanes <= 8
    assert (n_groups - 1) * 2 * lanes < n_features <= n_groups * 2 * lanes
    assert n_groups <= -(-n_features // 16) + n_threads


def test_bins_of_a_continuous_column_are_of_near_equal_weight():
    X = np.random.default_rng(3).normal(size=(50_000, 1))
    codes = encode(X, find_edges(X, 255)).columns[0]
    counts = np.bincount(codes)
    assert len(counts) >= 250
    assert counts.max() < 1.2 * 50_000 / 255


def test_a_value_heavier_than_a_bin_has_a_bin_of_its_own():
    rng = np.random.default_rng(4)
    x = np.where(rng.random(20_000) < 0.4, 0.0, rng.normal(size=20_000))
    codes = encode(x[:, None], find_edges(x[:, None], 255)).columns[0]
    assert len(np.unique(x[codes == codes[x == 0.0][0]])) == 1
    assert codes.max() > 240


def test_integer_weights_give_the_edges_of_repeated_rows():
    rng = np.random.default_rng(5)
    X = rng.normal(size=(4000, 3))
    w = rng.integers(1, 4, 4000)
    weighted = find_edges(X, 100, row_weight=w)
    repeated = find_edges(np.repeat(X, w, axis=0), 100)
    assert np.array_equal(weighted.n_bins, repeated.n_bins)
    agree = np.mean(weighted.upper[:, :90] == repeated.upper[:, :90])
    assert agree == 1.0


def grown(X, g, h, rules, *, n_threads=1, kind=None, max_bins=255):
    """One tree on float gradients, by the kernel; returns the tree, its nodes and the edges."""
    edges = find_edges(X, max_bins)
    codes = encode(X, edges, kind=kind)
    n = len(X)
    leaves = rules["max_leaves"]
    stride, groups = histogram_stride(edges), len(codes.words)
    slots = rules.pop("slots", leaves + 1)
    work = Workspace(
        packed=(np.round(g / rules["gradient_unit"]).astype(np.int64) << 32)
        + np.round(h / rules["hessian_unit"]).astype(np.int64),
        rows=np.empty(n, np.uint32),
        left=np.empty(n, np.uint32),
        right=np.empty(n, np.uint32),
        ordered=np.empty(n, np.int64),
        pool=np.empty((slots + 2) * groups * 2 * codes.lanes * stride, np.int64),
        best=np.zeros((groups, 2, 6)),
        best_sets=np.zeros((groups, 2, 4), np.uint64),
        sums=np.zeros(n_threads * 8, np.int64),
        counts=np.zeros(n_threads * 8, np.int64),
        sync=np.zeros(32, np.int64),
    )
    a, b = packed_sums(work.packed)
    work.sums[:3] = np.abs(a).sum(), a.sum(), b.sum()
    nodes = 2 * leaves - 1
    tree = Tree(
        np.zeros(nodes, np.int32),
        np.zeros(nodes, np.int32),
        np.zeros(nodes, np.uint8),
        np.zeros(nodes, np.int32),
        np.zeros(nodes),
        np.zeros(nodes),
        np.zeros(nodes, np.int64),
        np.zeros(n, np.uint16),
        np.zeros(leaves, np.int32),
        np.zeros(leaves, np.int64),
        np.zeros((nodes, 4), np.uint64),
    )
    filled = Rules(
        **{
            "max_depth": 0, "level_wise": False, "min_rows": 0.5, "min_hessian": 1e-3, "l2": 0.0, "min_gain": 0.0,
            "weight_unit": 1.0, "total_weight": float(n), "stride": stride, "n_features_tried": X.shape[1], "seed": 0,
        }
        | rules
    )  # fmt: skip
    results: list[int] = [0] * n_threads

    def call(t):
        results[t] = grow_tree(
            t, n_threads, codes, work, Frontier.empty(leaves, slots, X.shape[1]), tree, filled, n, True,
            row_adder(codes.lanes), searcher(options=bool(codes.kind.any())),
        )  # fmt: skip

    threads = [threading.Thread(target=call, args=(t,)) for t in range(n_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(results)) == 1
    return tree, results[0], codes


def best_split(codes, g, h, l2):
    """Brute force over every feature, bin and side for the missing rows: the greatest gain."""
    G, H = g.sum(), h.sum()
    best = -np.inf
    for f in range(codes.shape[0]):
        last = codes[f].max()
        for b in range(last):
            for missing_left in (False, True):
                left = (codes[f] <= b) | (missing_left & (codes[f] == last))
                if 0 < left.sum() < len(g):
                    GL, HL = g[left].sum(), h[left].sum()
                    gain = GL**2 / (HL + l2) + (G - GL) ** 2 / (H - HL + l2) - G**2 / (H + l2)
                    best = max(best, gain)
    return best


UNITS = {"gradient_unit": 1e-6, "hessian_unit": 1e-6}


@pytest.mark.parametrize("l2", [0.0, 3.0])
def test_the_first_split_has_the_gain_that_brute_force_finds(l2):
    rng = np.random.default_rng(6)
    X = rng.normal(size=(300, 11)).round(1)
    X[rng.random(X.shape) < 0.1] = np.nan
    g, h = rng.normal(size=300), rng.uniform(0.1, 1, 300)
    tree, n_nodes, codes = grown(X, g, h, {"max_leaves": 2, "l2": l2, **UNITS})
    assert n_nodes == 3
    np.testing.assert_allclose(tree.gain[0], best_split(codes.columns, g, h, l2), rtol=1e-5, err_msg="units of 1e-6")


@pytest.mark.parametrize("level_wise", [False, True])
def test_leaf_values_are_newton_steps_of_the_rows_that_reach_the_leaf(level_wise):
    rng = np.random.default_rng(7)
    X = rng.normal(size=(500, 9))
    g, h = rng.normal(size=500), rng.uniform(0.1, 1, 500)
    tree, n_nodes, _ = grown(X, g, h, {"max_leaves": 12, "l2": 1.0, "level_wise": level_wise, **UNITS})
    assert n_nodes == 23
    for leaf in range(12):
        rows = tree.leaf_of_row == leaf
        node = tree.leaf_node[leaf]
        assert tree.rows[node] == rows.sum() > 0
        np.testing.assert_allclose(tree.value[node], -g[rows].sum() / (h[rows].sum() + 1), rtol=1e-4, atol=1e-6)


def test_level_wise_growth_finishes_a_level_and_leaf_wise_growth_reaches_a_greater_gain_with_equal_leaves():
    rng = np.random.default_rng(8)
    X = rng.normal(size=(2000, 5))
    target = np.where(X[:, 0] > 1, np.sin(5 * X[:, 1]) * 5, 0.1 * X[:, 2]) + 0.1 * rng.normal(size=2000)
    gains, depths = {}, {}
    for level_wise in (False, True):
        rules = {"max_leaves": 8, "level_wise": level_wise, **UNITS}
        tree, n_nodes, _ = grown(X, -target, np.ones(2000), rules)
        depth = np.zeros(n_nodes, int)
        for p in range(n_nodes):
            if tree.left[p] >= 0:
                depth[tree.left[p]] = depth[tree.left[p] + 1] = depth[p] + 1
        gains[level_wise] = tree.gain[:n_nodes][tree.left[:n_nodes] >= 0].sum()
        depths[level_wise] = depth.max()
    assert depths[True] == 3
    assert gains[False] > gains[True]


def test_histograms_rebuilt_for_want_of_memory_give_the_same_tree():
    rng = np.random.default_rng(9)
    X = rng.normal(size=(1500, 10))
    g, h = rng.normal(size=1500), rng.uniform(0.1, 1, 1500)
    plenty = grown(X, g, h, {"max_leaves": 40, **UNITS})
    for slots in (2, 5):
        scarce = grown(X, g, h, {"max_leaves": 40, "slots": slots, **UNITS})
        assert scarce[1] == plenty[1]
        for a, b in zip(plenty[0], scarce[0], strict=True):
            assert np.array_equal(a, b)


@pytest.mark.parametrize("n_threads", [2, 3, 5])
def test_any_number_of_threads_grows_the_same_tree(n_threads):
    rng = np.random.default_rng(10)
    X = rng.normal(size=(1000, 30))
    g, h = rng.normal(size=1000), rng.uniform(0.1, 1, 1000)
    one = grown(X, g, h, {"max_leaves": 31, **UNITS})
    many = grown(X, g, h, {"max_leaves": 31, **UNITS}, n_threads=n_threads)
    for a, b in zip(one[0], many[0], strict=True):
        assert np.array_equal(a, b)


def test_a_categorical_split_of_few_frequent_categories_is_the_best_of_all_subsets():
    rng = np.random.default_rng(11)
    X = rng.integers(0, 6, (600, 1)).astype(float)
    effect = np.array([1.0, -1.0, 0.9, -0.8, 1.1, -1.2])
    g, h = -effect[X[:, 0].astype(int)] + 0.1 * rng.normal(size=600), np.ones(600)
    tree, n_nodes, _ = grown(X, g, h, {"max_leaves": 2, **UNITS}, kind=np.array([2], np.int8))
    best, best_set = -np.inf, 0
    for subset in range(1, 63):
        left = (subset >> X[:, 0].astype(int)) & 1 == 1
        if left.any() and not left.all():
            gain = g[left].sum() ** 2 / (left.sum() + 10) + g[~left].sum() ** 2 / ((~left).sum() + 10)
            if gain > best:
                best, best_set = gain, subset
    assert n_nodes == 3
    assert int(tree.category_sets[0, 0]) in (best_set, 63 ^ best_set)
