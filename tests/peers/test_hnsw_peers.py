"""HNSW beside hnswlib: as good a graph, and the same scores."""

from __future__ import annotations

import numpy as np
import pytest

from breadth.vector.flat import Flat
from breadth.vector.hnsw import HNSW

hnswlib = pytest.importorskip("hnswlib")
SPACES = {"cosine": "cosine", "dot": "ip", "euclidean": "l2"}


def text_like(n, dim, seed):
    """Clusters of unlike size and spread with a long spectrum, as embeddings of text have."""
    rng = np.random.default_rng(seed)
    shape = np.random.default_rng(7)
    scale = np.arange(1, dim + 1) ** -0.4
    centres, spread = shape.normal(size=(80, dim)), shape.uniform(0.2, 1.0, size=80)
    which = shape.permutation(80)[np.minimum(rng.geometric(0.05, n) - 1, 79)]
    return ((centres[which] + spread[which, None] * rng.normal(size=(n, dim))) * scale).astype(np.float32)


@pytest.mark.parametrize("metric", SPACES)
def test_recall_at_equal_ef_is_that_of_hnswlib_and_the_scores_agree(metric):
    X, Q = text_like(6000, 48, 0), text_like(200, 48, 1)
    ours = HNSW(48, metric=metric)
    ours.add(np.arange(6000), X)
    exact = Flat(48, metric=metric)
    exact.add(np.arange(6000), X)
    truth = exact.search(Q, 10).ids
    peer = hnswlib.Index(SPACES[metric], 48)
    peer.init_index(6000, M=16, ef_construction=200, random_seed=1)
    peer.set_num_threads(1)
    peer.add_items(X)

    def recall(ids):
        return np.mean([len(np.intersect1d(a, b)) for a, b in zip(ids, truth, strict=True)]) / 10

    for ef in (20, 60, 200):
        peer.set_ef(ef)
        theirs, distances = peer.knn_query(Q, 10)
        hits = ours.search(Q, 10, ef=ef)
        assert recall(hits.ids) >= recall(theirs) - 0.02  # eight-bit codes, and a graph of other levels
        as_theirs = hits.scores**2 if metric == "euclidean" else 1 - hits.scores
        same = hits.ids == theirs.astype(np.int64)
        np.testing.assert_allclose(as_theirs[same], distances[same], rtol=1e-5, atol=1e-5)  # their float32 sums
    assert same.mean() > 0.95
