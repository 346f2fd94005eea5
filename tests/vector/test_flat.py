"""Flat: the contract, and exactness."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from breadth.vector.flat import Flat
from breadth.vector.scan_kernels import keep_best, keep_best_screened, sort_best_first
from tests.vector.contract import CONTRACT, METRICS, exact


@pytest.mark.parametrize("clause", CONTRACT, ids=lambda clause: clause.__name__)
def test_keeps_the_contract(clause, tmp_path):
    clause(Flat, tmp_path)


REGIMES = {
    "plain": lambda rng, n, dim: rng.normal(size=(n, dim)),
    "mean 1e4": lambda rng, n, dim: rng.normal(size=(n, dim)) + 1e4,
    "grid of ties": lambda rng, n, dim: rng.integers(0, 2, size=(n, dim)) * 2.0 - 1,
    "all rows equal": lambda rng, n, dim: np.full((n, dim), 0.5),
    "huge": lambda rng, n, dim: rng.normal(size=(n, dim)) * 1e15,
    "tiny": lambda rng, n, dim: rng.normal(size=(n, dim)) * 1e-18,
    "one far row": lambda rng, n, dim: np.vstack([rng.normal(size=(n - 1, dim)), np.full((1, dim), 1e12)]),
}


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("regime", REGIMES)
def test_hits_are_those_of_a_double_loop_whatever_the_batch_and_the_filter(regime, metric):
    rng = np.random.default_rng(0)
    X = REGIMES[regime](rng, 2500, 12).astype(np.float32)  # more than one block, the last not full
    Q = np.vstack([X[:20], REGIMES[regime](rng, 20, 12)]).astype(np.float32)
    index = Flat(12, metric=metric)
    index.add(np.arange(2500), X, [{"part": i % 7} for i in range(2500)])
    rows = index._vectors.view if metric == "cosine" else X
    truth = exact(rows, Q, "dot" if metric == "cosine" else metric)
    if metric == "cosine":
        norm = np.linalg.norm(Q.astype(np.float64), axis=1, keepdims=True)
        truth = (Q / norm).astype(np.float32).astype(np.float64) @ rows.astype(np.float64).T
    for filter, allowed in ((None, np.ones(2500, bool)), ({"part": 3}, np.arange(2500) % 7 == 3)):
        masked = np.where(allowed, truth, -np.inf)
        together = index.search(Q, 10, filter)
        assert_allclose(np.abs(together.scores), np.abs(-np.sort(-masked, axis=1)[:, :10]), rtol=2e-7, atol=1e-30)
        alone = [index.search(q[None], 10, filter) for q in Q]  # another path through the kernels
        assert_array_equal(together.ids, np.vstack([hits.ids for hits in alone]))
        assert_array_equal(together.scores, np.vstack([hits.scores for hits in alone]))
        assert allowed[together.ids].all()


def test_equally_near_vectors_come_in_the_order_of_their_addition():
    index = Flat(2, metric="dot")
    index.add([9, 3, 7, 1], [[1, 0], [0, 1], [1, 0], [1, 0]])
    assert index.search([[1, 0]], 3).ids.tolist() == [[9, 7, 1]]
    index.upsert([9], [[1, 0]])
    assert index.search([[1, 0]], 3).ids.tolist() == [[7, 1, 9]]


@pytest.mark.parametrize("n_threads", [2, 5])
def test_threads_do_not_change_a_bit(n_threads):
    rng = np.random.default_rng(0)
    index = Flat(16, metric="euclidean")
    index.add(np.arange(3000), rng.normal(size=(3000, 16)))
    Q = rng.normal(size=(601, 16))
    alone, together = index.search(Q, 9, n_threads=1), index.search(Q, 9, n_threads=n_threads)
    assert_array_equal(alone.ids, together.ids)
    assert_array_equal(alone.scores, together.scores)


@pytest.mark.parametrize("euclidean", [False, True])
def test_the_kernels_equal_their_slow_twins(euclidean):
    rng = np.random.default_rng(0)
    rows = rng.integers(-2, 3, size=(150, 5)).astype(np.float32)  # integers: sums are exact, and scores tie
    Q = rng.integers(-2, 3, size=(6, 5)).astype(np.float32)
    slots = rng.permutation(200)[:150]
    allowed = (rng.random(200) < 0.6).astype(np.uint8)
    score = -np.square(Q[:, None] - rows).sum(2) if euclidean else Q @ rows.T
    expected = []
    for row in score:
        listed = sorted((-s, int(slot)) for s, slot in zip(row, slots, strict=True) if allowed[slot])[:7]
        expected.append([(-s, slot) for s, slot in listed])
    screen = Q @ rows.T - (0.5 * np.square(rows).sum(1) if euclidean else 0)
    offset = np.tile([0.5, 0.0], (6, 1)) if euclidean else np.tile([1.0, 0.0], (6, 1))
    if euclidean:
        offset[:, 1] = 0.5 * np.square(Q).sum(1)
    heap, slot = np.full((6, 7), -np.inf), np.full((6, 7), np.iinfo(np.int64).max)
    keep_best_screened(screen.astype(np.float32), np.arange(6), Q, rows, slots, allowed, offset, euclidean, heap, slot)
    sort_best_first(heap, slot)
    assert [list(zip(a, b, strict=True)) for a, b in zip(heap, slot.tolist(), strict=True)] == expected
    by_slot = np.zeros((200, 5), np.float32)
    by_slot[slots] = rows
    heap, slot = np.full((1, 7), -np.inf), np.full((1, 7), np.iinfo(np.int64).max)
    keep_best(Q[0], by_slot, slots[allowed[slots] == 1], euclidean, heap[0], slot[0])
    sort_best_first(heap, slot)
    assert list(zip(heap[0], slot[0].tolist(), strict=True)) == expected[0]
