"""Likeness of texts by vectors: tokens matched greedily (BERTScore), and the cosine of whole texts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from breadth.metrics.score import signature
from breadth.metrics.text_score import Floats, TextScore, check_texts, first_best, mean_score, reference_count

Embed = Callable[[list[str]], Any]


class BertScore(NamedTuple):
    """Means over segments of precision, recall and their F score."""

    precision: TextScore
    recall: TextScore
    f: TextScore


class _Tokens(NamedTuple):
    ids: list[int] | None
    vectors: Floats  # (tokens, dimensions), of length 1
    weights: Floats  # (tokens,)


def bertscore(
    hypotheses: Sequence[str],
    references: Sequence[str] | Sequence[Sequence[str]],
    embed: Embed,
    *,
    idf: bool = False,
    special_ids: Collection[int] = (),
    baseline: tuple[float, float, float] | None = None,
    name: str | None = None,
) -> BertScore:
    """BERTScore: each token is matched with the one of the other text whose vector has the highest cosine.

    P = sum over the hypothesis's tokens of w max_j cos(h_i, r_j) / sum of w; R the same from the reference's side; F =
    2 P R / (P + R). The weights w are 1, or idf(t) = log((M + 1) / (df_t + 1)) with df_t of the M references holding
    t. With a baseline each of the three becomes (x - b) / (1 - b), which spreads values over [0, 1] without changing
    their order.

    Args:
        hypotheses: texts, one a segment.
        references: for each segment a text, or a list of texts, of which P, R and F each take the best.
        embed: from a list of texts to a list of their tokens' vectors, each (tokens, dimensions); or of pairs (ids,
            vectors), as idf and special_ids need. It is called once, with each distinct text once.
        idf: weigh tokens by idf over all references.
        special_ids: tokens of weight 0 that others may still be matched with, as bert-score treats [CLS] and [SEP].
        baseline: what unrelated texts score in P, R and F, each < 1; None leaves values as they are.
        name: of the embedder, for the signature; None takes the function's own.

    Returns:
        BertScore, each part with an interval; `segments` has the values of each text. Texts without a token of weight
        have 0 before rescaling.

    Raises:
        ValueError: for no texts, unequal numbers of them, vectors that are not finite or 0 or of different widths, a
            baseline out of range, or a text all of whose tokens have idf 0.
        TypeError: if a text is no string, or embed gives no ids where they are needed.

    Cost: the embedder's, and O(tokens x tokens x dimensions) for each pair of texts.
    References: Zhang et al. 2020, arXiv:1904.09675, section 3 (eq. for P, R and F; idf with plus-one; rescaling).
    Peer: bert_score.score on the same encoder, with idf and baseline, 1e-5 in float32 (A).
    In production: rescale, else all values lie near 0.9; it sees paraphrase, and often misses a negation.
    """
    texts, lists = check_texts(hypotheses, references)
    if baseline is not None and (len(baseline) != 3 or not all(-1 <= b < 1 for b in baseline)):
        raise ValueError(f"baseline must hold three numbers in [-1, 1), for P, R and F, got {baseline!r}")
    counts = np.fromiter(map(len, lists), np.int64, len(lists))
    flat = [text for group in lists for text in group]
    tokens = _embedded(list(dict.fromkeys([*texts, *flat])), embed)
    special = frozenset(special_ids)
    if (idf or special) and any(found.ids is None for found in tokens.values()):
        raise TypeError("idf and special_ids need embed to return pairs (ids, vectors), but it returned vectors alone")
    tokens = _weighted(tokens, [tokens[text].ids or [] for text in flat] if idf else None, special)
    owner = np.repeat(np.arange(len(texts)), counts).tolist()
    table = np.array([_matched(tokens[texts[o]], tokens[text]) for o, text in zip(owner, flat, strict=True)])
    best = np.maximum.reduceat(table, np.cumsum(counts) - counts, axis=0)
    if baseline is not None:
        floor = np.asarray(baseline, np.float64)
        best = (best - floor) / (1 - floor)
    how = {"nrefs": reference_count(lists), "embed": name or _name(embed), "idf": "yes" if idf else "no"}
    how["baseline"] = "none" if baseline is None else "/".join(f"{b:g}" for b in baseline)
    return BertScore(*(mean_score(best[:, i], signature("bertscore", of=of, **how)) for i, of in enumerate("PRF")))


def cosine_relevance(
    hypotheses: Sequence[str],
    references: Sequence[str] | Sequence[Sequence[str]],
    embed: Embed,
    *,
    name: str | None = None,
) -> TextScore:
    """Mean over segments of the cosine of two texts' vectors: u·v / (|u| |v|), in [-1, 1].

    Args:
        hypotheses: texts, one a segment: answers.
        references: for each segment a text, or a list of texts, of which the nearest counts: questions, or references.
        embed: from a list of texts to vectors (texts, dimensions). It is called once, with each distinct text once.
        name: of the embedder, for the signature; None takes the function's own.

    Returns:
        TextScore; `segments` has the cosine of each pair.

    Raises:
        ValueError: for no texts, unequal numbers of them, or vectors that are not finite or 0.
        TypeError: if a text is no string.

    Cost: the embedder's, and O(texts x dimensions).
    References: Salton et al. 1975, "A vector space model for automatic indexing", CACM 18(11).
    Peer: scipy.spatial.distance.cosine, 1e-12 (A).
    In production: it says that two texts are about the same thing, not that they agree.
    """
    texts, lists = check_texts(hypotheses, references)
    flat = [text for group in lists for text in group]
    distinct = list(dict.fromkeys([*texts, *flat]))
    vectors = np.asarray(embed(distinct), np.float64)
    if vectors.ndim != 2 or len(vectors) != len(distinct):
        raise ValueError(f"embed must return shape ({len(distinct)}, dimensions), got {vectors.shape}")
    row = {text: i for i, text in enumerate(distinct)}
    units = _unit(vectors, "embed's vectors")
    counts = np.fromiter(map(len, lists), np.int64, len(lists))
    owner = np.repeat([row[text] for text in texts], counts)
    cosines = np.einsum("ij,ij->i", units[owner], units[[row[text] for text in flat]])
    line = signature("cosine_relevance", nrefs=reference_count(lists), embed=name or _name(embed))
    return mean_score(cosines[first_best(cosines, counts)], line)


def _embedded(texts: list[str], embed: Embed) -> dict[str, _Tokens]:
    given = list(embed(texts))
    if len(given) != len(texts):
        raise ValueError(f"embed must return one entry for each of {len(texts)} texts, got {len(given)}")
    found: dict[str, _Tokens] = {}
    width = None
    for text, entry in zip(texts, given, strict=True):
        ids, vectors = (list(map(int, entry[0])), entry[1]) if isinstance(entry, tuple) else (None, entry)
        vectors = np.asarray(vectors, np.float64)
        if vectors.size == 0:
            vectors = np.zeros((0, width or 1))
        if vectors.ndim != 2 or (len(vectors) and width not in (None, vectors.shape[1])):
            raise ValueError(
                f"vectors must have shape (tokens, {width or 'dimensions'}), got {vectors.shape} of {text!r:.40}"
            )
        if ids is not None and len(ids) != len(vectors):
            raise ValueError(
                f"embed must return a vector for each id, got {len(ids)} and {len(vectors)} of {text!r:.40}"
            )
        width = vectors.shape[1] if len(vectors) else width
        found[text] = _Tokens(ids, _unit(vectors, f"vectors of {text!r:.40}"), np.ones(len(vectors)))
    return found


def _unit(vectors: Floats, what: str) -> Floats:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not np.isfinite(lengths).all() or (lengths == 0).any():
        raise ValueError(f"{what} must be finite and other than 0")
    return vectors / lengths


def _weighted(
    tokens: dict[str, _Tokens], references: list[list[int]] | None, special: frozenset[int]
) -> dict[str, _Tokens]:
    """The tokens with weights: 1, or idf where references are given; 0 for special ones."""
    if references is None and not special:
        return tokens
    counted = Counter(i for ids in references or () for i in set(ids))
    n = 0 if references is None else len(references)
    found = {}
    for text, (ids, vectors, weights) in tokens.items():
        assert ids is not None
        if references is not None:
            weights = np.array([math.log((n + 1) / (counted[i] + 1)) for i in ids])
        plain = np.array([i not in special for i in ids], bool)
        if plain.any() and not weights[plain].any():
            raise ValueError(f"all tokens of {text!r:.40} are in all {n} references and have idf 0; take idf=False")
        found[text] = _Tokens(ids, vectors, weights * plain)
    return found


def _matched(hypothesis: _Tokens, reference: _Tokens) -> tuple[float, float, float]:
    if not hypothesis.weights.any() or not reference.weights.any():
        return 0.0, 0.0, 0.0
    cosines: NDArray[np.float64] = hypothesis.vectors @ reference.vectors.T
    precision = float(np.average(cosines.max(1), weights=hypothesis.weights))
    recall = float(np.average(cosines.max(0), weights=reference.weights))
    both = precision + recall
    return precision, recall, 2 * precision * recall / both if both else 0.0


def _name(embed: Embed) -> str:
    return getattr(embed, "__name__", type(embed).__name__)
