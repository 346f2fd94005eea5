"""BERTScore and cosine relevance by their published formulas, term by term, with vectors made for the purpose."""

from __future__ import annotations

import math
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.spatial.distance import cosine

from breadth.metrics import bertscore, cosine_relevance

few = settings(max_examples=30, deadline=None)
WORDS = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=6)


def number(word):
    return zlib.crc32(word.encode())


def vector(word, width=5):
    return np.random.default_rng(number(word)).normal(size=width)


def vectors(texts):
    return [np.array([vector(w) for w in text.split()]).reshape(-1, 5) for text in texts]


def numbered(texts):
    """With a special token 0 before each text."""
    return [([0, *map(number, text.split())], np.vstack([np.ones(5), *map(vector, text.split())])) for text in texts]


def by_hand(hypothesis, reference, weight=lambda word: 1.0):
    def cos(a, b):
        return 1 - cosine(vector(a), vector(b))

    def side(words, others):
        total = sum(weight(w) for w in words)
        return sum(weight(w) * max(cos(w, o) for o in others) for w in words) / total

    p, r = side(hypothesis, reference), side(reference, hypothesis)
    return p, r, 2 * p * r / (p + r)


@few
@given(WORDS, WORDS)
def test_each_token_is_matched_with_its_nearest(hypothesis, reference):
    found = bertscore([" ".join(hypothesis)], [" ".join(reference)], vectors)
    assert_allclose([part.value for part in found], by_hand(hypothesis, reference), rtol=1e-10)
    assert -1 - 1e-12 <= found.precision.value <= 1 + 1e-12
    turned = bertscore([" ".join(reference)], [" ".join(hypothesis)], vectors)
    assert_allclose([turned.recall.value, turned.f.value], [found.precision.value, found.f.value], rtol=1e-10)
    same = bertscore([" ".join(hypothesis)], [" ".join(hypothesis)], vectors)
    assert_allclose([part.value for part in same], 1, rtol=1e-12)


def test_idf_weighs_tokens_by_the_references_that_hold_them():
    references = ["a b", "a c", "a d a"]
    hypotheses = ["a b e", "c", "d d"]
    frequency = {"a": 3, "b": 1, "c": 1, "d": 1}

    def idf(word):
        return math.log(4 / (frequency.get(word, 0) + 1))

    found = bertscore(hypotheses, references, numbered, idf=True, special_ids=[0], name="made")
    for i in (0, 2):
        words, others = hypotheses[i].split(), references[i].split()
        expected = []
        for side, other in ((words, others), (others, words)):
            near = [
                max(*(1 - cosine(vector(w), vector(o)) for o in other), 1 - cosine(vector(w), np.ones(5))) for w in side
            ]
            expected.append(np.average(near, weights=[idf(w) for w in side]))
        assert_allclose([found.precision.segments[i], found.recall.segments[i]], expected, rtol=1e-10)
    assert "embed:made|idf:yes" in found.f.signature


def test_special_tokens_have_no_weight_but_may_be_matched_with():
    with_special = bertscore(["a"], ["b"], numbered, special_ids=[0])
    nearest = max(1 - cosine(vector("a"), vector("b")), 1 - cosine(vector("a"), np.ones(5)))
    assert_allclose(with_special.precision.value, nearest, rtol=1e-12)
    assert bertscore(["a"], ["b"], numbered).precision.value != with_special.precision.value


def test_rescaling_takes_the_baseline_to_0_and_1_to_1():
    plain = bertscore(["a b"], ["b c"], vectors)
    floor = (0.3, -0.2, 0.5)
    found = bertscore(["a b"], ["b c"], vectors, baseline=floor)
    for raw, part, b in zip(plain, found, floor, strict=True):
        assert_allclose(part.value, (raw.value - b) / (1 - b), rtol=1e-12)
    assert_allclose([part.value for part in bertscore(["a"], ["a"], vectors, baseline=floor)], 1, rtol=1e-12)


def test_of_several_references_each_of_the_three_takes_its_best():
    groups = [["b c d e f", "a"], ["a b"]]
    found = bertscore(["a b", "c"], groups, vectors)
    single = [bertscore(["a b"], [reference], vectors) for reference in groups[0]]
    for i in range(3):
        assert_allclose(found[i].segments[0], max(score[i].value for score in single), rtol=1e-12)


def test_each_distinct_text_is_embedded_once_in_one_call():
    seen = []

    def embed(texts):
        seen.append(texts)
        return vectors(texts)

    bertscore(["a", "b", "a"], [["b", "c"], ["a"], ["c"]], embed)
    assert seen == [["a", "b", "c"]]


def test_texts_without_tokens_score_0():
    for hypothesis, reference in (("", "a"), ("a", ""), ("", "")):
        found = bertscore([hypothesis], [reference], vectors)
        assert [part.value for part in found] == [0, 0, 0]
        found = bertscore([hypothesis], [reference], numbered, special_ids=[0])
        assert [part.value for part in found] == [0, 0, 0]


@pytest.mark.parametrize(
    ("embed", "how", "error", "message"),
    [
        (lambda texts: vectors(texts)[1:], {}, ValueError, "embed must return one entry for each of 2 texts, got 1"),
        (lambda texts: [np.zeros((1, 3))] * 2, {}, ValueError, "vectors of 'a' must be finite and other than 0"),
        (lambda texts: [np.full((1, 3), np.nan)] * 2, {}, ValueError, "must be finite and other than 0"),
        (lambda texts: [np.ones((1, 3)), np.ones((1, 4))], {}, ValueError, r"shape \(tokens, 3\), got \(1, 4\) of 'b'"),
        (lambda texts: [np.ones(3)] * 2, {}, ValueError, r"vectors must have shape \(tokens, dimensions\), got \(3,\)"),
        (lambda texts: [([1, 2], np.ones((1, 3)))] * 2, {}, ValueError, "a vector for each id, got 2 and 1 of 'a'"),
        (vectors, {"idf": True}, TypeError, r"need embed to return pairs \(ids, vectors\)"),
        (vectors, {"special_ids": [1]}, TypeError, r"need embed to return pairs \(ids, vectors\)"),
        (vectors, {"baseline": (0.1, 0.2)}, ValueError, "baseline must hold three numbers"),
        (vectors, {"baseline": (0.1, 0.2, 1.0)}, ValueError, "baseline must hold three numbers"),
        (
            lambda texts: [([1], np.ones((1, 3)))] * 2,
            {"idf": True},
            ValueError,
            "all tokens of 'a' are in all 1 references",
        ),
    ],
)
def test_what_embed_may_not_return_is_refused(embed, how, error, message):
    with pytest.raises(error, match=message):
        bertscore(["a"], ["b"], embed, **how)


def means(texts):
    return np.array([np.sum([vector(w) for w in text.split()], axis=0) for text in texts])


def test_cosine_relevance_is_the_cosine_of_whole_texts():
    found = cosine_relevance(["a b", "c"], [["c d", "a b e"], ["c c c"]], means)
    expected = [max(1 - cosine(*means(["a b", other])) for other in ("c d", "a b e")), 1.0]
    assert_allclose(found.segments, expected, rtol=1e-12)
    assert_allclose(found.value, np.mean(expected), rtol=1e-12)
    assert "embed:means" in found.signature
    with pytest.raises(ValueError, match=r"embed must return shape \(2, dimensions\), got \(2,\)"):
        cosine_relevance(["a"], ["b"], lambda texts: np.ones(len(texts)))
    with pytest.raises(ValueError, match="embed's vectors must be finite and other than 0"):
        cosine_relevance(["a"], ["b"], lambda texts: np.zeros((len(texts), 2)))
