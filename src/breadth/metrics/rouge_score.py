"""ROUGE: what a candidate text has in common with reference texts: n-grams, subsequences, skip-bigrams."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from breadth.compilation import announced
from breadth.metrics.overlap_kernels import gram_matches, lcs_lengths, skip_matches, union_lcs
from breadth.metrics.score import signature
from breadth.metrics.text_score import TextScore, check_texts, first_best, mean_score, reference_count
from breadth.metrics.words import Words, cut
from breadth.metrics.words_kernels import SPACE
from breadth.text.stem import PorterStemmer

_TYPE = re.compile(r"rouge(?:(?P<n>[1-9])|(?P<lcs>L|Lsum)|(?P<skip>SU?)(?P<gap>\d*))")
_STEMMED_FROM = 4  # shorter words are left as they are


class Rouge(NamedTuple):
    """Means over segments of precision, recall and their F score."""

    precision: TextScore
    recall: TextScore
    f: TextScore


def rouge(
    hypotheses: Sequence[str],
    references: Sequence[str] | Sequence[Sequence[str]],
    *,
    types: Sequence[str] = ("rouge1", "rouge2", "rougeL", "rougeLsum"),
    stemmer: bool = False,
) -> dict[str, Rouge]:
    """ROUGE of each type: P = common / units of the hypothesis, R = common / units of the reference, F = 2PR/(P + R).

    Units are, by type: "rouge1" ... "rouge9", n-grams, clipped; "rougeL", words, of which a longest common subsequence
    is in common; "rougeLsum", words, of which a line of the reference has in common the union of its longest common
    subsequences with all lines of the hypothesis, no word oftener than either text has it; "rougeS", pairs of words in
    their order, clipped, "rougeS4" with at most 4 words between them; "rougeSU4" counts words beside those pairs. Each
    is from 0 to 1, and 0 where there are no units.

    Args:
        hypotheses: texts, one a segment; lines are sentences to rougeLsum.
        references: for each segment a text, or a list of texts; each type takes the one with the best F.
        types: which to compute.
        stemmer: compare Porter's stems of words that have more than 3 letters.

    Returns:
        By type its Rouge, each of whose parts has an interval; `segments` has the values of each text.

    Raises:
        ValueError: for no texts, unequal numbers of them, or an unknown type.
        TypeError: if a text is no string.

    Cost: words for n-grams; product of the lengths for L and Lsum; words x gap for S, without a gap words^2 in time
        and memory.
    Deviations: words are runs of a-z and 0-9 of the text in lower case, as in rouge_score: texts in other scripts have
        none.
    References: Lin 2004, "ROUGE: a package for automatic evaluation of summaries", sections 2, 3.1, 3.2, 5; clipping in
        Lsum as in ROUGE-1.5.5.
    Peer: rouge_score.RougeScorer for N, L and Lsum, 1e-9 (A); enumeration of pairs for S and SU (B).
    In production: report F of rouge1, rouge2 and rougeLsum for summaries; recall alone can be had by writing more.
    """
    texts, lists = check_texts(hypotheses, references)
    found = {name: _TYPE.fullmatch(name) for name in types}
    for name, match in found.items():
        if match is None:
            raise ValueError(
                f"types must be rouge1 to rouge9, rougeL, rougeLsum, rougeS or rougeS4 and the like, got {name!r}"
            )
    counts = np.fromiter(map(len, lists), np.int64, len(lists))
    flat = [*texts, *(text for group in lists for text in group)]
    lines = (
        [[line for line in text.split("\n") if line] for text in flat] if "rougeLsum" in found else [[t] for t in flat]
    )
    line_ends = np.cumsum(np.fromiter(map(len, lines), np.int64, len(lines)))
    by_line = _cut([line for text in lines for line in text], stemmer=stemmer)
    words = by_line._replace(ends=np.concatenate([np.zeros(1, np.int64), by_line.ends])[line_ends])
    n, n_pairs = len(texts), int(counts.sum())
    owner, own = np.repeat(np.arange(n), counts), np.arange(n, n + n_pairs)
    scores: dict[str, Rouge] = {}
    with announced():
        for name, match in found.items():
            if name == "rougeLsum":
                common = np.empty(n_pairs, np.int64)
                n_ids = len(words.spelled_ends) - 1
                union_lcs(by_line.ids, by_line.ends, line_ends, owner, own, n_ids, common)
                units = common, words.lengths[owner], words.lengths[own]
            else:
                units = _units(words, owner, own, match)
            how = {"nrefs": reference_count(lists), "stem": "porter" if stemmer else "no"}
            scores[name] = _rouge(*units, counts, name, how)
    return scores


def _units(
    words: Words, owner: NDArray[np.int64], own: NDArray[np.int64], match: re.Match[str] | None
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Units in common, of the hypothesis and of the reference, for each pair of texts."""
    assert match is not None
    lengths = words.lengths
    if match["n"]:
        order = int(match["n"])
        common = np.empty((len(own), order), np.int64)
        gram_matches(words.ids, words.ends, owner, own, own + 1, order, common)
        totals = np.maximum(lengths - order + 1, 0)
        return common[:, -1], totals[owner], totals[own]
    if match["lcs"]:
        common = np.empty(len(own), np.int64)
        lcs_lengths(words.ids, words.ends, owner, own, common)
        return common, lengths[owner], lengths[own]
    gap = int(match["gap"]) if match["gap"] else int(lengths.max())
    table = np.empty((len(own), 3), np.int64)
    skip_matches(words.ids, words.ends, owner, own, gap, table)
    common, of_hypothesis, of_reference = table.T
    if match["skip"] == "SU":
        alone = np.empty((len(own), 1), np.int64)
        gram_matches(words.ids, words.ends, owner, own, own + 1, 1, alone)
        return common + alone[:, 0], of_hypothesis + lengths[owner], of_reference + lengths[own]
    return common, of_hypothesis, of_reference


def _rouge(
    common: NDArray[np.int64],
    of_hypothesis: NDArray[np.int64],
    of_reference: NDArray[np.int64],
    counts: NDArray[np.int64],
    name: str,
    how: dict[str, str],
) -> Rouge:
    precision, recall = (common / np.maximum(units, 1) for units in (of_hypothesis, of_reference))
    both = precision + recall
    f = np.where(both > 0, 2 * precision * recall / np.where(both > 0, both, 1.0), 0.0)
    best = first_best(f, counts)
    parts = (("P", precision), ("R", recall), ("F", f))
    return Rouge(*(mean_score(values[best], signature(name, of=of, **how)) for of, values in parts))


def _cut(texts: Sequence[str], *, stemmer: bool) -> Words:
    words = cut([text.lower() for text in texts], _table())
    if not stemmer:
        return words
    stem = PorterStemmer().stem
    numbers: dict[str, int] = {}
    stems = [numbers.setdefault(stem(w) if len(w) >= _STEMMED_FROM else w, len(numbers)) for w in words.strings()]
    ids = np.array(stems, np.int32)[words.ids] if stems else words.ids
    return words._replace(ids=ids)


@functools.cache
def _table() -> NDArray[np.uint8]:
    table = np.full(0x110000, SPACE, np.uint8)
    table[[ord(c) for c in "abcdefghijklmnopqrstuvwxyz0123456789"]] = 0
    table.flags.writeable = False
    return table
