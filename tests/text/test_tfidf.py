"""Tf-idf and hashing: weights by hand, kernels beside plain Python, and input that cannot be counted."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from breadth.text.analysis import Analyzer
from breadth.text.hashing import HashingVectorizer
from breadth.text.terms import TermTable
from breadth.text.tfidf import CountVectorizer, TfidfVectorizer
from breadth.text.weight_kernels import L1, L2, MAX, NO_NORM, murmur3, weigh

TEXTS = ["to be or not to be", "to do is to be", "do be do be do", ""]


def test_weights_are_the_formula_by_hand():
    X = TfidfVectorizer(norm=None).fit_transform(TEXTS)
    column = TfidfVectorizer().fit(TEXTS).vocabulary_
    assert X[0, column["to"]] == 2 * (math.log(5 / 3) + 1)
    assert X[2, column["do"]] == 3 * (math.log(5 / 3) + 1)
    assert X[3].nnz == 0


@pytest.mark.parametrize("vectorizer", [CountVectorizer(), TfidfVectorizer(), HashingVectorizer(n_features=16)])
@pytest.mark.parametrize("missing", [None, float("nan"), b"bytes", 3])
def test_a_document_that_is_no_string_is_named(vectorizer, missing):
    with pytest.raises(TypeError, match="document 2 is"):
        vectorizer.fit_transform(["a text", "another one", missing])
    with pytest.raises(TypeError, match="document 1 is"):
        vectorizer.set_params(**{}).fit(["some words"]).transform(["some", missing])


@pytest.mark.parametrize("vectorizer", [CountVectorizer(), TfidfVectorizer(), HashingVectorizer()])
def test_one_string_is_not_taken_for_its_characters(vectorizer):
    with pytest.raises(TypeError, match="put it into a list"):
        vectorizer.fit_transform("to be or not")


@pytest.mark.parametrize("texts", [[], [""], ["a b c"], ["the of and"], ["  \n"]])
def test_documents_without_a_term_have_no_vocabulary(texts):
    with pytest.raises(ValueError, match="empty vocabulary"):
        TfidfVectorizer(stop_words="english").fit(texts)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"analyzer": "words"}, "analyzer must be"),
        ({"ngram_range": (2, 1)}, "ngram_range must be"),
        ({"ngram_range": (0, 1)}, "ngram_range must be"),
        ({"strip_accents": "all"}, "strip_accents must be"),
        ({"token_pattern": "(a)(b)"}, "at most one group"),
        ({"max_df": 1.5}, "max_df must be"),
        ({"min_df": -1}, "min_df must be"),
        ({"max_df": 1, "min_df": 2}, "max_df must allow"),
        ({"min_df": 5}, "no terms remain|max_df must allow"),
        ({"max_features": 0}, "max_features must be"),
        ({"vocabulary": []}, "at least one term"),
        ({"vocabulary": ["a", "b", "a"]}, "'a' comes again"),
        ({"vocabulary": {"a": 0, "b": 2}}, "columns 0..1"),
        ({"norm": "l3"}, "norm must be"),
        ({"dtype": int}, "dtype must be"),
        ({"ngram_range": 3}, "ngram_range must be two integers"),
        ({"ngram_range": (1.0, 2)}, "ngram_range must be two integers"),
        ({"ngram_range": "ab"}, "ngram_range must be two integers"),
        ({"token_pattern": "("}, r"token_pattern must be a regular expression, got '\('"),
        ({"token_pattern": None}, "token_pattern must be a regular expression, got None"),
        ({"max_df": "a"}, "max_df must be"),
        ({"min_df": None}, "min_df must be"),
        ({"vocabulary": ["absent"], "smooth_idf": False}, "'absent', so that its idf is infinite"),
    ],
)
def test_options_that_cannot_be_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        TfidfVectorizer(**options).fit(TEXTS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vocabulary": "cat"}, "vocabulary must be a list of terms or a mapping"),
        ({"tokenizer": "split"}, "tokenizer must be a function or None, got 'split'"),
        ({"max_features": 2.5}, "max_features must be an integer, got 2.5"),
    ],
)
def test_options_of_another_kind_are_named(options, message):
    with pytest.raises(TypeError, match=message):
        CountVectorizer(**options).fit(TEXTS)
    with pytest.raises(TypeError, match="documents must be a list of strings, got None"):
        CountVectorizer().fit(None)


def test_stop_words_as_a_string_are_refused():
    with pytest.raises(TypeError, match="'english' or a list"):
        TfidfVectorizer(stop_words="the").fit(TEXTS)


@pytest.mark.parametrize("vectorizer", [CountVectorizer(), TfidfVectorizer()])
def test_before_fit_there_is_no_vocabulary(vectorizer):
    with pytest.raises(NotFittedError):
        vectorizer.transform(TEXTS)
    with pytest.raises(NotFittedError):
        vectorizer.get_feature_names_out()


def test_parameters_that_change_after_fit_take_effect_in_the_analysis():
    vectorizer = CountVectorizer().fit(["ab cd"])
    assert vectorizer.set_params(lowercase=False).transform(["AB cd"]).toarray().tolist() == [[0, 1]]


@pytest.mark.parametrize("options", [{"ngram_range": (1, 2)}, {"analyzer": "char_wb", "ngram_range": (2, 3)}])
def test_many_threads_may_transform_at_a_time(options):
    rng = np.random.default_rng(0)
    texts = [" ".join(f"w{i}" for i in rng.integers(0, 300, size=50)) for _ in range(300)]
    vectorizer = TfidfVectorizer(**options).fit(texts)
    expected = vectorizer.transform(texts)
    with ThreadPoolExecutor(4) as pool:
        for X in pool.map(vectorizer.transform, [texts] * 8):
            assert abs(X - expected).nnz == 0


def test_a_lone_surrogate_and_a_nul_byte_are_characters_like_others():
    table = TermTable(Analyzer(analyzer="char", ngram_range=(2, 2)))
    found = table.count(["a\ud800\x00b"])
    assert sorted(table.strings(found.terms)) == sorted(["a\ud800", "\ud800\x00", "\x00b"])


def test_a_word_of_ten_megabytes_is_one_term():
    X = CountVectorizer().fit_transform(["é" * 5_000_000 + " be", "be"])
    assert X.shape == (2, 2)
    assert X.sum() == 3


def test_huge_counts_are_exact():
    vectorizer = CountVectorizer(dtype=np.int64).fit(["ab"])
    assert vectorizer.transform(["ab " * 3_000_000]).toarray().tolist() == [[3_000_000]]


@pytest.mark.parametrize("norm", [NO_NORM, L1, L2, MAX])
@pytest.mark.parametrize("sublinear", [False, True])
@pytest.mark.parametrize("with_idf", [False, True])
def test_the_weighing_kernel_is_the_formula_in_numpy(norm, sublinear, with_idf):
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 5, size=(40, 9)) * rng.integers(0, 2, size=(40, 1))  # some rows of zeros
    rows, columns = np.nonzero(counts)
    indptr = np.concatenate([[0], np.cumsum((counts > 0).sum(1))]).astype(np.int32)
    idf = rng.uniform(1, 5, 9)
    data = counts[rows, columns].astype(float)
    weigh(data, columns.astype(np.int32), indptr, idf if with_idf else np.empty(0), sublinear, norm)
    expected = counts.astype(float)
    if sublinear:
        expected[counts > 0] = 1 + np.log(expected[counts > 0])
    if with_idf:
        expected *= idf
    length = {
        NO_NORM: np.ones((40, 1)),
        L1: np.abs(expected).sum(1, keepdims=True),
        L2: np.sqrt((expected**2).sum(1, keepdims=True)),
        MAX: np.abs(expected).max(1, keepdims=True),
    }[norm]
    expected /= np.where(length == 0, 1, length)
    np.testing.assert_allclose(data, expected[rows, columns], rtol=1e-14)  # rtol: order of a sum of 9


def test_murmur_is_the_published_function_on_every_tail_length():
    from sklearn.utils import murmurhash3_32

    rng = np.random.default_rng(0)
    words = [rng.bytes(n) for n in range(40)] + [b"", b"\x00", b"\xff" * 7]
    out = np.empty(len(words), np.int32)
    murmur3(np.frombuffer(b"".join(words), np.uint8), np.cumsum([len(w) for w in words]), out)
    assert out.tolist() == [murmurhash3_32(w, seed=0) for w in words]


@pytest.mark.parametrize(
    ("options", "message"), [({"n_features": 0}, "n_features"), ({"norm": "max"}, "norm"), ({"dtype": int}, "dtype")]
)
def test_hashing_names_the_option_that_cannot_be(options, message):
    with pytest.raises(ValueError, match=message):
        HashingVectorizer(**options).transform(["a text"])


def test_hashing_nothing_is_an_error_and_an_empty_document_an_empty_row():
    with pytest.raises(ValueError, match="at least one document"):
        HashingVectorizer().transform([])
    assert HashingVectorizer().transform(["", "."]).nnz == 0
