"""Flat, IVF and product quantisation beside FAISS, on real text: TF-IDF and SVD of the standard library's topics."""

from pydoc_data.topics import topics

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

from breadth.vector.flat import Flat
from breadth.vector.ivf import IVF
from breadth.vector.product_quantization import ProductQuantizer

faiss = pytest.importorskip("faiss", reason="pip install faiss-cpu")
METRICS = {"dot": faiss.METRIC_INNER_PRODUCT, "euclidean": faiss.METRIC_L2}


@pytest.fixture(scope="module")
def embeddings():
    lines = [line for text in topics.values() for line in text.splitlines() if len(line.split()) > 3]
    texts = sorted({" ".join(lines[i : i + 2]) for i in range(len(lines) - 1)})  # distinct: no ties
    counts = TfidfVectorizer(sublinear_tf=True, max_features=4000).fit_transform(texts)
    vectors = TruncatedSVD(32, random_state=0).fit_transform(counts).astype(np.float32)
    return np.random.default_rng(0).permutation(np.unique(vectors, axis=0))


def assert_same_hits(hits, scores, ids, metric):
    scores = np.sqrt(np.maximum(scores, 0)) if metric == "euclidean" else scores
    # float32 sums in another order, and for the distance the root of a difference of squares
    assert_allclose(hits.scores, scores, rtol=1e-4, atol=1e-4)
    assert (hits.ids == ids).mean() > 0.99  # the peer orders by float32, in which some of the scores are equal
    for row in np.flatnonzero((hits.ids != ids).any(axis=1)):
        swapped = hits.ids[row] != ids[row]
        assert_allclose(hits.scores[row][swapped], scores[row][swapped], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("metric", METRICS)
def test_exact_search_finds_what_faiss_finds(embeddings, metric):
    X, Q = embeddings[:-200], embeddings[-200:]
    peer = faiss.IndexFlat(32, METRICS[metric])
    peer.add(X)
    index = Flat(32, metric=metric)
    index.add(np.arange(len(X)), X)
    assert_same_hits(index.search(Q, 10), *peer.search(Q, 10), metric)


def from_ours(peer, index, metric):
    """A FAISS inverted file with our centres, and its quantizer, which FAISS does not keep alive."""
    quantizer = faiss.IndexFlat(32, METRICS[metric] if metric == "dot" else faiss.METRIC_L2)
    quantizer.add(index.centres)
    made = peer(quantizer, 32, len(index.centres))
    made.own_fields = False
    return quantizer, made


@pytest.mark.parametrize("n_probe", [1, 4, 16])
def test_lists_around_the_same_centres_find_what_faiss_finds(embeddings, n_probe):
    X, Q = embeddings[:-200], embeddings[-200:]
    index = IVF(32, metric="euclidean", n_lists=40)
    index.add(np.arange(len(X)), X)
    _quantizer, peer = from_ours(lambda *a: faiss.IndexIVFFlat(*a, faiss.METRIC_L2), index, "euclidean")
    peer.is_trained = True
    peer.add(X)
    peer.nprobe = n_probe
    assert_same_hits(index.search(Q, 3, n_probe=n_probe), *peer.search(Q, 3), "euclidean")


def test_codes_of_the_same_codebooks_find_what_faiss_finds(embeddings):
    X, Q = embeddings[:-200], embeddings[-200:]
    index = IVF(32, metric="euclidean", n_lists=40, n_subvectors=8)
    index.add(np.arange(len(X)), X)
    _quantizer, peer = from_ours(lambda *a: faiss.IndexIVFPQ(*a, 8, 8), index, "euclidean")
    faiss.copy_array_to_vector(index._quantizer.codebooks.ravel(), peer.pq.centroids)
    peer.is_trained = True
    peer.precompute_table()
    peer.add(X)
    peer.nprobe = 10
    hits, (scores, ids) = index.search(Q, 10, n_probe=10), peer.search(Q, 10)
    # equal codes tie, and FAISS breaks ties by its heap; so compare the scores, and the sets below the last one
    assert_allclose(hits.scores, np.sqrt(np.maximum(scores, 0)), rtol=1e-3, atol=1e-3)
    shared = (hits.ids[:, :, None] == ids[:, None, :]).any(axis=2).mean()
    assert shared > 0.97


def test_codebooks_lose_no_more_than_faiss_does(embeddings):
    X = embeddings
    ours = ProductQuantizer.train(X, n_subvectors=8)
    peer = faiss.ProductQuantizer(32, 8, 8)
    peer.train(X)
    error = np.square(X - ours.decode(ours.encode(X))).sum()
    peer_error = np.square(X - peer.decode(peer.compute_codes(X))).sum()
    assert error <= 1.05 * peer_error


def test_what_a_search_of_few_lists_finds_has_its_exact_score(embeddings):
    X, Q = embeddings[:-100], embeddings[-100:]
    index, flat = IVF(32, n_lists=40, n_probe=8), Flat(32)
    for one in (index, flat):
        one.add(np.arange(len(X)), X)
    truth = flat.search(Q, 10)
    hits = index.search(Q, 10)
    found = (hits.ids[:, :, None] == truth.ids[:, None, :]).any(axis=2)
    assert found.mean() > 0.8
    at = np.argwhere(hits.ids[:, :, None] == truth.ids[:, None, :])
    assert_array_equal(hits.scores[at[:, 0], at[:, 1]], truth.scores[at[:, 0], at[:, 2]])
