"""chrF in closed form, beside n-grams counted one by one, and on marks, emoji and scripts without spaces."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from breadth.metrics import chrf
from breadth.metrics.words import EDGE, blank_table, cut

few = settings(max_examples=40, deadline=None)
TEXT = st.text(alphabet="ab (),é漢🙂\u0301", max_size=14)
SEGMENTS = st.lists(st.tuples(TEXT, st.lists(TEXT, min_size=1, max_size=3)), min_size=1, max_size=4)


def counted(hypothesis, reference, order=6):
    """Precision and recall by order from plain counters; None where a side has no n-gram."""
    sides = ["".join(text.split()) for text in (hypothesis, reference)]
    found = []
    for n in range(1, order + 1):
        ours, theirs = (Counter(side[i : i + n] for i in range(len(side) - n + 1)) for side in sides)
        common = (ours & theirs).total()
        found.append((common / ours.total(), common / theirs.total()) if ours and theirs else None)
    return found


@few
@given(TEXT, TEXT, st.sampled_from([0.5, 1.0, 2.0]))
def test_one_segment_is_f_of_mean_precision_and_recall(hypothesis, reference, beta):
    orders = [pair for pair in counted(hypothesis, reference) if pair is not None]
    precision, recall = np.mean(orders, axis=0) if orders else (0.0, 0.0)
    expected = 100 * (1 + beta**2) * precision * recall / (beta**2 * precision + recall) if precision else 0.0
    assert_allclose(chrf([hypothesis], [reference], beta=beta).value, expected, rtol=1e-12)


@few
@given(SEGMENTS, st.integers(0, 2), st.booleans())
def test_scores_stay_in_bounds_and_a_better_reference_never_harms(segments, words, eps):
    hypotheses, references = [s[0] for s in segments], [s[1] for s in segments]
    how = {"word_order": words, "eps_smoothing": eps}
    found = chrf(hypotheses, references, **how)
    assert 0 <= found.value <= 100 * (1 + 1e-12)
    turned = chrf(hypotheses[::-1], references[::-1], **how)
    assert_allclose(turned.value, found.value, rtol=1e-12)
    if not eps:
        same = chrf(hypotheses, hypotheses, **how)
        assert_allclose(same.value, 100 if any(h.split() for h in hypotheses) else 0, rtol=1e-12)
        more = chrf(hypotheses, [[*group, h] for h, group in segments], **how)
        assert (more.segments >= np.maximum(found.segments, same.segments) - 1e-9).all()


def test_recall_counts_beta_times_as_much():
    short, long = "abcdef", "abcdefghijkl"
    recall_low, precision_low = chrf([short], [long]), chrf([long], [short])
    assert recall_low.value < precision_low.value
    assert chrf([short], [long], beta=1).value == pytest.approx(chrf([long], [short], beta=1).value)
    assert recall_low.parts["precision"][0] == 1
    assert recall_low.parts["recall"][0] == 0.5


def test_a_letter_and_its_mark_are_two_characters_and_spaces_count_only_when_asked():
    assert chrf(["e\u0301"], ["é"]).value == 0
    assert chrf(["e\u0301"], ["e\u0301"]).value == 100
    assert chrf(["👍🏽"], ["👍"], char_order=1).parts["precision"] == [0.5]
    assert chrf(["ab cd"], ["abcd"]).value == 100
    assert chrf(["ab cd"], ["abcd"], whitespace=True).value < 100
    assert chrf(["AB"], ["ab"], lowercase=True).value == 100


def test_words_lose_one_punctuation_mark_at_their_end_or_else_their_beginning():
    found = cut(["(hi) (hi !! ! hi, don't", "(a"], blank_table(), edge=EDGE)
    spelled = found.strings()
    words = ["(hi", ")", "(", "hi", "!", "!", "!", "hi", ",", "don't", "(", "a"]
    assert [spelled[i] for i in found.ids] == words
    assert found.ends.tolist() == [10, 12]
    assert chrf(["hi!"], ["hi !"], char_order=0, word_order=2).value == 100
    assert "chrF2++|" in chrf(["a"], ["a"], word_order=2).signature


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"char_order": -1}, "char_order must be an integer >= 0, got -1"),
        ({"word_order": 1.5}, "word_order must be an integer >= 0, got 1.5"),
        ({"char_order": 0}, "char_order and word_order are both 0"),
        ({"beta": 0}, "beta must be a number > 0, got 0"),
        ({"beta": float("inf")}, "beta must be a number > 0, got inf"),
    ],
)
def test_arguments_out_of_range_are_refused_by_name(argument, message):
    with pytest.raises(ValueError, match=message):
        chrf(["a"], ["a"], **argument)
