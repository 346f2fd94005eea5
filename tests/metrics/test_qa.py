"""Exact match and F of words, by their definition, on answers that normalising empties."""

from __future__ import annotations

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from breadth.metrics import exact_match, normalize_answer, token_f1

few = settings(max_examples=60, deadline=None)
ANSWER = st.text(alphabet="aTthe n.,-é漢 \n", max_size=12)


def normalized(text):
    """Step by step, as the task's authors describe it."""
    text = "".join(c for c in text.lower() if c not in string.punctuation)
    spaced = "".join(c if c.isalnum() or c == "_" else f" {c} " for c in text)
    words = [word for word in spaced.split() if word not in ("a", "an", "the")]
    return words


def counted(hypothesis, reference):
    ours, theirs = normalized(hypothesis), normalized(reference)
    if not ours or not theirs:
        return float(ours == theirs)
    left, common = list(theirs), 0
    for word in ours:
        if word in left:
            left.remove(word)
            common += 1
    precision, recall = common / len(ours), common / len(theirs)
    return 2 * precision * recall / (precision + recall) if common else 0.0


@few
@given(ANSWER, st.lists(ANSWER, min_size=1, max_size=3))
def test_f_is_that_of_words_counted_one_by_one_with_the_best_answer(hypothesis, references):
    found = token_f1([hypothesis], [references])
    assert_allclose(found.value, max(counted(hypothesis, r) for r in references), rtol=1e-12)
    assert exact_match([hypothesis], [references]).value == float(
        any(normalized(hypothesis) == normalized(r) for r in references)
    )
    assert exact_match([hypothesis], [references]).value <= found.value
    assert token_f1([hypothesis], [hypothesis]).value == 1


def test_articles_punctuation_and_case_do_not_count():
    assert normalize_answer(" The  Eiffel-Tower,\nParis! ") == "eiffeltower paris"
    assert normalize_answer("a an the . ") == ""
    assert normalize_answer("theatre anthem") == "theatre anthem"
    assert exact_match(["The cat."], ["cat"]).value == 1
    assert exact_match(["The cat."], ["cat"], normalize=str).value == 0
    assert_allclose(token_f1(["the big cat"], ["a cat sat"]).value, 2 / 4)


def test_no_answer_is_right_where_there_is_none():
    assert token_f1(["", "the", "x", ""], ["", "", "", "x"]).segments.tolist() == [1, 1, 0, 0]
    assert exact_match(["", "x"], [["x", ""], [""]]).segments.tolist() == [1, 0]


def test_repeated_words_count_as_often_as_both_have_them():
    assert_allclose(token_f1(["cat cat cat"], ["cat"]).value, 2 * (1 / 3) / (1 / 3 + 1))


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="hypotheses must hold at least one text"):
        token_f1([], [])
    with pytest.raises(TypeError, match=r"hypotheses\[0\] must be a string, got 3"):
        exact_match([3], ["3"])
