"""BLEU in closed form, beside n-grams counted one by one, and where texts are empty, long or alike."""

from __future__ import annotations

import math
import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from breadth import __version__
from breadth.metrics import bleu, chrf

few = settings(max_examples=40, deadline=None)
TEXT = st.text(alphabet="ab .,1é漢🙂\u0301", max_size=12)
SEGMENTS = st.lists(st.tuples(TEXT, st.lists(TEXT, min_size=1, max_size=3)), min_size=1, max_size=4)


def grams(words, n):
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def counted(hypotheses, references, order=4):
    """BLEU without smoothing from plain counters."""
    matches, totals, c, r = [0] * order, [0] * order, 0, 0
    for text, group in zip(hypotheses, references, strict=True):
        words, others = text.split(), [other.split() for other in group]
        c += len(words)
        r += min((abs(len(words) - len(o)), len(o)) for o in others)[1]
        for n in range(1, order + 1):
            most = Counter()
            for other in others:
                most |= grams(other, n)
            matches[n - 1] += (grams(words, n) & most).total()
            totals[n - 1] += max(len(words) - n + 1, 0)
    if not all(matches):
        return 0.0, matches
    penalty = 1.0 if c >= r else math.exp(1 - r / c)
    return 100 * penalty * math.exp(np.mean([math.log(m / t) for m, t in zip(matches, totals, strict=True)])), matches


def test_an_n_gram_matches_as_often_as_one_reference_has_it():
    """The example of Papineni et al., section 2.1: a precision that is not clipped would be 7/7."""
    the = "the the the the the the the"
    found = bleu([the], [["the cat is on the mat", "there is a cat on the mat"]], max_ngram_order=1)
    assert (found.parts["counts"], found.parts["totals"]) == ([2], [7])
    assert_allclose(found.value, 100 * 2 / 7, rtol=1e-14)
    # two references with one "the" each are not one with two
    assert bleu([the], [["the", "the x"]], max_ngram_order=1).parts["counts"] == [1]


def test_what_is_too_short_pays_and_what_is_too_long_does_not_gain():
    reference = "a b c d e f g h"
    short = bleu(["a b c d"], [reference])
    assert_allclose(short.value, 100 * math.exp(1 - 8 / 4), rtol=1e-14)
    assert short.parts["bp"] == math.exp(-1)
    long = bleu([f"{reference} x x x x x x x x"], [reference], max_ngram_order=1)
    assert long.parts["bp"] == 1
    assert_allclose(long.value, 50, rtol=1e-14)
    closest = bleu(["a b c"], [["a b", "a b c d", "a b c d e f"]])
    assert closest.parts["reference_length"] == 2  # of two that are as close, the shorter


@few
@given(SEGMENTS, st.integers(1, 5))
def test_counts_are_those_of_plain_counters(segments, order):
    hypotheses, references = [s[0] for s in segments], [s[1] for s in segments]
    found = bleu(hypotheses, references, tokenize="none", smooth_method="none", max_ngram_order=order)
    value, matches = counted(hypotheses, references, order)
    assert found.parts["counts"] == matches
    assert_allclose(found.value, value, rtol=1e-12)


@few
@given(SEGMENTS, st.sampled_from(["13a", "zh", "char", "none"]), st.sampled_from(["exp", "floor", "add-k", "none"]))
def test_scores_stay_in_bounds_and_do_not_know_the_order_of_segments_or_references(segments, tokenize, smooth):
    hypotheses, references = [s[0] for s in segments], [s[1] for s in segments]
    how = {"tokenize": tokenize, "smooth_method": smooth}
    found = bleu(hypotheses, references, **how)
    assert 0 <= found.value <= 100 * (1 + 1e-12)
    assert ((found.segments >= 0) & (found.segments <= 100 * (1 + 1e-12))).all()
    turned = bleu(hypotheses[::-1], [group[::-1] for group in references[::-1]], **how)
    assert_allclose(turned.value, found.value, rtol=1e-12)
    same = bleu(hypotheses, [[h, *group] for h, group in segments], effective_order=True, **how)
    assert_allclose(same.value, 100 if same.parts["totals"][0] else 0, rtol=1e-12)


@pytest.mark.parametrize("metric", [bleu, chrf])
def test_empty_texts_score_0_beside_others_that_are_not(metric):
    assert metric([""], ["a b c d"]).value == 0
    assert metric(["a b c d"], [""]).value == 0
    assert metric([""], [""]).value == 0
    assert_allclose(metric(["", "a b c d e"], ["", "a b c d e"]).value, 100, rtol=1e-14)
    assert_allclose(metric(["", "a b c d e"], [["", "x"], ["a b c d e"]]).segments, [0, 100], rtol=1e-14)


def test_the_order_of_words_and_repetition_are_seen():
    reference = "one two three four five six seven eight"
    ordered = bleu([reference], [reference]).value
    shuffled = bleu(["eight six two four one seven three five"], [reference]).value
    repeated = bleu(["one two three four one two three four"], [reference]).value
    assert ordered == pytest.approx(100)
    assert shuffled < repeated < ordered


def test_unseen_orders_are_smoothed_as_each_method_says():
    hypothesis, reference = "a b x y", "a b c d"  # 2/4, 1/3, 0/2, 0/1
    expected = {
        "exp": [1 / 2, 1 / 3, 1 / 2 / 2, 1 / 4],
        "floor": [1 / 2, 1 / 3, 0.1 / 2, 0.1],
        "add-k": [1 / 2, 2 / 4, 1 / 3, 1 / 2],
        "none": [1 / 2, 1 / 3, 0, 0],
    }
    for method, precisions in expected.items():
        found = bleu([hypothesis], [reference], smooth_method=method)
        assert_allclose(found.parts["precisions"], 100 * np.array(precisions), rtol=1e-14)
        assert_allclose(found.value, 100 * np.prod(precisions) ** 0.25, rtol=1e-12)
    # two words have no trigram: without effective_order that is no match
    assert bleu(["a b"], ["a b"], smooth_method="exp").value == 0
    assert bleu(["a b"], ["a b"], effective_order=True).value == pytest.approx(100)


def test_its_signature_says_how_to_compute_it_again():
    line = bleu(["a"], [["a", "b"]], lowercase=True, smooth_method="floor", tokenize="intl").signature
    assert line == f"bleu|nrefs:2|case:lc|eff:no|tok:intl|smooth:floor[0.10]|version:{__version__}"
    assert "order:2" in bleu(["a"], ["a"], max_ngram_order=2).signature
    assert "tok:split" in bleu(["a"], ["a"], tokenize=str.split).signature


@pytest.mark.parametrize("metric", [bleu, chrf])
@pytest.mark.parametrize(
    ("hypotheses", "references", "error", "message"),
    [
        ([], [], ValueError, "hypotheses must hold at least one text, got none"),
        (["a"], ["a", "b"], ValueError, "references must hold one entry for each of 1 hypotheses.*got 2"),
        (["a"], [[]], ValueError, r"references\[0\] is empty"),
        ("a", ["a"], TypeError, "hypotheses must be a list, one entry a segment, got 'a'"),
        (["a"], "a", TypeError, "references must be a list"),
        (["a", None], ["a", "b"], TypeError, r"hypotheses\[1\] must be a string, got None"),
        (["a"], [["a", None]], TypeError, r"references\[0\] must be a string or a list of strings"),
        ([["a"]], ["a"], TypeError, r"hypotheses\[0\] must be a string"),
    ],
)
def test_texts_that_are_none_are_refused_by_name(metric, hypotheses, references, error, message):
    with pytest.raises(error, match=message):
        metric(hypotheses, references)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"smooth_method": "linear"}, "smooth_method must be one of 'exp', 'floor', 'add-k', 'none', got 'linear'"),
        ({"smooth_value": 1.0}, "smooth_value belongs to 'floor' and 'add-k'"),
        ({"smooth_method": "floor", "smooth_value": 0}, "smooth_value must be > 0, got 0"),
        ({"smooth_method": "add-k", "smooth_value": math.nan}, "smooth_value must be > 0, got nan"),
        ({"max_ngram_order": 0}, "max_ngram_order must be an integer >= 1, got 0"),
        ({"max_ngram_order": 2.0}, "max_ngram_order must be an integer >= 1, got 2.0"),
        ({"tokenize": "mecab"}, "tokenize must be a function or one of"),
    ],
)
def test_arguments_out_of_range_are_refused_by_name(argument, message):
    with pytest.raises(ValueError, match=message):
        bleu(["a"], ["a"], **argument)


def test_long_texts_of_few_words_are_counted_exactly():
    draw = random.Random(0)
    hypothesis, reference = (" ".join(draw.choices("ab", k=5000)) for _ in range(2))
    found = bleu([hypothesis], [reference], tokenize="none", smooth_method="none", max_ngram_order=9)
    assert found.parts["counts"] == counted([hypothesis], [[reference]], 9)[1]
