"""HNSW: the contract, recall against an exact search, and a graph that depends on nothing but its input."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from breadth.vector import hnsw
from breadth.vector.flat import Flat
from breadth.vector.hnsw import HNSW
from tests.vector.contract import CONTRACT, METRICS


@pytest.mark.parametrize("clause", CONTRACT, ids=lambda clause: clause.__name__)
def test_keeps_the_contract(clause, tmp_path):
    clause(HNSW, tmp_path)


def clustered(n, dim, seed=0, spread=0.3):
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(60, dim))
    return (centres[rng.integers(0, 60, n)] + spread * rng.normal(size=(n, dim))).astype(np.float32)


def recall(index, exact, queries, k=10, filter=None, **settings):
    """Share of the k found whose exact score is among the k best, ties included."""
    truth, ours = exact.search(queries, k, filter), index.search(queries, k, filter, **settings)
    worst = truth.scores[:, -1:]
    margin = 1e-6 * np.maximum(1, np.abs(worst))
    good = ours.scores <= worst + margin if index.metric == "euclidean" else ours.scores >= worst - margin
    return good.mean()


REGIMES = {
    "clusters": lambda n, dim: clustered(n, dim),
    "mean 1e4": lambda n, dim: clustered(n, dim) + np.float32(1e4),
    "huge": lambda n, dim: clustered(n, dim) * np.float32(1e15),
    "tiny": lambda n, dim: clustered(n, dim) * np.float32(1e-17),
    "one far row": lambda n, dim: np.vstack([np.full((1, dim), 1e12), clustered(n - 1, dim)]).astype(np.float32),
    "grid of ties": lambda n, dim: np.random.default_rng(0).integers(0, 2, (n, dim)).astype(np.float32) * 2 - 1,
    "columns of unlike size": lambda n, dim: clustered(n, dim) * np.geomspace(1, 1e-3, dim, dtype=np.float32),
}


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("regime", REGIMES)
def test_recall_against_exact_search(regime, metric):
    if regime == "mean 1e4" and metric != "euclidean":
        pytest.skip("all directions are alike, and float32 scores cannot tell them apart")
    if regime == "one far row" and metric == "dot":
        pytest.skip(
            "the far row is every vector's nearest by dot product, and no graph leads past it; the docstring says so"
        )
    X = REGIMES[regime](3000, 20)
    index, exact = HNSW(20, metric=metric, n_threads=1), Flat(20, metric=metric)
    for each in (index, exact):
        each.add(np.arange(3000), X)
    assert recall(index, exact, X[1:3000:29]) >= 0.97


@pytest.mark.parametrize("metric", METRICS)
def test_scores_are_those_of_exact_search_to_the_last_bit(metric):
    X = clustered(2000, 24)
    index, exact = HNSW(24, metric=metric), Flat(24, metric=metric)
    for each in (index, exact):
        each.add(np.arange(2000), X)
    ours, truth = index.search(X[:50], 5, ef=400), exact.search(X[:50], 5)
    same = ours.ids == truth.ids
    assert same.mean() > 0.99
    np.testing.assert_array_equal(ours.scores[same], truth.scores[same])


def graph_bytes(index):
    return [part.tobytes() for part in (*index._layers.graph, index._layers.levels, *index._codes.coded[:2])]


def test_the_graph_is_the_same_to_the_last_bit_for_any_number_of_threads():
    X = clustered(2500, 16)
    graphs = []
    for n_threads in (1, 2, 3, 7):
        index = HNSW(16, n_threads=n_threads)
        index.add(np.arange(1500), X[:1500])
        index.add(np.arange(1500, 2500), X[1500:])
        graphs.append(graph_bytes(index))
        hits = index.search(X[:300])
        if n_threads == 1:
            first = hits
        assert (hits.ids == first.ids).all() and (hits.scores == first.scores).all()
    assert all(graph == graphs[0] for graph in graphs)
    other = HNSW(16, random_state=1)
    other.add(np.arange(2500), X)
    assert graph_bytes(other) != graphs[0]


def test_vectors_added_in_many_calls_are_found_as_well():
    X = clustered(2000, 16)
    index, exact = HNSW(16), Flat(16)
    exact.add(np.arange(2000), X)
    bounds = [0, 1, 2, 3, 10, 50, 51, 300, 301, 1999, 2000]
    for first, last in itertools.pairwise(bounds):
        index.add(np.arange(first, last), X[first:last])
    assert recall(index, exact, clustered(100, 16, seed=5)) >= 0.98
    assert index.search(X, 1).scores.min() > 1 - 1e-6


def test_codes_of_eight_bits_lose_tight_clusters_far_apart_and_float32_does_not():
    rng = np.random.default_rng(0)
    X = (1000 * rng.normal(size=(5, 8))).repeat(600, axis=0) + 0.01 * rng.normal(size=(3000, 8))
    exact = Flat(8, metric="euclidean")
    exact.add(np.arange(3000), X)
    found = {}
    for coding in ("int8", "float32"):
        index = HNSW(8, metric="euclidean", coding=coding)
        index.add(np.arange(3000), X)
        found[coding] = recall(index, exact, X[::31])
    assert found["float32"] > 0.97 > 0.7 > found["int8"]


@pytest.mark.parametrize("copies", [40, 1000])
def test_vectors_that_come_many_times_are_found_and_do_not_hide_the_others(copies):
    X = clustered(2000, 12)
    X[:copies] = X[0]
    index = HNSW(12, metric="euclidean")
    index.add(np.arange(2000), X)
    assert index.search(X[:1], 20).scores.max() == 0
    assert recall(index, exact_of(X, "euclidean"), X[1100::10]) >= 0.97


def exact_of(X, metric, rows=None):
    exact = Flat(X.shape[1], metric=metric)
    exact.add(np.arange(len(X)), X, rows)
    return exact


@pytest.fixture(scope="module")
def filtered():
    X = clustered(6000, 16)
    topic = X @ X[0]
    order = np.argsort(np.argsort(topic))
    rows = [{"seventh": i % 7, "hundredth": i % 100, "far": int(order[i] * 7 // 6000)} for i in range(6000)]
    index = HNSW(16)
    index.add(np.arange(6000), X, rows)
    near = X[np.argsort(-topic)[:150]]
    return index, exact_of(X, "cosine", rows), X[::47] + np.float32(0.05), near


@pytest.mark.parametrize("walk", [False, True])
@pytest.mark.parametrize(
    "filter",
    [{"seventh": 3}, {"hundredth": 7}, {"far": 0}, {"far": 6}, {"far": {"$ne": 6}}, {"seventh": {"$in": [0, 2, 5]}}],
    ids=str,
)
def test_a_filter_keeps_recall_whether_it_is_scanned_or_walked(filtered, filter, walk, monkeypatch):
    if walk:
        monkeypatch.setattr(hnsw, "_FEW", 0)
    index, exact, spread, near = filtered
    assert recall(index, exact, spread, filter=filter) >= 0.98
    assert recall(index, exact, near, filter=filter) >= 0.98  # for "far" the allowed are all far from these queries
    assert recall(index, exact, near, k=60, filter={"hundredth": 3}) == 1.0  # exactly the 60 that there are


def test_the_removed_are_never_returned_and_their_neighbours_still_found():
    X = clustered(4000, 16)
    index = HNSW(16)
    index.add(np.arange(4000), X)
    near = np.argsort(-(X @ X[0]))[:900]  # a whole topic
    index.remove(near)
    assert index._records.n_slots == 4000  # tombstones
    kept = np.setdiff1d(np.arange(4000), near)
    exact = Flat(16)
    exact.add(kept, X[kept])
    for queries in (X[kept[::40]], X[near[::10]]):
        assert not np.isin(index.search(queries, 10).ids, near).any()
        assert recall(index, exact, queries) >= 0.95
    index.remove(kept[:500])
    assert index._records.n_slots == len(index) == 2600  # built anew
    exact.remove(kept[:500])
    assert recall(index, exact, X[kept[::40]]) >= 0.98


def test_upserts_move_vectors_and_do_not_grow_the_index():
    X = clustered(1000, 8)
    index = HNSW(8, metric="euclidean")
    index.add(np.arange(1000), X)
    for turn in range(1, 6):
        index.upsert(np.arange(1000), X + turn)
        assert len(index) == 1000 and index._records.n_slots < 2000
        assert (index.search(X[::50] + turn, 1).ids[:, 0] == np.arange(0, 1000, 50)).mean() >= 0.95


def test_k_may_be_all_there_is():
    X = clustered(700, 8)
    index = HNSW(8, ef_search=5)
    index.add(np.arange(700), X)
    assert (np.sort(index.search(X[:3], 700).ids, axis=1) == np.arange(700)).all()


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"M": 1}, "M must be in [2, 256], got 1"),
        ({"M": 16, "ef_construction": 8}, "ef_construction must be in [16,"),
        ({"ef_search": 0}, "ef_search must be in [1,"),
        ({"coding": "int4"}, "coding must be 'int8' or 'float32', got 'int4'"),
        ({"random_state": -1}, "random_state must be in [0,"),
        ({"n_threads": 0}, "n_threads must be in [1,"),
    ],
)
def test_settings_out_of_range_are_named(settings, text):
    with pytest.raises(ValueError) as raised:
        HNSW(8, **settings)
    assert text in str(raised.value)
    with pytest.raises(TypeError, match="keep_pruned must be True or False, got 'no'"):
        HNSW(8, keep_pruned="no")  # type: ignore[arg-type]


_SAVER = """
import sys
import numpy as np
from breadth.vector.hnsw import HNSW

path, n = sys.argv[1], int(sys.argv[2])
index = HNSW(8)
index.add(np.arange(n), np.random.default_rng(0).normal(size=(n, 8)))
print("ready", flush=True)
while True:
    index.save(path)
"""


def test_a_process_killed_while_saving_leaves_the_old_or_the_new_index(tmp_path):
    path = tmp_path / "index"
    rng = np.random.default_rng(1)
    old = HNSW(8)
    old.add([1, 2, 3], rng.normal(size=(3, 8)))
    for turn in range(3):
        old.save(path)
        saver = subprocess.Popen([sys.executable, "-c", _SAVER, str(path), "400"], stdout=subprocess.PIPE)
        assert saver.stdout is not None
        assert saver.stdout.readline() == b"ready\n"
        time.sleep(0.002 * rng.integers(0, 8) + 0.001 * turn)
        saver.send_signal(signal.SIGKILL)
        saver.wait()
        saver.stdout.close()
        index = HNSW.load(path)
        assert len(index) in (3, 400)
        assert index.search(rng.normal(size=(2, 8)), 3).ids.shape == (2, 3)
