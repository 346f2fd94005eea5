"""Counts, tf-idf and hashed terms beside scikit-learn's, on real text and code and on strings that break analyses."""

from __future__ import annotations

import pickle
import random
import re
import warnings
from functools import cache
from pydoc_data import topics

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.feature_extraction import text as peer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from breadth.text import analysis, terms
from breadth.text.hashing import HashingVectorizer
from breadth.text.tfidf import CountVectorizer, TfidfVectorizer


@cache
def documents() -> list[str]:
    """Paragraphs of the documentation topics, and strings of letters, spaces, marks and digits of many scripts."""
    real = [part for topic in topics.topics.values() for part in topic.split("\n\n")][:700]
    draw = random.Random(0)
    letters = "abcABC_09 \t\n\x1c\u00a0\u3000.,-'éÉßİıΣσςñŉ漢字かな한국\u0301\u200b\U0001d4d0\ud800🙂²½"
    odd = ["".join(draw.choices(letters, k=draw.randrange(40))) for _ in range(800)]
    hard = [
        "",
        " ",
        "a",
        "the",
        "The THE the",
        "a" * 3000,
        "x " * 3000,
        "é",
        "\ud800",
        " \n\n ",
        "a\x00b a\x00b",
        "ab\n\n\ncd",
    ]
    return real + odd + hard


def split_on_x(text):
    return text.split("x")


def numbers(text):
    return [len(word) for word in text.split()] + [text[:1]]


def upper(text):
    return text.upper()


OPTIONS = [
    {},
    {"ngram_range": (1, 3)},
    {"ngram_range": (2, 3), "stop_words": "english", "min_df": 2},
    {"stop_words": ["the", "of", "漢字"], "lowercase": False},
    {"token_pattern": r"(?u)\b\w+\b", "sublinear_tf": True},
    {"token_pattern": r"\w\w\w+", "norm": "l1"},
    {"token_pattern": r"[a-z]+", "ngram_range": (1, 2), "norm": None},
    {"token_pattern": r"(\w)\w+", "smooth_idf": False},
    {"strip_accents": "unicode", "use_idf": False},
    {"strip_accents": "ascii", "max_df": 0.5, "min_df": 0.002},
    {"strip_accents": upper, "max_df": 30},
    {"max_features": 100},
    {"max_features": 50, "ngram_range": (1, 2), "min_df": 3, "binary": True},
    {"analyzer": "char", "ngram_range": (1, 3)},
    {"analyzer": "char", "ngram_range": (4, 4), "lowercase": False},
    {"analyzer": "char_wb", "ngram_range": (1, 4)},
    {"analyzer": "char_wb", "ngram_range": (5, 6), "min_df": 2},
    {"tokenizer": split_on_x, "token_pattern": None, "ngram_range": (1, 2)},
    {"preprocessor": upper},
    {"vocabulary": ["the", "of the", "a", "in the same", "漢字"], "ngram_range": (1, 2)},
    {"vocabulary": {"ab", "bc", "é"}, "analyzer": "char_wb", "ngram_range": (2, 2)},
]


def same(ours, theirs, rtol):
    theirs.sort_indices()
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype
    assert ours.has_canonical_format
    np.testing.assert_array_equal(ours.indptr, theirs.indptr)
    np.testing.assert_array_equal(ours.indices, theirs.indices)
    np.testing.assert_allclose(ours.data, theirs.data, rtol=rtol)


@pytest.mark.parametrize("options", OPTIONS)
def test_weights_terms_and_limits_are_those_of_scikit_learn(options, monkeypatch):
    monkeypatch.setattr(terms, "CHUNK", 20_000)  # many chunks
    ours, theirs = TfidfVectorizer(**{"token_pattern": analysis.WORDS, **options}), peer.TfidfVectorizer(**options)
    if options.get("token_pattern", "") is None:
        ours.set_params(token_pattern=analysis.WORDS)
    train, test = documents()[::2], documents()[1::2]
    if "vocabulary" in options:
        train = [*train, "the of the a in the same 漢字 ab bc é"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's, of options without effect
        expected, expected_test = theirs.fit_transform(train), theirs.transform(test)
    # rtol: the order in which a row's squares are added
    same(ours.fit_transform(train), expected, rtol=1e-12)
    same(ours.transform(iter(test)), expected_test, rtol=1e-12)
    same(pickle.loads(pickle.dumps(ours)).transform(test), expected_test, rtol=1e-12)
    same(clone(ours).fit(train).transform(test), expected_test, rtol=1e-12)
    assert ours.vocabulary_ == theirs.vocabulary_
    assert ours.get_feature_names_out().tolist() == theirs.get_feature_names_out().tolist()
    if options.get("use_idf", True):
        np.testing.assert_allclose(ours.idf_, theirs.idf_, rtol=1e-14)  # rtol: one rounding of a logarithm
    for mine, other in zip(ours.inverse_transform(expected_test), theirs.inverse_transform(expected_test), strict=True):
        assert sorted(mine.tolist()) == sorted(other.tolist())


@pytest.mark.parametrize("options", OPTIONS)
def test_kernels_find_the_terms_that_the_analysis_in_python_finds_and_scikit_learn_too(options):
    names = {"analyzer", "lowercase", "strip_accents", "preprocessor", "tokenizer", "stop_words", "ngram_range"}
    counting = {name: value for name, value in options.items() if name in {*names, "token_pattern"}}
    analyze = peer.CountVectorizer(**counting).build_analyzer()
    mine = analysis.Analyzer(**{name: v for name, v in counting.items() if v is not None})
    table = terms.TermTable(mine)
    found = table.count(documents())
    strings = table.strings(np.arange(found.terms.max() + 1))
    for i, document in enumerate(documents()):
        expected = analyze(document)
        assert sorted(mine(document)) == sorted(expected)
        part = slice(found.indptr[i], found.indptr[i + 1])
        counted = [strings[t] for t, n in zip(found.terms[part], found.counts[part], strict=True) for _ in range(n)]
        assert sorted(counted) == sorted(expected)


def test_an_analyzer_of_ones_own_may_give_terms_that_are_no_strings():
    texts = [d for d in documents() if d]
    ours, theirs = CountVectorizer(analyzer=split_on_x), peer.CountVectorizer(analyzer=split_on_x)
    same(ours.fit_transform(texts), theirs.fit_transform(texts), rtol=0)
    options = {"analyzer": numbers, "vocabulary": [3, "a", 5], "lowercase": False}
    ours, theirs = CountVectorizer(**options), peer.CountVectorizer(**options)
    same(ours.fit_transform(texts), theirs.fit_transform(texts), rtol=0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_float32_weights_are_the_float64_ones_rounded(dtype):
    ours = TfidfVectorizer(dtype=dtype).fit_transform(documents())
    theirs = peer.TfidfVectorizer().fit_transform(documents())
    theirs.sort_indices()
    assert ours.dtype == dtype
    # rtol: one rounding to float32 of a weight before and one after the division by the row's length
    np.testing.assert_allclose(ours.data, theirs.data, rtol=2e-7 if dtype == np.float32 else 1e-12)


def test_a_pipeline_on_it_predicts_what_one_on_scikit_learns_predicts():
    texts = [d for d in documents() if len(d) > 20]
    y = np.array([bool(re.search("the", d)) for d in texts])
    ours, theirs = (make_pipeline(v, LogisticRegression()) for v in (TfidfVectorizer(), peer.TfidfVectorizer()))
    np.testing.assert_array_equal(ours.fit(texts, y).predict(texts), theirs.fit(texts, y).predict(texts))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"n_features": 7, "norm": None},
        {"n_features": 64, "alternate_sign": False, "norm": "l1"},
        {"n_features": 128, "binary": True, "ngram_range": (1, 2), "stop_words": "english"},
        {"analyzer": "char_wb", "ngram_range": (2, 4), "n_features": 1000},
        {"token_pattern": r"[a-z]+", "dtype": np.float32},
        {"analyzer": split_on_x},
    ],
)
def test_hashed_columns_and_signs_are_those_of_scikit_learn(options):
    texts = [d for d in documents() if "\ud800" not in d]  # which scikit-learn cannot hash
    theirs = peer.HashingVectorizer(**options).transform(texts)
    ours = HashingVectorizer(**options).transform(texts)
    same(ours, theirs, rtol=1e-12 if ours.dtype == np.float64 else 2e-7)  # rtol: as above
