"""METEOR in closed form: its F is no F1, broken order costs, and each stage takes what those before it left."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from breadth.metrics import align_words, meteor, wordnet

few = settings(max_examples=40, deadline=None)
TABLE = {"auto": ["car"], "big": ["large"], "quick": ["fast"]}
WORDS = st.lists(st.sampled_from(["car", "auto", "cars", "big", "the", "é"]), max_size=8)
SENTENCE = "the quick brown fox jumps over the lazy dog"


def scored(hypothesis, reference, **how):
    return meteor([hypothesis], [reference], **{"synonyms": None, "tokenize": "none", **how})


def test_f_mean_weighs_recall_nine_to_one_and_the_penalty_counts_chunks():
    """Banerjee & Lavie 2005: F = 10 P R / (R + 9 P), penalty = 0.5 (chunks / matches)^3."""
    found = scored("the cat sat", "on the mat the cat sat down")
    p, r = 3 / 3, 3 / 7
    assert_allclose(found.parts["f_mean"], 10 * p * r / (r + 9 * p), rtol=1e-14)
    assert abs(found.parts["f_mean"][0] - 2 * p * r / (p + r)) > 0.1  # F1 would be 0.6
    assert (found.parts["chunks"], found.parts["matches"]) == (1, 3)
    assert_allclose(found.value, 10 * p * r / (r + 9 * p) * (1 - 0.5 * (1 / 3) ** 3), rtol=1e-14)
    assert_allclose(scored("the cat sat", "on the mat the cat sat down", alpha=0.5, gamma=0).value, 0.6, rtol=1e-14)


def test_the_same_words_in_another_order_score_less():
    ordered, turned = scored(SENTENCE, SENTENCE), scored(" ".join(SENTENCE.split()[::-1]), SENTENCE)
    assert_allclose(ordered.value, 1 - 0.5 * (1 / 9) ** 3, rtol=1e-14)
    assert turned.parts["matches"] == ordered.parts["matches"] == 9
    assert turned.parts["chunks"] == 9
    assert_allclose(turned.value, 0.5, rtol=1e-14)


def test_each_stage_takes_what_those_before_it_left():
    hypothesis, reference = ["auto", "cars", "car"], ["car", "car", "car"]
    assert align_words(hypothesis, reference, stem=None, synonyms=None) == [(2, 2)]
    assert align_words(hypothesis, reference, synonyms=None) == [(1, 1), (2, 2)]
    assert align_words(hypothesis, reference, synonyms=TABLE) == [(0, 0), (1, 1), (2, 2)]
    assert align_words(hypothesis, reference, synonyms=lambda w: TABLE.get(w, ())) == [(0, 0), (1, 1), (2, 2)]
    assert align_words(["car"], ["auto"], synonyms=TABLE) == []  # the table has it the other way only
    assert align_words(["xa"], ["xb"], stem=lambda w: w[0], synonyms=None) == [(0, 0)]


@few
@given(WORDS, WORDS)
def test_scores_stay_in_bounds_and_an_alignment_uses_each_word_once(hypothesis, reference):
    pairs = align_words(hypothesis, reference, synonyms=TABLE)
    for side in zip(*pairs, strict=True):
        assert len(set(side)) == len(side)
    assert pairs == sorted(pairs)
    one, other = " ".join(hypothesis), " ".join(reference)
    found = scored(one, other, synonyms=TABLE)
    assert 0 <= found.value <= 1
    best = scored(one, [other, one], synonyms=TABLE)
    assert best.value >= found.value
    if hypothesis:
        assert best.value >= 0.5
    assert (
        meteor([one, other], [other, one], synonyms=TABLE).value
        == meteor([other, one], [one, other], synonyms=TABLE).value
    )


def test_texts_without_words_score_0_and_a_corpus_has_the_mean():
    assert [scored(a, b).value for a, b in (("", ""), ("", "a"), ("a", ""), ("a", "b"))] == [0, 0, 0, 0]
    found = meteor(["a b", ""], [["a b", "x"], ["y"]], synonyms=None)
    assert_allclose(found.segments, [1 - 0.5 / 8, 0], rtol=1e-14)
    assert_allclose(found.value, found.segments.mean(), rtol=1e-14)


def test_the_signature_names_stems_synonyms_and_parameters():
    line = scored("a", "a").signature
    assert "tok:none|alpha:0.9|beta:3|gamma:0.5|stem:porter|syn:none" in line
    assert "stem:none|syn:own" in scored("a", "a", stem=None, synonyms=TABLE).signature


def test_without_wordnets_files_it_says_so(monkeypatch):
    for name in ("BREADTH_WORDNET", "WNSEARCHDIR", "WNHOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(wordnet, "_PLACES", ("/absent",))
    with pytest.raises(FileNotFoundError, match="WordNet's files were not found"):
        meteor(["a"], ["a"])


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"alpha": 1.1}, "alpha must be a number from 0 to 1, got 1.1"),
        ({"alpha": float("nan")}, "alpha must be a number from 0 to 1, got nan"),
        ({"gamma": -0.1}, "gamma must be a number from 0 to 1, got -0.1"),
        ({"beta": float("inf")}, "beta must be a number from 0 to inf, got inf"),
        ({"synonyms": "thesaurus"}, "synonyms must be 'wordnet', a table, a function or None, got 'thesaurus'"),
        ({"stem": "snowball"}, "stem must be 'porter', a function or None, got 'snowball'"),
    ],
)
def test_arguments_out_of_range_are_refused_by_name(argument, message):
    with pytest.raises(ValueError, match=message):
        scored("a", "a", **argument)
