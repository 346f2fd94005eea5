"""Spans of tags by hand; seqeval stands beside them among the peers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from breadth.metrics import read_spans, span_f1_score, span_precision_score, span_recall_score

few = settings(max_examples=40, deadline=None)


@pytest.mark.parametrize(
    ("tags", "conll", "iob2"),
    [
        ("O O", [], []),
        ("B-A I-A O B-B", [("A", 0, 1), ("B", 3, 3)], [("A", 0, 1), ("B", 3, 3)]),
        ("B-A B-A", [("A", 0, 0), ("A", 1, 1)], [("A", 0, 0), ("A", 1, 1)]),
        ("I-A I-A O", [("A", 0, 1)], []),
        ("B-A I-B I-B", [("A", 0, 0), ("B", 1, 2)], [("A", 0, 0)]),
        ("O I-A B-A", [("A", 1, 1), ("A", 2, 2)], [("A", 2, 2)]),
        ("B I O", [("_", 0, 1)], [("_", 0, 1)]),
        ("B-A-x I-A-x", [("A-x", 0, 1)], [("A-x", 0, 1)]),
    ],
)
def test_tags_are_read_carelessly_or_strictly(tags, conll, iob2):
    assert read_spans(tags.split()) == conll
    assert read_spans(tags.split(), mode="iob2") == iob2


def test_marked_ends_are_read():
    tags = ["B-A", "I-A", "E-A", "S-B", "I-A", "E-A", "B-A", "O", "B-A", "E-B"]
    assert read_spans(tags, mode="iobes") == [("A", 0, 2), ("B", 3, 3)]
    assert read_spans(tags) == [("A", 0, 2), ("B", 3, 3), ("A", 4, 5), ("A", 6, 6), ("A", 8, 8), ("B", 9, 9)]
    assert read_spans([]) == []


def test_only_whole_spans_count():
    true = [["B-A", "I-A", "O", "B-B"], ["O"]]
    pred = [["B-A", "O", "O", "B-B"], ["B-A"]]
    assert span_precision_score(true, pred) == 1 / 3
    assert span_recall_score(true, pred) == 1 / 2
    assert span_f1_score(true, pred) == pytest.approx(0.4)
    np.testing.assert_allclose(span_f1_score(true, pred, average=None), [0, 1])
    assert span_f1_score(true, pred, average="macro") == 0.5
    with pytest.warns(UserWarning, match="precision of spans is not defined"):
        assert span_precision_score([["O"]], [["O"]]) == 0
    assert span_f1_score([["O"]], [["O"]], zero_division=1) == 1


sentences = st.lists(
    st.lists(
        st.tuples(*[st.sampled_from(["O", "B-A", "I-A", "B-B", "I-B", "E-A", "S-B"])] * 2), min_size=1, max_size=9
    ),
    min_size=1,
    max_size=4,
)


@few
@given(sentences)
def test_bounds_and_symmetries(rows):
    true, pred = ([[pair[side] for pair in row] for row in rows] for side in (0, 1))
    how = {"zero_division": 0}
    assert span_precision_score(true, pred, **how) == span_recall_score(pred, true, **how)
    for average in ("micro", "macro", "weighted"):
        assert 0 <= span_f1_score(true, pred, average=average, **how) <= 1
    assert span_f1_score(true, pred, **how) == span_f1_score(pred, true, **how)
    assert span_f1_score(true, true, zero_division=1) == 1


@pytest.mark.parametrize(
    ("true", "pred", "message"),
    [
        ([], [], "y_true is empty"),
        ([["O"]], [], "y_pred has 0 sentences"),
        ([["O"]], [["O", "O"]], "sentence 0 has 1 tags in y_true and 2"),
        (["O"], ["O"], "must be sentences of tags"),
        ([["X-A"]], [["O"]], "a tag is 'O' or one of B, I, O, E, S"),
        ([["BA"]], [["O"]], "got 'BA'"),
        ([[None]], [["O"]], "got None"),
    ],
)
def test_bad_tags_are_named(true, pred, message):
    with pytest.raises(ValueError, match=message):
        span_f1_score(true, pred)
    with pytest.raises(ValueError, match="one of B, I, O, a hyphen"):
        read_spans(["E-A"], mode="iob2")
