"""Scores of labelled spans: named entities and chunks written as one tag a token, "B-PER I-PER O"."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from breadth.metrics import checks
from breadth.metrics.checks import ZeroDivision
from breadth.metrics.counts import Average, mean_ratio

Mode = Literal["conll", "iob2", "iobes"]
Tags = Sequence[Sequence[str]]


class Span(NamedTuple):
    """A labelled piece of a sentence: tokens first to last, both included."""

    label: str
    first: int
    last: int


def read_spans(tags: Sequence[str], *, mode: Mode = "conll") -> list[Span]:
    """The spans that a sentence's tags write.

    A tag is "O" or a position and a label, "B-PER": B begins a span and I goes on with it; E ends one, S is one of a
    single token. "conll" reads what taggers write carelessly as conlleval does: an I or E without a beginning, or with
    another label than the tag before, begins a span. "iob2" takes only B and the I of the same label that follow it,
    "iobes" only B, I, ..., E of one label and S.

    Args:
        tags: one a token.
        mode: how strictly they are read.

    Returns:
        Spans in their order.

    Raises:
        ValueError: if a tag has no position that the mode knows.

    Cost: O(tokens).
    References: Tjong Kim Sang & Buchholz 2000, "Introduction to the CoNLL-2000 shared task: chunking" (conlleval).
    Peer: seqeval.metrics.sequence_labeling.get_entities, and its IOB2 and IOBES in mode "strict", equal (A).
    In production: write IOB2 and read it strictly; "conll" forgives a tagger's slips, and papers mostly do.
    """
    checks.one_of("mode", mode, ("conll", "iob2", "iobes"))
    found: list[Span] = []
    is_open, kind, label, first = False, "O", "", 0  # the span that is open, and the position of its last tag
    for i, tag in enumerate((*tags, "O")):
        now, this = _split(tag, mode)
        goes_on = is_open and now in "IE" and this == label and kind in "BI"
        if is_open and not goes_on:
            if mode != "iobes" or kind in "ES":
                found.append(Span(label, first, i - 1))
            is_open = False
        if now in "BS" or (now in "IE" and not goes_on and mode == "conll"):
            is_open, first = True, i
        kind, label = now, this
    return found


def _split(tag: str, mode: Mode) -> tuple[str, str]:
    known = "BIO" if mode == "iob2" else "BIOES"
    if not isinstance(tag, str) or not tag or tag[0] not in known or (len(tag) > 1 and tag[1] != "-"):
        raise ValueError(f"a tag is 'O' or one of {', '.join(known)}, a hyphen and a label, got {tag!r}")
    return tag[0], tag[2:] or "_"


def span_precision_score(
    y_true: Tags,
    y_pred: Tags,
    *,
    average: Average = "micro",
    mode: Mode = "conll",
    zero_division: ZeroDivision = "warn",
) -> Any:
    """Share of predicted spans that are true, label, beginning and end alike.

    Args:
        y_true, y_pred: sentences of tags, "O" or "B-PER" and so on; each pair of equal length.
        average: "micro" over all spans, "macro" over labels, "weighted" by true spans, None for one score a label,
            sorted.
        mode: "conll", "iob2" or "iobes", see `read_spans`.
        zero_division: the score of a label without predicted spans: 0, 1, NaN, "warn".

    Returns:
        Float in [0, 1]; array (labels,) for average=None.

    Raises:
        ValueError: if sentences or their tags differ in number, there are none, or a tag is unknown.

    Cost: O(tokens).
    References: Tjong Kim Sang & De Meulder 2003, "Introduction to the CoNLL-2003 shared task", section 2.2.
    Peer: seqeval.metrics.precision_score, 1e-12 (A).
    In production: as `span_f1_score`.
    """
    tp, predicted, _, actual = _counted(y_true, y_pred, average, mode)
    return mean_ratio(tp, predicted, average, actual, zero_division, "precision of spans")


def span_recall_score(
    y_true: Tags,
    y_pred: Tags,
    *,
    average: Average = "micro",
    mode: Mode = "conll",
    zero_division: ZeroDivision = "warn",
) -> Any:
    """Share of true spans that are predicted, label, beginning and end alike.

    Args:
        y_true, y_pred, average, mode, zero_division: as for `span_precision_score`.

    Returns:
        Float in [0, 1]; array (labels,) for average=None.

    Raises:
        ValueError: as `span_precision_score`.

    Cost: O(tokens).
    References: Tjong Kim Sang & De Meulder 2003, section 2.2.
    Peer: seqeval.metrics.recall_score, 1e-12 (A).
    In production: as `span_f1_score`.
    """
    tp, _, true, actual = _counted(y_true, y_pred, average, mode)
    return mean_ratio(tp, true, average, actual, zero_division, "recall of spans")


def span_f1_score(
    y_true: Tags,
    y_pred: Tags,
    *,
    average: Average = "micro",
    mode: Mode = "conll",
    zero_division: ZeroDivision = "warn",
) -> Any:
    """Harmonic mean of the precision and recall of spans: 2 TP / (predicted + true).

    Args:
        y_true, y_pred, average, mode, zero_division: as for `span_precision_score`.

    Returns:
        Float in [0, 1]; array (labels,) for average=None.

    Raises:
        ValueError: as `span_precision_score`.

    Cost: O(tokens).
    References: Tjong Kim Sang & De Meulder 2003, section 2.2.
    Peer: seqeval.metrics.f1_score, 1e-12 (A).
    In production: the score of named-entity recognition; accuracy of tags flatters, for most tokens are "O".
    """
    tp, predicted, true, actual = _counted(y_true, y_pred, average, mode)
    return mean_ratio(2 * tp, predicted + true, average, actual, zero_division, "F1 of spans")


def _counted(y_true: Tags, y_pred: Tags, average: Average, mode: Mode) -> tuple[Any, Any, Any, Any]:
    """Spans that both have, predicted and true, per label or summed; and the labels' weights in a mean."""
    checks.one_of("average", average, ("micro", "macro", "weighted", None))
    if len(y_true) == 0:
        raise ValueError("y_true is empty; a score needs at least one sentence")
    if len(y_true) != len(y_pred):
        raise ValueError(f"y_pred has {len(y_pred)} sentences and y_true {len(y_true)}; they must be alike")
    if any(isinstance(s, str) for s in (y_true[0], y_pred[0])):
        raise ValueError("y_true and y_pred must be sentences of tags: [['B-PER', 'O']], not ['B-PER', 'O']")
    for i, (true, pred) in enumerate(zip(y_true, y_pred, strict=True)):
        if len(true) != len(pred):
            raise ValueError(f"sentence {i} has {len(true)} tags in y_true and {len(pred)} in y_pred")
    both, predicted, actual = Counter(), Counter(), Counter()
    for true, pred in zip(y_true, y_pred, strict=True):
        wanted, given = set(read_spans(true, mode=mode)), set(read_spans(pred, mode=mode))
        _count(both, wanted & given)
        _count(predicted, given)
        _count(actual, wanted)
    labels = sorted(predicted.keys() | actual.keys()) or ["_"]
    rows = [np.array([c[label] for label in labels], np.float64) for c in (both, predicted, actual)]
    weight = rows[2] if average == "weighted" else None
    if average == "micro":
        rows = [row.sum(keepdims=True) for row in rows]
    return rows[0], rows[1], rows[2], weight


def _count(counter: Counter, found: Iterable[Span]) -> None:
    counter.update(span.label for span in found)
