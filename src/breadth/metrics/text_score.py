"""Scores of texts that keep what each segment adds to them: an interval and a paired test cost no second reading."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from breadth.metrics.score import Paired, Score
from breadth.stats.resampling import bootstrap_indices, bootstrap_interval

Floats = NDArray[np.float64]
_BLOCK = 1 << 22  # entries of a block of draws


@dataclass(frozen=True, slots=True)
class TextScore:
    """A score of a corpus, computed from sums over its segments.

    Attributes:
        value: the score.
        signature: one line that says how to compute it again.
        statistics: what each segment adds, (segments, columns).
        from_sums: from sums of statistics, (..., columns), to scores, (...).
        parts: what else the metric says, by name.
    """

    value: float
    signature: str
    statistics: Floats = field(repr=False)
    from_sums: Callable[[Floats], Floats] = field(repr=False)
    parts: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, statistics: Floats, from_sums: Callable[[Floats], Floats], signature: str, **parts: Any) -> TextScore:
        """The score of a corpus from what its segments add."""
        return cls(float(from_sums(statistics.sum(0))), signature, statistics, from_sums, parts)

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        return f"{self.value:.4g} {self.signature}"

    @property
    def segments(self) -> Floats:
        """The score of each segment by itself, (segments,)."""
        return np.asarray(self.from_sums(self.statistics))

    def interval(
        self,
        *,
        confidence: float = 0.95,
        method: Literal["percentile", "bca"] = "percentile",
        n_resamples: int = 1000,
        seed: int = 0,
    ) -> Score:
        """Bootstrap interval: segments drawn with replacement, their statistics summed anew.

        Args:
            confidence: coverage aimed at, in (0, 1).
            method: as in `stats.bootstrap_interval`.
            n_resamples: draws, >= 100.
            seed: of the draws; stands in the signature.

        Raises:
            ValueError: if there are fewer than two segments, or an argument is out of range.

        Cost: O(n_resamples x segments x columns).
        References: Koehn 2004, EMNLP, section 3.1.
        """
        found = bootstrap_interval(
            self.statistics, lambda rows: float(self.from_sums(rows.sum(0))), confidence=confidence, method=method,
            n_resamples=n_resamples, rng=seed,
        )  # fmt: skip
        line = f"{self.signature}|ci:{100 * confidence:g}% {method}, {n_resamples} resamples, seed {seed}"
        return Score(self.value, found.low, found.high, line)


def paired_test(
    first: TextScore,
    second: TextScore,
    *,
    test: Literal["bootstrap", "randomisation"] = "randomisation",
    n_resamples: int | None = None,
    confidence: float = 0.95,
    seed: int = 12345,
) -> Paired:
    """Whether the scores of two systems on the same segments are further apart than chance would have them.

    "bootstrap" draws segments with replacement, the same for both, and p is the share of draws on which
    |d*| - mean |d*| >= |d|; "randomisation" exchanges the systems' outputs on each segment with probability 1/2, and p
    is the share of |d*| >= |d|; a draw is added to either share, so that p is never 0.

    Args:
        first, second: scores of one metric with one signature, on the same segments in the same order.
        test: which of the two.
        n_resamples: draws, >= 100; None takes 1,000 for the bootstrap, 10,000 for randomisation.
        confidence: coverage of the interval of the difference, in (0, 1): percentiles of paired bootstrap draws, those
            of the test or 1,000.
        seed: of the draws; sacrebleu's gives sacrebleu's.

    Returns:
        Paired.

    Raises:
        ValueError: if the signatures or the numbers of segments differ, there are fewer than two, or an argument is
            out of range.

    Cost: O(n_resamples x segments x columns) in matrix products.
    Deviations: a draw that ties with the difference counts against it, so that a system beside itself has p = 1;
        sacrebleu does not count it, and gives 1 / (n_resamples + 1).
    References: Koehn 2004, EMNLP (bootstrap); Riezler & Maxwell 2005, "On some pitfalls in automatic evaluation and
        significance testing for MT" (randomisation).
    Peer: sacrebleu.significance.PairedTest, the same p from the same seed (A).
    In production: prefer randomisation, which assumes less; `metrics.paired` takes any metric of rows.
    """
    if first.signature != second.signature:
        raise ValueError(f"the scores' signatures must agree, got {first.signature!r} and {second.signature!r}")
    a, b = first.statistics, second.statistics
    if a.shape != b.shape or len(a) < 2:
        raise ValueError(f"both scores must be of the same two segments or more, got {len(a)} and {len(b)}")
    if test not in ("bootstrap", "randomisation"):
        raise ValueError(f"test must be 'bootstrap' or 'randomisation', got {test!r}")
    if n_resamples is None:
        n_resamples = 1000 if test == "bootstrap" else 10_000
    if not isinstance(n_resamples, Integral) or n_resamples < 100:
        raise ValueError(f"n_resamples must be an integer >= 100 or None, got {n_resamples!r}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be in (0, 1), got {confidence!r}")
    rng = np.random.default_rng(seed)
    difference = first.value - second.value
    if test == "randomisation":
        moved = np.abs(_exchanged(first, second, n_resamples, rng))
        drawn = _resampled(first, second, 1000, rng)
    else:
        drawn = _resampled(first, second, n_resamples, rng)
        moved = np.abs(drawn) - np.abs(drawn).mean()
    # differences that are equal but for rounding count as equal
    p = (int(np.count_nonzero(moved >= abs(difference) * (1 - 1e-9))) + 1) / (int(n_resamples) + 1)
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    line = f"{first.signature}|test:{test}, {n_resamples} draws, seed {seed}"
    return Paired(first.value, second.value, difference, float(low), float(high), p, line)


def _resampled(first: TextScore, second: TextScore, n_resamples: int, rng: np.random.Generator) -> Floats:
    """Differences of the scores over rows drawn with replacement."""
    n = len(first.statistics)
    differences = []
    for size in _blocks(n_resamples, n):
        drawn = bootstrap_indices(n, rng, size * n).reshape(size, n)
        rows = drawn + n * np.arange(size)[:, None]
        times = np.bincount(rows.ravel(), minlength=size * n).reshape(size, n).astype(np.float64)
        differences.append(first.from_sums(times @ first.statistics) - second.from_sums(times @ second.statistics))
    return np.concatenate(differences)


def _exchanged(first: TextScore, second: TextScore, n_resamples: int, rng: np.random.Generator) -> Floats:
    """Differences of the scores after each segment's two outputs have changed places, or not."""
    n = len(first.statistics)
    change = second.statistics - first.statistics
    differences = []
    for size in _blocks(n_resamples, n):
        moved = rng.integers(2, size=(size, n), dtype=bool).astype(np.float64) @ change
        one, other = first.statistics.sum(0) + moved, second.statistics.sum(0) - moved
        differences.append(first.from_sums(one) - second.from_sums(other))
    return np.concatenate(differences)


def _blocks(n_resamples: int, n: int) -> Iterator[int]:
    size = max(1, _BLOCK // n)
    for begin in range(0, n_resamples, size):
        yield min(size, n_resamples - begin)


def mean_of(sums: Floats) -> Floats:
    """From sums of (score, 1) to means."""
    return sums[..., 0] / sums[..., 1]


def mean_score(values: Floats, signature: str, **parts: Any) -> TextScore:
    """The mean of the segments' own scores."""
    return TextScore.of(np.column_stack([values, np.ones(len(values))]), mean_of, signature, **parts)


def check_texts(
    hypotheses: Sequence[str], references: Sequence[str] | Sequence[Sequence[str]]
) -> tuple[list[str], list[list[str]]]:
    """Hypotheses, and the references of each as a list.

    Raises:
        TypeError: if a text is no string, or texts are given as one.
        ValueError: if there are none, their numbers differ, or a hypothesis has no reference.
    """
    hypotheses, references = _listed(hypotheses), _listed(references)
    for name, texts in (("hypotheses", hypotheses), ("references", references)):
        if isinstance(texts, str | bytes) or not isinstance(texts, Sequence):
            raise TypeError(f"{name} must be a list, one entry a segment, got {texts!r:.60}")
    if not len(hypotheses):
        raise ValueError("hypotheses must hold at least one text, got none")
    if len(hypotheses) != len(references):
        raise ValueError(
            f"references must hold one entry for each of {len(hypotheses)} hypotheses, a text or the list of that "
            f"segment's texts, got {len(references)}"
        )
    lists: list[list[str]] = []
    for i, (hypothesis, given) in enumerate(zip(hypotheses, references, strict=True)):
        if not isinstance(hypothesis, str):
            raise TypeError(f"hypotheses[{i}] must be a string, got {hypothesis!r:.60}")
        texts = [given] if isinstance(given, str) else _listed(given)
        if not isinstance(texts, Sequence) or not all(isinstance(text, str) for text in texts):
            raise TypeError(f"references[{i}] must be a string or a list of strings, got {given!r:.60}")
        if not texts:
            raise ValueError(f"references[{i}] is empty; give at least one text, or leave the segment out")
        lists.append(list(texts))
    return list(hypotheses), lists


def reference_count(references: Sequence[Sequence[str]]) -> str:
    """What a signature says of it: how many references a segment has, or that it varies."""
    counts = {len(texts) for texts in references}
    return str(counts.pop()) if len(counts) == 1 else "var"


def first_best(scores: Floats, counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of each segment's references the place of the first with the highest score."""
    first = np.cumsum(counts) - counts
    best = np.repeat(np.maximum.reduceat(scores, first), counts)
    return np.minimum.reduceat(np.where(scores == best, np.arange(len(scores)), len(scores)), first)


def _listed(texts: Any) -> Any:
    """A column of a data frame or an array as the list of its entries; anything else as it is."""
    listed = getattr(texts, "to_list", None) or getattr(texts, "tolist", None)
    return listed() if listed and hasattr(texts, "__array__") else texts
