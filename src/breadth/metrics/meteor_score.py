"""METEOR: words aligned by form, stem and meaning; recall counts most, and broken order costs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Real
from typing import Literal

import numpy as np

from breadth.metrics.score import signature
from breadth.metrics.text_score import TextScore, check_texts, first_best, mean_score, reference_count
from breadth.metrics.wordnet import load_wordnet
from breadth.metrics.words import Tokenize, tokenized, tokenizer_name
from breadth.text.stem import PorterStemmer

Stem = Literal["porter"] | Callable[[str], str] | None
Synonyms = Literal["wordnet"] | Callable[[str], Iterable[str]] | Mapping[str, Iterable[str]] | None


def meteor(
    hypotheses: Sequence[str],
    references: Sequence[str] | Sequence[Sequence[str]],
    *,
    alpha: float = 0.9,
    beta: float = 3.0,
    gamma: float = 0.5,
    stem: Stem = "porter",
    synonyms: Synonyms = "wordnet",
    tokenize: Tokenize = "13a",
) -> TextScore:
    """METEOR, from 0 to 1: (1 - gamma (chunks / m)^beta) F_mean, with F_mean = P R / (alpha P + (1 - alpha) R).

    m words of the hypothesis are aligned with one of the reference each: first equal words, then of what is left those
    with equal stems, then those of which the reference's is a synonym of the hypothesis's. P = m / words of the
    hypothesis, R = m / words of the reference; at alpha = 0.9 F_mean is 10 P R / (R + 9 P), which weights recall
    nine to one (it is not F1). Chunks are the longest runs of aligned words that stand side by side, in the same order,
    in both texts. Without a match the score is 0. A corpus has the mean of its segments' scores.

    Args:
        hypotheses: texts, one a segment; they are compared in lower case.
        references: for each segment a text, or a list of texts, of which the best counts.
        alpha: weight of recall in F_mean, in [0, 1].
        beta: exponent of the fragmentation, >= 0.
        gamma: largest penalty, in [0, 1].
        stem: "porter", or a function from a word to its stem; None leaves the stage out.
        synonyms: "wordnet" reads WordNet's files where they are (see `load_wordnet`); a table or a function from a
            word to its synonyms; None leaves the stage out.
        tokenize: as in `bleu`.

    Returns:
        TextScore, the mean. parts: precision, recall, f_mean, penalty, chunks and matches, each an array (segments,).

    Raises:
        ValueError: for no texts, unequal numbers of them, or an argument out of range.
        TypeError: if a text is no string.
        FileNotFoundError: if WordNet's files are asked for and not found; the message says how to get them.

    Cost: O(words); a distinct word is stemmed and looked up once.
    Deviations: as nltk's:
        1. Each stage walks the hypothesis from its end and takes the last word that is free in the reference; the paper
           asks for the alignment with the fewest crossings.
        2. After the stage of stems, synonyms are looked up by stem, so that a word which stemming maims has none;
           stem=None looks words up as they are, and by WordNet's own base forms.
    References: Banerjee & Lavie 2005, "METEOR", ACL workshop, section 2.2 (there alpha = 0.9, beta = 3, gamma = 0.5);
        Lavie & Agarwal 2007 for the parameters.
    Peer: nltk.translate.meteor_score on WordNet 3.0, 1e-9 (A).
    In production: use it for single sentences, where BLEU is too coarse; report the signature, as the synonyms matter.
    """
    texts, lists = check_texts(hypotheses, references)
    for name, value, most in (("alpha", alpha, 1.0), ("gamma", gamma, 1.0), ("beta", beta, math.inf)):
        if not isinstance(value, Real) or not 0 <= value <= most or math.isinf(value):
            raise ValueError(f"{name} must be a number from 0 to {most:g}, got {value!r}")
    counts = np.fromiter(map(len, lists), np.int64, len(lists))
    flat = [*texts, *(text for group in lists for text in group)]
    words = tokenized([text.lower() for text in flat], tokenize)
    bounds = [0, *words.ends.tolist()]
    spelled = words.strings()
    ids = [[spelled[i] for i in words.ids[a:b]] for a, b in itertools.pairwise(bounds)]
    matcher = _Matcher(_stemmer(stem), _lookup(synonyms))
    owner = np.repeat(np.arange(len(texts)), counts)
    rows = [
        _measured(ids[o], reference, matcher.align(ids[o], reference), alpha, beta, gamma)
        for o, reference in zip(owner.tolist(), ids[len(texts) :], strict=True)
    ]
    table = np.array(rows)  # (references, 7)
    best = table[first_best(table[:, 0], counts)]
    line = signature(
        "meteor", nrefs=reference_count(lists), tok=tokenizer_name(tokenize), alpha=float(alpha), beta=float(beta),
        gamma=float(gamma), stem=stem if isinstance(stem, str) else None if stem is None else "own",
        syn=synonyms if isinstance(synonyms, str) else None if synonyms is None else "own",
    )  # fmt: skip
    names = ("precision", "recall", "f_mean", "penalty", "chunks", "matches")
    return mean_score(best[:, 0], line, **dict(zip(names, best[:, 1:].T, strict=True)))


def align_words(
    hypothesis: Sequence[str],
    reference: Sequence[str],
    *,
    stem: Stem = "porter",
    synonyms: Synonyms = "wordnet",
) -> list[tuple[int, int]]:
    """The words that METEOR aligns, as places in the hypothesis and in the reference.

    Args:
        hypothesis, reference: words, in the case in which they shall be compared.
        stem, synonyms: as in `meteor`.

    Returns:
        Pairs in the order of the hypothesis; each place occurs once at most.

    Cost: O(words).
    References: Banerjee & Lavie 2005, "METEOR", ACL workshop, section 2.2.
    Peer: nltk.translate.meteor_score.align_words, the same pairs (A).
    In production: use it to see why `meteor` gives a segment its score.
    """
    return _Matcher(_stemmer(stem), _lookup(synonyms)).align(list(hypothesis), list(reference))


class _Matcher:
    """The stages, each with what it found out about words so far."""

    def __init__(self, stem: Callable[[str], str] | None, meanings: Callable[[str], Iterable[str]] | None):
        self._stem, self._meanings = stem, meanings
        self._stems: dict[str, str] = {}
        self._synonyms: dict[str, frozenset[str]] = {}

    def align(self, hypothesis: list[str], reference: list[str]) -> list[tuple[int, int]]:
        left, right = list(enumerate(hypothesis)), list(enumerate(reference))
        pairs, left, right = _matched(left, right, lambda word: (word,))
        if self._stem is not None and left and right:
            left, right = ([(i, self._stemmed(word)) for i, word in side] for side in (left, right))
            found, left, right = _matched(left, right, lambda word: (word,))
            pairs += found  # what is left goes on as stems
        if self._meanings is not None and left and right:
            pairs += _matched(left, right, self._synonyms_of)[0]
        return sorted(pairs)

    def _stemmed(self, word: str) -> str:
        if word not in self._stems:
            assert self._stem is not None
            self._stems[word] = self._stem(word)
        return self._stems[word]

    def _synonyms_of(self, word: str) -> frozenset[str]:
        if word not in self._synonyms:
            assert self._meanings is not None
            self._synonyms[word] = frozenset(self._meanings(word)) | {word}
        return self._synonyms[word]


Numbered = list[tuple[int, str]]


def _matched(
    left: Numbered, right: Numbered, equals: Callable[[str], Iterable[str]]
) -> tuple[list[tuple[int, int]], Numbered, Numbered]:
    """Each word on the left, from the last, takes the last free word on the right that equals it."""
    places: dict[str, list[int]] = {}
    for j, (_, word) in enumerate(right):
        places.setdefault(word, []).append(j)
    pairs, kept, taken = [], [], set()
    for i, word in reversed(left):
        free = [(places[other][-1], other) for other in equals(word) if places.get(other)]
        if not free:
            kept.append((i, word))
            continue
        j, other = max(free)
        places[other].pop()
        taken.add(j)
        pairs.append((i, right[j][0]))
    return pairs, kept[::-1], [pair for j, pair in enumerate(right) if j not in taken]


def _measured(
    hypothesis: list[str], reference: list[str], pairs: list[tuple[int, int]], alpha: float, beta: float, gamma: float
) -> tuple[float, ...]:
    """Score, precision, recall, F_mean, penalty, chunks, matches."""
    m = len(pairs)
    if not m:
        return (0.0,) * 7
    precision, recall = m / len(hypothesis), m / len(reference)
    f_mean = precision * recall / (alpha * precision + (1 - alpha) * recall)
    chunks = 1 + sum(after != (before[0] + 1, before[1] + 1) for before, after in itertools.pairwise(pairs))
    penalty = gamma * (chunks / m) ** beta
    return (1 - penalty) * f_mean, precision, recall, f_mean, penalty, chunks, m


def _stemmer(stem: Stem) -> Callable[[str], str] | None:
    if isinstance(stem, str):
        if stem != "porter":
            raise ValueError(f"stem must be 'porter', a function or None, got {stem!r}")
        return PorterStemmer().stem
    return stem


def _lookup(synonyms: Synonyms) -> Callable[[str], Iterable[str]] | None:
    if synonyms is None or callable(synonyms):
        return synonyms
    if isinstance(synonyms, str):
        if synonyms != "wordnet":
            raise ValueError(f"synonyms must be 'wordnet', a table, a function or None, got {synonyms!r}")
        return load_wordnet().synonyms
    table = synonyms
    return lambda word: table.get(word, ())
