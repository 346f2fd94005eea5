"""BLEU: clipped n-gram precision over a corpus, with a penalty for what is too short."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from numbers import Integral
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from breadth.compilation import announced
from breadth.metrics.overlap_kernels import gram_matches
from breadth.metrics.score import signature
from breadth.metrics.text_score import Floats, TextScore, check_texts, reference_count
from breadth.metrics.words import Tokenize, Words, tokenized, tokenizer_name

Smoothing = Literal["exp", "floor", "add-k", "none"]
_SMOOTH_VALUES: dict[Smoothing, float | None] = {"exp": None, "floor": 0.1, "add-k": 1.0, "none": None}


def bleu(
    hypotheses: Sequence[str],
    references: Sequence[str] | Sequence[Sequence[str]],
    *,
    tokenize: Tokenize = "13a",
    lowercase: bool = False,
    smooth_method: Smoothing = "exp",
    smooth_value: float | None = None,
    max_ngram_order: int = 4,
    effective_order: bool = False,
) -> TextScore:
    """BLEU of a corpus, from 0 to 100: 100 BP exp((1/N) sum_n log p_n).

    p_n = sum over segments of clipped matches / sum over segments of the hypotheses' n-grams. An n-gram matches at
    most as often as in the one reference of its segment that has it most often. BP = 1 if c > r, else exp(1 - r/c),
    with c the hypotheses' words and r, summed over segments, the length of the reference that is closest (of two, the
    shorter).

    Args:
        hypotheses: texts, one a segment, as a reader would see them: not tokenized.
        references: for each segment a text, or a list of texts; segments may have different numbers of them.
        tokenize: "13a", "intl", "zh", "char", "none", or a function from a text to its words; see `words.tokenized`.
        lowercase: compare in lower case.
        smooth_method: what stands for a p_n without a match: "exp", 1/2, 1/4, ... of one match; "floor", smooth_value
            matches; "none", 0, and so is BLEU. "add-k" adds smooth_value to matches and n-grams where n > 1.
        smooth_value: for "floor" (None: 0.1) and "add-k" (None: 1), > 0.
        max_ngram_order: N, >= 1.
        effective_order: leave out orders of which the hypotheses have no n-gram, as for a single sentence.

    Returns:
        TextScore. parts: precisions (100 p_n), bp, hypothesis_length, reference_length, counts (clipped matches) and
        totals of each order. Without any match it is 0. `segments` applies the same formula to each segment.

    Raises:
        ValueError: for no texts, unequal numbers of them, or an argument out of range.
        TypeError: if a text is no string.

    Cost: O(N x words); counts are exact, an n-gram never stands for another.
    Deviations: references are listed by segment, where sacrebleu lists them by stream: `list(zip(*streams))` turns one
        into the other.
    References: Papineni et al. 2002, ACL, section 2 (clipping in 2.1.1, the penalty in 2.2.2); Chen & Cherry 2014,
        methods 1 (floor), 2 (add-k), 3 (exp); Post 2018, arXiv:1804.08771 (signature).
    Peer: sacrebleu.metrics.BLEU, every tokenizer and smoothing, 1e-9 (A).
    In production: state the signature with the score; compare systems by `paired_test`. It does not see meaning: use
        it beside `chrf` and a learned metric.
    """
    texts, lists = check_texts(hypotheses, references)
    if smooth_method not in _SMOOTH_VALUES:
        known = ", ".join(map(repr, _SMOOTH_VALUES))
        raise ValueError(f"smooth_method must be one of {known}, got {smooth_method!r}")
    if smooth_value is None:
        smooth_value = _SMOOTH_VALUES[smooth_method]
    elif _SMOOTH_VALUES[smooth_method] is None:
        raise ValueError(f"smooth_value belongs to 'floor' and 'add-k', but smooth_method is {smooth_method!r}")
    elif not 0 < smooth_value < math.inf:
        raise ValueError(f"smooth_value must be > 0, got {smooth_value!r}")
    if not isinstance(max_ngram_order, Integral) or isinstance(max_ngram_order, bool) or max_ngram_order < 1:
        raise ValueError(f"max_ngram_order must be an integer >= 1, got {max_ngram_order!r}")
    flat = [*texts, *(text for group in lists for text in group)]
    words = tokenized([text.lower() for text in flat] if lowercase else flat, tokenize)
    statistics = _statistics(words, lists, int(max_ngram_order))
    smooth = smooth_method if smooth_value is None else f"{smooth_method}[{smooth_value:.2f}]"
    line = signature(
        "bleu", nrefs=reference_count(lists), case="lc" if lowercase else "mixed",
        eff="yes" if effective_order else "no", tok=tokenizer_name(tokenize), smooth=smooth,
        **({} if max_ngram_order == 4 else {"order": max_ngram_order}),
    )  # fmt: skip
    from_sums = functools.partial(
        bleu_from_sums, smooth_method=smooth_method, smooth_value=smooth_value, effective_order=effective_order
    )
    sums = statistics.sum(0)
    precisions, bp, _ = _precisions(sums, smooth_method, smooth_value)
    order = int(max_ngram_order)
    return TextScore.of(
        statistics, from_sums, line, precisions=precisions.tolist(), bp=float(bp), hypothesis_length=int(sums[0]),
        reference_length=int(sums[1]), counts=sums[2 : 2 + order].astype(int).tolist(),
        totals=sums[2 + order :].astype(int).tolist(),
    )  # fmt: skip


def bleu_from_sums(
    sums: Floats, *, smooth_method: Smoothing = "exp", smooth_value: float | None = None, effective_order: bool = False
) -> Floats:
    """BLEU of each row of sums: hypothesis length, reference length, N clipped matches, N totals.

    Args:
        sums: (..., 2 + 2 N).
        smooth_method, smooth_value, effective_order: as in `bleu`.

    Returns:
        Scores from 0 to 100, (...).
    """
    precisions, bp, orders = _precisions(sums, smooth_method, smooth_value)
    n = precisions.shape[-1]
    used = np.where(effective_order, np.maximum(orders, 1), n)[..., None]
    counted = np.arange(n) < used
    with np.errstate(divide="ignore"):
        logs = np.where(counted, np.log(precisions), 0.0).sum(-1)
    return np.where(sums[..., 2 : 2 + n].any(-1), bp * np.exp(logs / used[..., 0]), 0.0)


def _precisions(
    sums: Floats, smooth_method: Smoothing, smooth_value: float | None
) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """100 p_n, the brevity penalty, and how many orders the hypotheses have n-grams of."""
    n = (sums.shape[-1] - 2) // 2
    c, r, matches, totals = sums[..., 0], sums[..., 1], sums[..., 2 : 2 + n], sums[..., 2 + n :]
    with np.errstate(divide="ignore", invalid="ignore"):
        bp = np.where(c < r, np.where(c > 0, np.exp(1 - r / c), 0.0), 1.0)
    any_match = matches.any(-1, keepdims=True)
    if smooth_method == "add-k":
        added = np.where(np.arange(n) > 0, float(smooth_value or 0), 0.0)
        matches, totals = matches + added, totals + added
    # all orders after one without n-grams are without precision
    real = np.logical_and.accumulate(totals > 0, axis=-1)
    if smooth_method == "exp":
        matches = np.where(matches > 0, matches, 0.5 ** np.cumsum(real & (matches == 0), axis=-1))
    elif smooth_method == "floor":
        matches = np.where(matches > 0, matches, float(smooth_value or 0))
    precisions = np.where(real & any_match, 100 * matches / np.where(real, totals, 1), 0.0)
    return precisions, bp, real.sum(-1)


def _statistics(words: Words, references: list[list[str]], order: int) -> Floats:
    """Length, length of the closest reference, clipped matches and n-grams by order: (segments, 2 + 2 order)."""
    n = len(references)
    counts = np.fromiter(map(len, references), np.int64, n)
    last = n + np.cumsum(counts)
    first = last - counts
    matches = np.empty((n, order), np.int64)
    with announced():
        gram_matches(words.ids, words.ends, np.arange(n), first, last, order, matches)
    lengths = words.lengths
    c, owner = lengths[:n], np.repeat(np.arange(n), counts)
    # the closest reference, and of two the shorter: the least of (distance, length), as one number
    longest = int(lengths.max()) + 1
    closeness = np.abs(lengths[n:] - c[owner]) * longest + lengths[n:]
    closest = np.minimum.reduceat(closeness, first - n) % longest
    totals = np.maximum(c[:, None] - np.arange(order), 0)
    return np.column_stack([c, closest, matches, totals]).astype(np.float64)
