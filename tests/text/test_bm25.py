"""BM25: the inverted file beside a dense sum, what is found and what is not, saving, and input that cannot be."""

from __future__ import annotations

import math

import numpy as np
import pytest

from breadth.text.bm25 import BM25
from breadth.text.stem import PorterStemmer

TEXTS = ["the cat sat on the mat", "dogs and cats", "", "the the the", "a mat for a cat", "café au lait"]


def dense(texts, query, k1, b):
    """Lucene's formula, document by document, in plain Python."""
    documents = [[w for w in t.lower().split() if len(w) > 1] for t in texts]
    mean = sum(map(len, documents)) / len(documents)
    scores = []
    for document in documents:
        score = 0.0
        for word in query.split():
            df = sum(word in d for d in documents)
            tf = document.count(word)
            idf = math.log(1 + (len(documents) - df + 0.5) / (df + 0.5))
            score += idf * tf / (tf + k1 * (1 - b + b * len(document) / mean)) if tf else 0.0
        scores.append(score)
    return scores


@pytest.mark.parametrize(("k1", "b"), [(1.5, 0.75), (0.0, 0.0), (2.0, 1.0)])
def test_scores_are_the_formula_document_by_document(k1, b):
    index = BM25(k1=k1, b=b, dtype=np.float64)
    index.add(TEXTS)
    for query in ("cat", "the mat", "cat cat café", "unknown", ""):
        np.testing.assert_allclose(index.scores(query), dense(TEXTS, query, k1, b), rtol=1e-13)  # rtol: sum order


def test_documents_added_later_are_as_if_added_at_once():
    rng = np.random.default_rng(0)
    texts = [" ".join(f"w{i}" for i in rng.zipf(1.4, size=rng.integers(0, 40)) % 500) for _ in range(400)]
    whole, parts = BM25(), BM25()
    whole.add(texts)
    for i in range(0, 400, 57):
        parts.add(texts[i : i + 57])
        parts.search("w1 w2", k=1)
    parts.add([])
    for query in ("w1", "w3 w4 w5", "w499"):
        np.testing.assert_array_equal(whole.scores(query), parts.scores(query))


def test_the_best_are_those_of_a_full_sort_with_ties_by_number_for_any_threads():
    rng = np.random.default_rng(1)
    texts = [" ".join(f"w{i}" for i in rng.integers(0, 30, size=4)) for _ in range(3000)]  # many equal scores
    index = BM25()
    index.add(texts)
    queries = [" ".join(f"w{i}" for i in rng.integers(0, 40, size=n)) for n in rng.integers(0, 6, size=100)]
    for k in (1, 7, 3000):
        found = index.search_batch(queries, k)
        for threads in (2, 3, 200):
            for one, other in zip(found, index.search_batch(queries, k, n_threads=threads), strict=True):
                np.testing.assert_array_equal(one.ids, other.ids)
                np.testing.assert_array_equal(one.scores, other.scores)
        for query, hits in zip(queries, found, strict=True):
            scores = index.scores(query)
            order = np.lexsort((np.arange(len(scores)), -scores))[:k]
            np.testing.assert_array_equal(hits.ids, order[scores[order] > 0])


def test_what_shares_no_term_is_not_found():
    index = BM25()
    index.add(TEXTS)
    assert index.search("lait", k=6).ids.tolist() == [5]
    assert index.search("", k=6).ids.tolist() == []
    assert index.search("a I", k=6).ids.tolist() == []


def test_a_document_of_one_word_and_a_corpus_of_empty_ones():
    index = BM25()
    index.add(["word"])
    assert index.search("word", k=1).ids.tolist() == [0]
    index = BM25()
    index.add(["", " ", "a"])
    assert index.search("word", k=3).ids.tolist() == []


@pytest.mark.parametrize("options", [{}, {"stop_words": ["the", "on"]}, {"variant": "bm25+", "dtype": np.float64}])
def test_a_saved_index_answers_as_before_and_can_grow(tmp_path, options):
    index = BM25(**options, stem=PorterStemmer().stem)
    index.add(TEXTS)
    index.save(tmp_path / "index.npz")
    loaded = BM25.load(tmp_path / "index.npz", stem=PorterStemmer().stem)
    for query in ("cats", "the mats", "café"):
        np.testing.assert_array_equal(loaded.scores(query), index.scores(query))
    for one in (index, loaded):
        one.add(["new cats on the mat", "zebra"])
    for query in ("cats", "zebras", "on"):
        np.testing.assert_array_equal(loaded.scores(query), index.scores(query))


@pytest.mark.parametrize("stop_words", [None, ["the", "on"]])
def test_a_saved_index_without_a_stemmer_answers_as_before_and_can_grow(tmp_path, stop_words):
    index = BM25(stop_words=stop_words)
    index.add(TEXTS)
    index.save(tmp_path / "index.npz")
    loaded = BM25.load(tmp_path / "index.npz")
    for one in (index, loaded):
        one.add(["new cats on the mat", "zebra"])
    for query in ("cats", "the mat", "zebra"):
        np.testing.assert_array_equal(loaded.scores(query), index.scores(query))


def test_loading_says_what_is_wrong(tmp_path):
    index = BM25(tokenize=str.split)
    index.add(TEXTS)
    index.save(tmp_path / "index.npz")
    with pytest.raises(ValueError, match="made with a function tokenize"):
        BM25.load(tmp_path / "index.npz")
    with pytest.raises(ValueError, match="made without a function stem"):
        BM25.load(tmp_path / "index.npz", tokenize=str.split, stem=str.upper)
    whole = (tmp_path / "index.npz").read_bytes()
    for broken in (whole[: len(whole) // 2], b"", b"text", whole[:300] + b"\x00\xff" * 20 + whole[340:]):
        (tmp_path / "broken.npz").write_bytes(broken)
        with pytest.raises(ValueError, match="not a BM25 index"):
            BM25.load(tmp_path / "broken.npz", tokenize=str.split)
    for about in (b"[]", b"{}", b'{"terms": ["a"]}'):  # another program's archive
        arrays = {"data": [1], "indices": [0], "indptr": [0, 1]}
        np.savez(tmp_path / "other.npz", about=np.frombuffer(about, np.uint8), **arrays)
        with pytest.raises(ValueError, match=r"other.npz' is not a BM25 index"):
            BM25.load(tmp_path / "other.npz")


def test_every_damaged_byte_is_named_or_changes_nothing(tmp_path):
    index = BM25()
    index.add(TEXTS)
    index.save(tmp_path / "index.npz")
    whole = (tmp_path / "index.npz").read_bytes()
    for at in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[at] ^= 0x5A
        (tmp_path / "damaged.npz").write_bytes(damaged)
        try:
            loaded = BM25.load(tmp_path / "damaged.npz")
        except ValueError as error:
            assert "is not a BM25 index, or is damaged" in str(error)
        else:  # a byte that the format does not use
            np.testing.assert_array_equal(loaded.scores("cats mat"), index.scores("cats mat"))


def test_an_index_is_saved_where_a_file_can_be(tmp_path):
    index = BM25()
    index.add(TEXTS)
    with pytest.raises(FileNotFoundError, match=r"the folder '.*nowhere' does not exist; make it before saving"):
        index.save(tmp_path / "nowhere" / "index.npz")
    with pytest.raises(FileExistsError, match="is a folder, device or pipe"):
        index.save(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"variant": "okapi"}, "variant"),
        ({"k1": -1}, "k1"),
        ({"k1": math.inf}, "k1"),
        ({"b": 1.5}, "b must"),
        ({"b": math.nan}, "b must"),
        ({"delta": -1}, "delta"),
        ({"dtype": int}, "dtype"),
        ({"tokenize": list, "stop_words": ["a"]}, "stop_words belongs"),
    ],
)
def test_parameters_that_cannot_be_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        BM25(**options)


@pytest.mark.parametrize(
    "options", [{"k1": "a"}, {"k1": None}, {"b": "a"}, {"delta": "a"}, {"stem": "porter"}, {"tokenize": "words"}]
)
def test_parameters_of_another_kind_are_named(options):
    (name,) = options
    with pytest.raises(TypeError, match=f"{name} must be a"):
        BM25(**options)


def test_documents_and_queries_that_cannot_be_are_named_and_nothing_is_added():
    index = BM25()
    with pytest.raises(ValueError, match=r"k must be .* there are none yet: add some first"):
        index.search("word", k=1)
    index.add(TEXTS)
    for bad in (None, math.nan, b"bytes", 3):
        with pytest.raises(TypeError, match="document 1 is"):
            index.add(["fine", bad])
    assert len(index) == len(TEXTS)
    with pytest.raises(TypeError, match="put it into a list"):
        index.add("one string")
    with pytest.raises(TypeError, match="use search for one"):
        index.search_batch("one string")
    for k in (0, 7):
        with pytest.raises(ValueError, match="k must be in"):
            index.search("cat", k=k)
    for bad in (1.5, "2", None, True):
        with pytest.raises(TypeError, match="k must be an integer, got"):
            index.search("cat", k=bad)
    with pytest.raises(TypeError, match="n_threads must be an integer, got 'a'"):
        index.search_batch(["cat"], 1, n_threads="a")
    with pytest.raises(TypeError, match="queries must be a list, got None"):
        index.search_batch(None)
