"""ROUGE on the examples of its paper, beside subsequences and pairs counted one by one, and on texts without words."""

from __future__ import annotations

from collections import Counter
from functools import cache
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from breadth.metrics import rouge

few = settings(max_examples=40, deadline=None)
WORDS = st.lists(st.sampled_from("abcd"), max_size=9)
ALL = ("rouge1", "rouge2", "rougeL", "rougeLsum", "rougeS", "rougeS1", "rougeSU", "rougeSU4")
REFERENCE = "police killed the gunman"


def lcs(a, b):
    @cache
    def length(i, j):
        if i == len(a) or j == len(b):
            return 0
        return 1 + length(i + 1, j + 1) if a[i] == b[j] else max(length(i + 1, j), length(i, j + 1))

    return length(0, 0)


def pairs(words, gap):
    return Counter((words[i], words[j]) for i, j in combinations(range(len(words)), 2) if j - i - 1 <= gap)


def test_the_papers_examples():
    """Lin 2004, sections 3.1 and 5, F with equal weights."""
    kill, gunman, reversed_ = "police kill the gunman", "the gunman kill police", "the gunman police killed"
    found = rouge([kill, gunman, reversed_], [REFERENCE] * 3, types=["rouge2", "rougeL", "rougeS"])
    assert_allclose(found["rougeL"].f.segments, [3 / 4, 2 / 4, 2 / 4])
    assert_allclose(found["rougeS"].f.segments, [3 / 6, 1 / 6, 2 / 6])
    assert_allclose(found["rouge2"].f.segments, [1 / 3, 1 / 3, 2 / 3])


def test_rouge_lsum_takes_the_union_over_lines():
    """Lin 2004, section 3.2: w1 w2 w3 w4 w5 beside w1 w2 w6 w7 w8 and w1 w3 w8 w9 w5 has w1 w2 w3 w5."""
    found = rouge(["w1 w2 w6 w7 w8\nw1 w3 w8 w9 w5"], ["w1 w2 w3 w4 w5"], types=["rougeLsum"])
    assert_allclose(found["rougeLsum"].recall.value, 4 / 5)
    assert_allclose(found["rougeLsum"].precision.value, 4 / 10)
    one_line, two_lines = (rouge([f"b{mark}a"], ["a b"], types=["rougeL", "rougeLsum"]) for mark in (" ", "\n"))
    assert (one_line["rougeL"].f.value, two_lines["rougeL"].f.value) == (0.5, 0.5)
    assert (one_line["rougeLsum"].f.value, two_lines["rougeLsum"].f.value) == (0.5, 1.0)


@few
@given(WORDS, WORDS, st.integers(0, 4))
def test_common_units_are_those_counted_one_by_one(hypothesis, reference, gap):
    types = ["rougeL", "rougeS", f"rougeS{gap}", f"rougeSU{gap}"]
    found = rouge([" ".join(hypothesis)], [" ".join(reference)], types=types)
    alone = (Counter(hypothesis), Counter(reference))
    for name, reach in ((types[1], 99), (types[2], gap), (types[3], gap)):
        ours, theirs = pairs(hypothesis, reach), pairs(reference, reach)
        n = [(ours & theirs).total(), ours.total(), theirs.total()]
        if name == types[3]:
            n = [n[0] + (alone[0] & alone[1]).total(), n[1] + len(hypothesis), n[2] + len(reference)]
        assert_allclose(found[name].precision.value, n[0] / max(n[1], 1), rtol=1e-14)
        assert_allclose(found[name].recall.value, n[0] / max(n[2], 1), rtol=1e-14)
    common = lcs(hypothesis, reference)
    assert_allclose(found["rougeL"].precision.value, common / max(len(hypothesis), 1), rtol=1e-14)
    assert_allclose(found["rougeL"].recall.value, common / max(len(reference), 1), rtol=1e-14)


@few
@given(
    st.lists(
        st.tuples(st.text("abé.\n 漢A1", max_size=12), st.text("abé.\n 漢A1", max_size=12)), min_size=1, max_size=3
    )
)
def test_scores_stay_in_bounds_and_swapping_the_texts_swaps_precision_and_recall(segments):
    hypotheses, references = [s[0] for s in segments], [s[1] for s in segments]
    found, turned = rouge(hypotheses, references, types=ALL), rouge(references, hypotheses, types=ALL)
    for name in ALL:
        assert all(0 <= part.value <= 1 for part in found[name])
        if name != "rougeLsum":  # whose lines take from all lines of the other
            assert_allclose(found[name].precision.segments, turned[name].recall.segments, rtol=1e-14)
    same = rouge(hypotheses, [[h, r] for h, r in segments], types=["rouge1", "rougeL", "rougeLsum"])
    for score in same.values():
        full = [float(any(c in "ab1A" for c in h)) for h in hypotheses]
        assert score.f.segments.tolist() == full


def test_texts_without_words_score_0():
    for hypothesis, reference in (("", ""), ("", "a"), ("a", ""), ("漢字", "漢字"), ("🙂!", "🙂!"), ("\n\n", "\n")):
        for score in rouge([hypothesis], [reference], types=ALL).values():
            assert [part.value for part in score] == [0, 0, 0]


def test_stems_are_compared_of_words_of_more_than_three_letters():
    plain, stemmed = (
        rouge(["cats killing crying"], ["cat killed cry"], types=["rouge1"], stemmer=s) for s in (False, True)
    )
    assert plain["rouge1"].f.value == 0
    assert stemmed["rouge1"].f.value == pytest.approx(2 / 3)  # cry would be cri
    assert "stem:porter" in stemmed["rouge1"].f.signature


def test_more_text_raises_recall_and_lowers_f():
    short = rouge(["police killed"], [REFERENCE])["rouge1"]
    long = rouge(["police killed the gunman and many other things were said that nobody had asked for"], [REFERENCE])
    assert long["rouge1"].recall.value > short.recall.value
    assert long["rouge1"].f.value < short.f.value


@pytest.mark.parametrize("name", ["rouge", "rouge0", "rougeW", "rouge10", "ROUGE1", "rougeS-1"])
def test_unknown_types_are_refused_by_name(name):
    with pytest.raises(ValueError, match=r"types must be rouge1 to rouge9, .* got"):
        rouge(["a"], ["a"], types=[name])
