"""IVF: the contract, its kernels, recall under filters, and its parameters."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from breadth.vector.flat import Flat
from breadth.vector.inverted_lists import InvertedLists
from breadth.vector.ivf import IVF
from breadth.vector.ivf_kernels import choose_lists, count_allowed, nearest_few
from tests.vector.contract import CONTRACT, METRICS


class CodedIVF(IVF):
    """Coarse codes, and vectors beside them: the contract asks for true scores."""

    def __init__(self, dim, **space):
        super().__init__(dim, **{"n_subvectors": dim, "rerank": 20, **space})


@pytest.mark.parametrize("make", [IVF, CodedIVF])
@pytest.mark.parametrize("clause", CONTRACT, ids=lambda clause: clause.__name__)
def test_keeps_the_contract(clause, make, tmp_path):
    clause(make, tmp_path)


def grouped(n, dim=16, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(50, dim))[rng.integers(0, 50, n)] + 0.4 * rng.normal(size=(n, dim))).astype(np.float32)


def recall(hits, truth):
    return (hits.ids[:, :, None] == truth.ids[:, None, :]).any(axis=2).mean()


@pytest.mark.parametrize("metric", METRICS)
def test_probing_every_list_gives_what_exact_search_gives_for_one_query_and_for_many(metric):
    X, Q = grouped(3000), grouped(60, seed=1)
    meta = [{"part": i % 9} for i in range(3000)]
    index, flat = IVF(16, metric=metric, n_lists=20, n_probe=20), Flat(16, metric=metric)
    for one in (index, flat):
        one.add(np.arange(3000), X, meta)
        one.remove(np.arange(5, 3000, 11))
        one.upsert(np.arange(100), X[100:200], meta[:100])
    for filter in (None, {"part": {"$in": [2, 5]}}):
        truth = flat.search(Q, 10, filter)
        together = index.search(Q, 10, filter)
        assert_array_equal(together.ids, truth.ids)
        assert_array_equal(together.scores, truth.scores)
        for i in range(10):  # few queries take another path through the kernels
            assert_array_equal(index.search(Q[i : i + 1], 10, filter).ids[0], truth.ids[i])


@pytest.mark.parametrize("metric", METRICS)
def test_codes_give_the_scores_of_decoded_vectors_for_one_query_and_for_many(metric):
    X, Q = grouped(3000), grouped(40, seed=1)
    index = IVF(16, metric=metric, n_lists=20, n_probe=20, n_subvectors=4)
    index.add(np.arange(3000), X)
    lists, quantizer = index._lists, index._quantizer
    labels = np.repeat(np.arange(20), lists.sizes)
    decoded = index.centres[labels] + quantizer.decode(lists.arrays["codes"].view)
    if metric == "cosine":
        Q = (Q / np.linalg.norm(Q.astype(np.float64), axis=1, keepdims=True)).astype(np.float32)
    flat = Flat(16, metric="dot" if metric == "cosine" else metric)
    order = np.argsort(lists.arrays["slots"].view)
    flat.add(np.arange(3000), decoded[order])
    truth, together = flat.search(Q, 10), index.search(Q, 10)
    assert_array_equal(together.ids, truth.ids)
    np.testing.assert_allclose(together.scores, truth.scores, rtol=1e-6)  # the queries are scaled twice
    alone = [index.search(q[None], 10) for q in Q]
    assert_array_equal(together.ids, np.vstack([hits.ids for hits in alone]))
    assert_array_equal(together.scores, np.vstack([hits.scores for hits in alone]))


def test_reranking_gives_exact_scores_and_more_recall_than_codes_alone():
    X, Q = grouped(5000), grouped(50, seed=1)
    flat = Flat(16)
    flat.add(np.arange(5000), X)
    truth = flat.search(Q, 10)
    found = []
    for rerank in (None, 5):
        index = IVF(16, n_lists=20, n_probe=20, n_subvectors=4, rerank=rerank)
        index.add(np.arange(5000), X)
        found.append(index.search(Q, 10))
    assert recall(found[0], truth) < recall(found[1], truth)
    assert recall(found[1], truth) > 0.9
    same = found[1].ids == truth.ids
    assert_array_equal(found[1].scores[same], truth.scores[same])


@pytest.mark.parametrize("share", [7, 100])
def test_a_filter_keeps_recall(share):
    X, Q = grouped(20_000), grouped(100, seed=1)
    meta = [{"part": i % share} for i in range(20_000)]
    index, flat = IVF(16, n_lists=100, n_probe=8), Flat(16)
    index.add(np.arange(20_000), X, meta)
    flat.add(np.arange(20_000), X, meta)
    unfiltered = recall(index.search(Q, 10), flat.search(Q, 10))
    filtered = recall(index.search(Q, 10, {"part": 3}), flat.search(Q, 10, {"part": 3}))
    assert filtered >= max(0.98, unfiltered)


@pytest.mark.parametrize("n_subvectors", [None, 4])
@pytest.mark.parametrize("metric", METRICS)
def test_a_narrow_filter_gives_what_exact_search_gives_among_what_it_allows(metric, n_subvectors):
    X, Q = grouped(3000), grouped(40, seed=1)
    index = IVF(16, metric=metric, n_lists=20, n_probe=20, n_subvectors=n_subvectors)
    index.add(np.arange(3000), X, [{"i": i} for i in range(3000)])
    index.remove(np.arange(0, 3000, 3))
    narrow = {"i": {"$lt": 60}}  # 40 of them: fewer than 20 lists of 3000 / 20
    assert index.search(Q, 50, narrow).ids.shape == (40, 40)
    for q in (slice(0, 40), slice(0, 1)):
        hits = index.search(Q[q], 10, narrow)
        assert (hits.ids < 60).all() and (hits.ids % 3 > 0).all()
        wide = index.search(Q[q], 1999)
        for row in range(len(hits.ids)):
            at = np.flatnonzero(wide.ids[row] < 60)[:10]
            assert_array_equal(wide.ids[row][at], hits.ids[row])
            assert_array_equal(wide.scores[row][at], hits.scores[row])


@pytest.mark.parametrize("n_subvectors", [None, 4])
def test_threads_do_not_change_a_bit(n_subvectors):
    X, Q = grouped(4000), grouped(700, seed=1)
    index = IVF(16, metric="euclidean", n_lists=30, n_probe=5, n_subvectors=n_subvectors)
    index.add(np.arange(4000), X)
    alone = index.search(Q, 10, n_threads=1)
    for n_threads in (2, 5):
        together = index.search(Q, 10, n_threads=n_threads)
        assert_array_equal(alone.ids, together.ids)
        assert_array_equal(alone.scores, together.scores)


@pytest.mark.parametrize("metric", METRICS)
def test_memory_is_what_the_formula_says(metric):
    n, dim, lists = 5000, 16, 30
    extra = 4 * n if metric == "euclidean" else 0
    flat = IVF(dim, metric=metric, n_lists=lists)
    flat.add(np.arange(n), grouped(n))
    assert sum(flat.memory().values()) == 4 * dim * lists + 8 * n + 4 * dim * n + extra
    coded = IVF(dim, metric=metric, n_lists=lists, n_subvectors=4)
    coded.add(np.arange(n), grouped(n))
    assert sum(coded.memory().values()) == 4 * dim * lists + 8 * n + 4 * n + 1024 * dim + extra
    ranked = IVF(dim, metric=metric, n_lists=lists, n_subvectors=4, rerank=2)
    ranked.add(np.arange(n), grouped(n))
    assert sum(ranked.memory().values()) == sum(coded.memory().values()) + 4 * dim * n


def test_adding_one_by_one_finds_the_same_as_adding_at_once():
    X, Q = grouped(1500), grouped(30, seed=1)
    at_once, by_parts = IVF(16, n_lists=10, n_probe=4), IVF(16, n_lists=10, n_probe=4)
    at_once.train(X[:500])
    by_parts.train(X[:500])
    at_once.add(np.arange(1500), X)
    by_parts.add(np.arange(1000), X[:1000])
    for i in range(1000, 1500):
        by_parts.add([i], X[i : i + 1])
    for mine, other in zip(at_once.search(Q, 10), by_parts.search(Q, 10), strict=True):
        assert_array_equal(mine, other)


def test_lists_hold_their_entries_in_order_through_moves_and_clearings():
    rng = np.random.default_rng(0)
    lists = InvertedLists.empty(4, {"slots": np.zeros(0, np.int64), "rows": np.zeros((0, 2))})
    expected: list[list[int]] = [[], [], [], []]
    n = 0
    for step in range(60):
        labels = rng.integers(0, 4 if step % 3 else 1, size=rng.integers(1, 90)).astype(np.int32)
        slots = np.arange(n, n + len(labels))
        n += len(labels)
        lists.add(labels, {"slots": slots, "rows": np.column_stack([slots, -slots])})
        for label, slot in zip(labels, slots.tolist(), strict=True):
            expected[label].append(slot)
        if step % 20 == 19:
            kept = rng.random(len(lists)) < 0.5
            at = lists.positions()
            gone = set(lists.arrays["slots"].view[at][~kept].tolist())
            lists.compact(kept)
            expected = [[slot for slot in one if slot not in gone] for one in expected]
        for label in range(4):
            at = slice(lists.starts[label], lists.starts[label] + lists.sizes[label])
            assert lists.arrays["slots"].view[at].tolist() == expected[label]
            assert_array_equal(lists.arrays["rows"].view[at, 1], [-slot for slot in expected[label]])
        assert len(lists.arrays["slots"]) <= 2 * len(lists) + 1024


def test_a_query_passes_over_lists_without_allowed_vectors_and_goes_on_until_it_has_enough():
    starts, sizes = np.array([0, 3, 3, 5]), np.array([3, 0, 2, 4])
    slots = np.arange(9)
    allowed = np.array([1, 0, 1, 0, 0, 1, 1, 1, 1], np.uint8)
    available = np.empty(4, np.int64)
    count_allowed(starts, sizes, slots, allowed, available)
    assert available.tolist() == [2, 0, 0, 4]
    order = np.array([[2, 1, 0, 3], [3, 0, 1, 2]])
    ends, out = np.empty(2, np.int64), np.empty(8, np.int32)
    assert choose_lists(order, available, 1, 3, ends, out) == 4
    assert (ends.tolist(), out[:3].tolist()) == ([2, 3], [0, 3, 3])
    assert choose_lists(order, available, 4, 9, ends, out) == 6


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"n_lists": 0}, ValueError, "n_lists must be at least 1, got 0"),
        ({"n_lists": 2.0}, TypeError, "n_lists must be an integer"),
        ({"n_probe": 0}, ValueError, "n_probe must be at least 1"),
        ({"n_probe": None}, TypeError, "n_probe must be an integer"),
        ({"n_subvectors": 3}, ValueError, "n_subvectors must divide dim = 8, so be one of 1, 2, 4, 8; got 3"),
        ({"rerank": 3}, ValueError, "rerank scores again what codes found"),
        ({"n_subvectors": 4, "rerank": 0}, ValueError, "rerank must be at least 1"),
        ({"seed": -1}, ValueError, "seed must be at least 0, got -1"),
        ({"seed": 1.5}, TypeError, "seed must be an integer, got 1.5"),
    ],
)
def test_bad_parameters_are_named(parameters, error, message):
    with pytest.raises(error, match=message):
        IVF(8, **parameters)


def test_too_few_vectors_to_train_are_an_error_that_changes_nothing():
    index = IVF(8, n_lists=10)
    with pytest.raises(ValueError, match="10 at least are needed to train as many lists, got 9"):
        index.add(np.arange(9), np.eye(9, 8) + 1)
    assert len(index) == 0 and 3 not in index
    index.train(grouped(100, dim=8))
    index.add(np.arange(9), np.eye(9, 8) + 1)
    with pytest.raises(ValueError, match="holds 9 vectors already"):
        index.train(grouped(100, dim=8))
    with pytest.raises(ValueError, match=r"n_probe must be in \[1, 10\]"):
        index.search(np.ones((1, 8)), 1, n_probe=11)


def test_equal_vectors_need_no_more_than_one_list_with_anything_in_it():
    index = IVF(8, n_lists=10, n_probe=1, n_subvectors=2)
    index.add(np.arange(50), np.ones((50, 8)))
    assert index.search(np.ones((2, 8)), 50).ids.tolist() == [list(range(50))] * 2


@pytest.mark.parametrize("few", [1, 7, 40])
def test_the_nearest_few_are_those_of_a_stable_sort_also_at_ties(few):
    distance = np.random.default_rng(0).integers(0, 12, size=(50, 40)).astype(np.float32)
    distance[0] = 3  # all alike
    out = np.empty((50, few), dtype=np.int64)
    nearest_few(distance, out)
    expected = np.argsort(distance, axis=1, kind="stable")[:, :few]
    least = np.take_along_axis(distance, out, axis=1)
    assert np.array_equal(np.sort(least, axis=1), np.take_along_axis(distance, expected, axis=1))
    assert all(len(set(row)) == few for row in out.tolist())
    assert sorted(out[0]) == list(range(few))
