"""BM25 beside bm25s (every variant) and rank_bm25, on real text and on documents that break means and logarithms."""

from __future__ import annotations

import random
import re
from functools import cache
from pydoc_data import topics

import numpy as np
import pytest

from breadth.text.bm25 import BM25
from breadth.text.stem import PorterStemmer

bm25s = pytest.importorskip("bm25s")

VARIANTS = ["lucene", "robertson", "atire", "bm25l", "bm25+"]
HARD = [[], ["the"] * 5000, ["the"], ["rare"], ["the", "a"] * 40, ["rare", "rare", "the"], [" ", "漢字"]]


@cache
def corpus() -> list[list[str]]:
    parts = [p for topic in topics.topics.values() for p in topic.split("\n\n")]
    return [re.findall(r"(?u)\b\w\w+\b", p.lower()) for p in parts[:1500]] + HARD


@cache
def queries() -> list[list[str]]:
    draw = random.Random(0)
    words = [w for d in corpus() for w in d]
    return [draw.choices(words, k=draw.randrange(1, 9)) for _ in range(60)] + [["the", "the", "rare"], ["漢字"]]


def peer_scores(index, query, variant):
    """bm25s's scores, without the floor that it adds where a term is absent."""
    tokens = [t for t in query if t in index.vocab_dict]
    scores = index.get_scores(tokens).astype(float)
    if variant in ("bm25l", "bm25+"):
        for t in tokens:
            absent = np.array([t not in d for d in corpus()])
            scores[absent] -= index.nonoccurrence_array[index.vocab_dict[t]]
    return scores


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(("k1", "b"), [(1.5, 0.75), (0.9, 0.0), (0.01, 1.0)])
def test_scores_of_every_variant_are_those_of_bm25s(variant, k1, b):
    peer = bm25s.BM25(method=variant, k1=k1, b=b, delta=0.7, dtype="float64")
    peer.index(corpus(), show_progress=False)
    ours = BM25(variant=variant, k1=k1, b=b, delta=0.7, tokenize=list, dtype=np.float64)
    ours.add(corpus()[:700])
    ours.scores(["the"])  # builds the index that the next addition outdates
    ours.add(corpus()[700:])
    for query in queries():
        expected = peer_scores(peer, query, variant)
        # atol: what cancels when the peer's floor is taken off again
        np.testing.assert_allclose(ours.scores(query), expected, rtol=1e-12, atol=1e-13)
        found = ours.search(query, k=20)
        order = np.lexsort((np.arange(len(expected)), -ours.scores(query)))[:20]
        order = order[ours.scores(query)[order] > 0]
        np.testing.assert_array_equal(found.ids, order)
        np.testing.assert_array_equal(found.scores, ours.scores(query)[order])


def test_scores_of_float32_are_those_of_bm25s_in_float32():
    peer = bm25s.BM25()
    peer.index(corpus(), show_progress=False)
    ours = BM25(tokenize=list)
    ours.add(corpus())
    for query in queries():
        # rtol: roundings of at most 9 float32 additions
        np.testing.assert_allclose(
            ours.scores(query), peer.get_scores([t for t in query if t in peer.vocab_dict]), rtol=1e-6
        )


def test_atire_and_bm25_plus_are_those_of_rank_bm25_where_it_has_them():
    rank_bm25 = pytest.importorskip("rank_bm25")
    texts = [d or ["nothing"] for d in corpus()]
    plus = BM25(variant="bm25+", tokenize=list, dtype=np.float64)
    plus.add(texts)
    peer = rank_bm25.BM25Plus(texts)
    for query in queries()[:20]:
        absent = sum(peer.idf[t] * np.array([t not in d for d in texts]) for t in query)  # delta = 1
        np.testing.assert_allclose(plus.scores(query), peer.get_scores(query) - absent, rtol=1e-12, atol=1e-12)
    okapi = rank_bm25.BM25Okapi(texts)
    words = {word for query in queries() for word in query}
    okapi.idf = {word: np.log(len(texts) / sum(word in d for d in texts)) for word in words}
    atire = BM25(variant="atire", tokenize=list, dtype=np.float64)
    atire.add(texts)
    for query in queries()[:20]:
        np.testing.assert_allclose(atire.scores(query), okapi.get_scores(query), rtol=1e-12, atol=1e-12)


def test_words_stop_words_and_stems_of_text_are_those_of_bm25s():
    texts = [p for topic in topics.topics.values() for p in topic.split("\n\n")][:600]
    stop_words = ["the", "of", "and", "is"]
    stem = PorterStemmer().stem
    tokens = [[stem(w) for w in re.findall(r"(?u)\b\w\w+\b", t.lower()) if w not in stop_words] for t in texts]
    peer = bm25s.BM25(dtype="float64")
    peer.index(tokens, show_progress=False)
    ours = BM25(stop_words=stop_words, stem=stem, dtype=np.float64)
    ours.add(texts[:300])
    ours.add(texts[300:])
    for query in ("running classes of instances", "the and", "assignments are evaluating", "unheard"):
        known = [s for w in query.split() if w not in stop_words and (s := stem(w)) in peer.vocab_dict]
        expected = peer.get_scores(known) if known else np.zeros(len(texts))
        np.testing.assert_allclose(ours.scores(query), expected, rtol=1e-12)
