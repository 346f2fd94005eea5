"""What people say: win rates of pairwise comparisons, and summaries of Likert items. They are two protocols."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binom, norm

from breadth.metrics import checks
from breadth.metrics.checks import Floats
from breadth.metrics.ratings import games
from breadth.metrics.score import Score, signature
from breadth.stats.inference import proportion_interval


class WinRate(NamedTuple):
    """How one side fared against the other, and the sign test that both are alike."""

    rate: Score
    wins: int
    losses: int
    ties: int
    p: float


class Likert(NamedTuple):
    """Answers on an ordered scale."""

    counts: dict[int, int]  # of every point of the scale
    median: float
    mean: Score
    top_box: Score  # share of the upper answers
    n: int


def win_rate(outcome: ArrayLike, *, ties: Literal["half", "drop"] = "half", confidence: float = 0.95) -> WinRate:
    """Share of pairwise comparisons that the first side wins, with interval and sign test.

    Args:
        outcome: 1 where the first was preferred, 0 the second, 0.5 neither, shape (n,).
        ties: "half" counts one as half a win: (W + T/2) / n, with the interval mean +- z s / sqrt(n) cut to [0, 1];
            "drop" leaves them out: W / (W + L), with Wilson's interval.
        confidence: coverage aimed at, in (0, 1).

    Returns:
        WinRate. p is the two-sided exact sign test of W against L, which looks at ties in neither way.

    Raises:
        ValueError: if there is no comparison, an outcome is none of 0, 0.5 and 1, or "drop" leaves none.

    Cost: O(n).
    References: Bradley & Terry 1952; Dixon & Mood 1946, "The statistical sign test"; Wilson 1927.
    Peer: statsmodels' Wilson interval and scipy.stats.binomtest, 1e-12 (A).
    In production: show each pair in both orders, for judges favour a side; several systems: `bradley_terry`.
    """
    checks.one_of("ties", ties, ("half", "drop"))
    checks.share("confidence", confidence)
    result = checks.numbers("outcome", outcome).astype(np.float64, copy=False)
    if not np.isin(result, (0, 0.5, 1)).all():
        raise ValueError("outcome must be 1 (the first was preferred), 0 (the second) or 0.5 (a tie)")
    wins, losses, tied = (int(np.count_nonzero(result == value)) for value in (1, 0, 0.5))
    decided = wins + losses
    if ties == "drop":
        if not decided:
            raise ValueError("outcome holds nothing but ties; ties='half' gives 0.5")
        rate, low, high = (float(v) for v in proportion_interval(wins, decided, confidence=confidence))
        how = "Wilson"
    elif tied:
        rate = float(result.mean())
        half = float(norm.ppf((1 + confidence) / 2) * np.sqrt(result.var() / len(result)))
        low, high, how = max(0.0, rate - half), min(1.0, rate + half), "normal"
    else:
        rate, low, high = (float(v) for v in proportion_interval(wins, decided, confidence=confidence))
        how = "Wilson"
    p = min(1.0, 2 * float(binom.cdf(min(wins, losses), decided, 0.5))) if decided else 1.0
    line = signature("win_rate", n=len(result), ties=ties, ci=f"{100 * confidence:g}% {how}")
    return WinRate(Score(rate, low, high, line), wins, losses, tied, p)


def win_rate_matrix(
    first: Sequence[Hashable], second: Sequence[Hashable], outcome: ArrayLike
) -> tuple[list, Floats, Floats]:
    """Win rates of every pair of systems, a tie counting half.

    Args:
        first, second: systems of each comparison, shape (n,).
        outcome: 1 where the first was preferred, 0 the second, 0.5 neither, shape (n,).

    Returns:
        Systems (k,); rates (k, k), that of the row's system against the column's, NaN where they never met; and how
        often they did (k, k).

    Raises:
        ValueError: if there is no comparison, a system meets itself, or an outcome is none of 0, 0.5 and 1.

    Cost: O(n + k^2).
    References: Zheng et al. 2023, "Judging LLM-as-a-judge with MT-Bench and Chatbot Arena", arXiv:2306.05685, figure 3.
    Peer: counts by hand (B).
    In production: cycles in it are what `bradley_terry` cannot show.
    """
    systems, a, b, result = games(first, second, outcome)
    k = len(systems)
    won, met = np.zeros((k, k)), np.zeros((k, k))
    for i, j, share in ((a, b, result), (b, a, 1 - result)):
        np.add.at(won, (i, j), share)
        np.add.at(met, (i, j), 1)
    return systems, np.divide(won, met, out=np.full((k, k), np.nan), where=met > 0), met


def likert_summary(
    ratings: ArrayLike, *, scale: tuple[int, int] = (1, 5), top: int = 2, confidence: float = 0.95
) -> Likert:
    """Answers of one Likert item: how often each point was given, their median and mean, and the share of the top ones.

    Args:
        ratings: whole numbers on the scale, shape (n,); NaN is an answer that is missing and left out.
        scale: its least and greatest point.
        top: how many of its upper points `top_box` counts, >= 1.
        confidence: coverage of the intervals, in (0, 1): of the mean the normal one, of the share Wilson's.

    Returns:
        Likert. n counts the answers that are there.

    Raises:
        ValueError: if no answer is there, one is off the scale, or an argument is out of range.

    Cost: O(n + points).
    References: Likert 1932, "A technique for the measurement of attitudes"; Jamieson 2004 (ordinal, so that means need
        care).
    Peer: numpy's median and mean, statsmodels' Wilson interval, 1e-12 (A).
    In production: print the counts; compare two systems on the same items with `paired`, raters with
        `krippendorff_alpha(level_of_measurement="ordinal")`.
    """
    least, greatest = scale
    if not least < greatest or not 1 <= top <= greatest - least:
        raise ValueError(f"scale must rise and hold more than top points, got scale={scale!r}, top={top!r}")
    checks.share("confidence", confidence)
    given = np.asarray(ratings, np.float64)
    if given.ndim != 1:
        raise ValueError(f"ratings must have shape (n,), got {given.shape}")
    given = given[~np.isnan(given)]
    if not len(given):
        raise ValueError("ratings holds no answer")
    if ((given != np.rint(given)) | (given < least) | (given > greatest)).any():
        raise ValueError(
            f"ratings must be whole numbers in [{least}, {greatest}], got {given.min():g} to {given.max():g}"
        )
    n = len(given)
    counts = {point: int(np.count_nonzero(given == point)) for point in range(least, greatest + 1)}
    half = float(norm.ppf((1 + confidence) / 2) * given.std(ddof=1) / np.sqrt(n)) if n > 1 else float("nan")
    mean = float(given.mean())
    shown = {"n": n, "scale": f"{least}-{greatest}"}
    high = int(np.count_nonzero(given > greatest - top))
    rate, below, above = (float(v) for v in proportion_interval(high, n, confidence=confidence))
    ci = f"{100 * confidence:g}%"
    return Likert(
        counts,
        float(np.median(given)),
        Score(mean, mean - half, mean + half, signature("likert_mean", **shown, ci=f"{ci} normal")),
        Score(rate, below, above, signature("likert_top_box", **shown, top=top, ci=f"{ci} Wilson")),
        n,
    )
