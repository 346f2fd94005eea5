"""chrF and chrF++: F score of character n-grams, and of word n-grams beside them."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from numbers import Integral, Real

import numpy as np
from numpy.typing import NDArray

from breadth.compilation import announced
from breadth.metrics.overlap_kernels import gram_matches
from breadth.metrics.score import signature
from breadth.metrics.text_score import Floats, TextScore, check_texts, first_best, reference_count
from breadth.metrics.words import EDGE, blank_table, code_points, cut
from breadth.metrics.words_kernels import SPACE

_EPSILON = 1e-16


def chrf(
    hypotheses: Sequence[str],
    references: Sequence[str] | Sequence[Sequence[str]],
    *,
    char_order: int = 6,
    word_order: int = 0,
    beta: float = 2.0,
    lowercase: bool = False,
    whitespace: bool = False,
    eps_smoothing: bool = False,
) -> TextScore:
    """chrF of a corpus, from 0 to 100: 100 (1 + beta^2) P R / (beta^2 P + R).

    P and R are the means over orders n of clipped matches / n-grams of the hypotheses, and of the references, summed
    over segments. Orders of which either side has no n-gram are left out.

    Args:
        hypotheses: texts, one a segment.
        references: for each segment a text, or a list of texts; a segment counts with the one that its F is best with.
        char_order: longest n-gram of characters, >= 0.
        word_order: longest n-gram of words, >= 0: 2 is chrF++. One punctuation mark is cut off a word's end or else
            its beginning.
        beta: how many times as important recall is as precision, > 0.
        lowercase: compare in lower case.
        whitespace: count spaces among the characters.
        eps_smoothing: the mean of F over all orders, instead of F of the means; an order without n-grams has 1e-16.

    Returns:
        TextScore. parts: precision and recall, each a list by order, characters first (NaN for orders left out).

    Raises:
        ValueError: for no texts, unequal numbers of them, or an argument out of range.
        TypeError: if a text is no string.

    Cost: O(char_order x characters), about 10 ns each; counts are exact.
    Deviations: references are listed by segment, where sacrebleu lists them by stream. A character is a code point: a
        letter and its combining mark are two.
    References: Popović 2015, "chrF", WMT, section 2; Popović 2017, "chrF++", WMT, section 2.
    Peer: sacrebleu.metrics.CHRF, all options, 1e-9 (A).
    In production: use it for languages with rich morphology, and where words are hard to cut; state the signature.
    """
    texts, lists = check_texts(hypotheses, references)
    for name, order in (("char_order", char_order), ("word_order", word_order)):
        if not isinstance(order, Integral) or isinstance(order, bool) or order < 0:
            raise ValueError(f"{name} must be an integer >= 0, got {order!r}")
    if char_order + word_order == 0:
        raise ValueError("char_order and word_order are both 0; at least one must be positive")
    if not isinstance(beta, Real) or not 0 < beta < math.inf:
        raise ValueError(f"beta must be a number > 0, got {beta!r}")
    counts = np.fromiter(map(len, lists), np.int64, len(lists))
    flat = [*texts, *(text for group in lists for text in group)]
    if lowercase:
        flat = [text.lower() for text in flat]
    pairs = []
    if char_order:
        codes, ends = code_points(flat)
        if not whitespace:
            kept = (blank_table()[codes] & SPACE) == 0
            codes, ends = codes[kept], np.concatenate([np.zeros(1, np.int64), np.cumsum(kept)])[ends]
        pairs.append(_pair_statistics(codes.astype(np.int32), ends, counts, int(char_order)))
    if word_order:
        words = cut(flat, blank_table(), edge=EDGE)
        pairs.append(_pair_statistics(words.ids, words.ends, counts, int(word_order)))
    by_pair = np.concatenate(pairs, axis=1)
    from_sums = functools.partial(chrf_from_sums, beta=float(beta), eps_smoothing=eps_smoothing)
    statistics = by_pair[first_best(from_sums(by_pair), counts)]
    case, smoothing, spaces = ("lc" if lowercase else "mixed"), ("no" if eps_smoothing else "yes"), whitespace
    line = signature(
        f"chrF{beta:g}" + "+" * int(word_order), nrefs=reference_count(lists), case=case, eff=smoothing,
        nc=char_order, nw=word_order, space="yes" if spaces else "no",
    )  # fmt: skip
    n_hyp, n_ref, n_match = np.moveaxis(statistics.sum(0).reshape(-1, 3), -1, 0)
    with np.errstate(invalid="ignore"):
        precision, recall = n_match / n_hyp, n_match / n_ref
    return TextScore.of(statistics, from_sums, line, precision=precision.tolist(), recall=recall.tolist())


def chrf_from_sums(sums: Floats, *, beta: float = 2.0, eps_smoothing: bool = False) -> Floats:
    """chrF of each row of sums: for each order the hypotheses' n-grams, the references' and the clipped matches.

    Args:
        sums: (..., 3 x orders).
        beta, eps_smoothing: as in `chrf`.

    Returns:
        Scores from 0 to 100, (...).
    """
    n_hyp, n_ref, n_match = np.moveaxis(sums.reshape(*sums.shape[:-1], -1, 3), -1, 0)
    precision = np.where(n_hyp > 0, n_match / np.maximum(n_hyp, 1), _EPSILON)
    recall = np.where(n_ref > 0, n_match / np.maximum(n_ref, 1), _EPSILON)
    if eps_smoothing:
        return 100 * _f_score(precision, recall, beta, otherwise=_EPSILON).mean(-1)
    both = (n_hyp > 0) & (n_ref > 0)
    orders = np.maximum(both.sum(-1), 1)
    mean_precision, mean_recall = ((np.where(both, x, 0.0)).sum(-1) / orders for x in (precision, recall))
    return 100 * _f_score(mean_precision, mean_recall, beta, otherwise=0.0)


def _f_score(precision: Floats, recall: Floats, beta: float, *, otherwise: float) -> Floats:
    below = beta**2 * precision + recall
    return np.where(below > 0, (1 + beta**2) * precision * recall / np.where(below > 0, below, 1.0), otherwise)


def _pair_statistics(ids: NDArray[np.int32], ends: NDArray[np.int64], counts: NDArray[np.int64], order: int) -> Floats:
    """n-grams of the hypothesis, of the reference and in common, by order: (references, 3 order)."""
    n, n_pairs = len(counts), int(counts.sum())
    owner, references = np.repeat(np.arange(n), counts), np.arange(n, n + n_pairs)
    matches = np.empty((n_pairs, order), np.int64)
    with announced():
        gram_matches(ids, ends, owner, references, references + 1, order, matches)
    lengths = np.diff(ends, prepend=0)[:, None]
    totals = np.maximum(lengths - np.arange(order), 0)
    of_reference = totals[n:]
    of_hypothesis = np.where(of_reference > 0, totals[owner], 0)  # what cannot be matched is not counted
    return np.stack([of_hypothesis, of_reference, matches], axis=-1).reshape(n_pairs, -1).astype(np.float64)
