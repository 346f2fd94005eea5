"""Strengths of players from games between pairs of them: Bradley-Terry by maximum likelihood, and Elo."""

from __future__ import annotations

import contextlib
from collections.abc import Hashable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from breadth.metrics import checks
from breadth.metrics.checks import Floats
from breadth.metrics.ratings_fit import bootstrap, fit, paired, unbounded
from breadth.metrics.score import signature

_ELO = 400 / np.log(10)  # Elo points in a unit of log-strength


class Ratings(NamedTuple):
    """Players' ratings with intervals, in the order of `players`."""

    players: list
    rating: Floats
    low: Floats  # NaN where no interval was asked for
    high: Floats
    tie: float  # the tie parameter; 0 without ties, or where they count half
    log_likelihood: float
    signature: str

    def ranking(self) -> list:
        """Players, the strongest first."""
        return [self.players[i] for i in np.argsort(-self.rating, kind="stable")]


def bradley_terry(
    first: Sequence[Hashable],
    second: Sequence[Hashable],
    outcome: ArrayLike,
    *,
    ties: Literal["half", "rao-kupper", "davidson"] = "half",
    weight: ArrayLike | None = None,
    interval: Literal["hessian", "bootstrap"] | None = "hessian",
    confidence: float = 0.95,
    n_resamples: int = 200,
    seed: int = 0,
    scale: float = _ELO,
    centre: float = 1000.0,
) -> Ratings:
    """Maximum-likelihood strengths with P(i beats j) = p_i / (p_i + p_j), p = exp(theta), and of ties.

    "half" counts a tie as half a win of each. "rao-kupper": P(i beats j) = p_i / (p_i + nu p_j), P(tie) = (nu^2 - 1)
    p_i p_j / ((p_i + nu p_j)(nu p_i + p_j)), nu >= 1. "davidson": P(i beats j) = p_i / D, P(tie) = nu sqrt(p_i p_j) /
    D, D = p_i + p_j + nu sqrt(p_i p_j). Ratings are centre + scale x theta, with mean centre.

    Args:
        first, second: players of each game, shape (games,).
        outcome: 1 where the first won, 0 where the second did, 0.5 for a tie.
        ties: how they are modelled.
        weight: of each game, >= 0; None is 1. A weight m is m equal games.
        interval: "hessian", theta +- z se from the inverse information; "bootstrap", percentiles over games drawn with
            replacement; or None.
        confidence: coverage aimed at, in (0, 1).
        n_resamples: draws of "bootstrap", >= 20.
        seed: of the draws.
        scale: rating points in a unit of theta; 400 / ln 10 gives Elo's.
        centre: mean rating.

    Returns:
        Ratings. Intervals are of each rating's distance from the mean of all.

    Raises:
        ValueError: if there are no games, a player meets himself, an outcome is none of 0, 0.5 and 1, or the maximum
            does not exist because some group of players never lost (or never played) against the rest; the message
            names them. A bootstrap draw of that kind is drawn again.

    Cost: O(pairs) a step of Newton's method, O(players^3) to solve for it; that n_resamples times for "bootstrap".
    References: Bradley & Terry 1952, Biometrika 39; Rao & Kupper 1967, JASA 62; Davidson 1970, JASA 65; Ford 1957 (when
        the maximum exists); Chiang et al. 2024, arXiv:2403.04132, section 4 (Chatbot Arena).
    Peer: choix.opt_pairwise and statsmodels.Logit without ties, 1e-6 (A); with ties scipy.optimize on the likelihood
        written out, 1e-6 (B).
    In production: for a fixed set of players; games of one voter or one prompt depend on each other.
    """
    checks.one_of("ties", ties, ("half", "rao-kupper", "davidson"))
    checks.one_of("interval", interval, ("hessian", "bootstrap", None))
    checks.share("confidence", confidence)
    if interval == "bootstrap" and n_resamples < 20:
        raise ValueError(f"n_resamples must be >= 20, got {n_resamples!r}")
    players, a, b, result = games(first, second, outcome)
    n = len(players)
    w = checks.weights(weight, len(a))
    w = np.ones(len(a)) if w is None else w
    pairs = paired(a, b, result, w, n)
    if problem := unbounded(pairs, players, ties):
        raise ValueError(problem)
    theta, tie, value, information = fit(pairs, n, ties)
    z = float(norm.ppf((1 + confidence) / 2))
    low = high = np.full(n, np.nan)
    if interval == "hessian":
        # the mean of theta is 0: the pseudo-inverse is the covariance under that constraint
        se = np.sqrt(np.diag(np.linalg.pinv(information, hermitian=True))[:n])
        low, high = theta - z * se, theta + z * se
    elif interval == "bootstrap":
        draws = bootstrap(a, b, result, w, players, ties, n_resamples, seed)
        low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    has_ties = bool(np.any((result == 0.5) & (w > 0)))
    how = {"games": len(a), "players": n, "ties": ties if has_ties else "none", "scale": f"{scale:.6g}"}
    if interval:
        drawn = f", {n_resamples} resamples, seed {seed}" if interval == "bootstrap" else ""
        how["ci"] = f"{100 * confidence:g}% {interval}{drawn}"
    rated = [centre + scale * t for t in (theta, low, high)]
    return Ratings(players, rated[0], rated[1], rated[2], tie, value, signature("bradley_terry", **how))


def elo(
    first: Sequence[Hashable],
    second: Sequence[Hashable],
    outcome: ArrayLike,
    *,
    k: float = 32.0,
    start: float = 1000.0,
    interval: Literal["bootstrap"] | None = None,
    confidence: float = 0.95,
    n_resamples: int = 200,
    seed: int = 0,
) -> Ratings:
    """Ratings that each game moves: R += k (outcome - 1 / (1 + 10^((R_other - R) / 400))).

    They depend on the order of the games: the last ones count most.

    Args:
        first, second, outcome: games in their order, as for `bradley_terry`.
        k: most points a game can move, > 0.
        start: rating of a player before his first game.
        interval: "bootstrap", percentiles over games drawn with replacement, in random order; or None.
        confidence, n_resamples, seed: of the interval.

    Returns:
        Ratings. log_likelihood is that of the outcomes given the ratings before each game.

    Raises:
        ValueError: if there are no games, a player meets himself, an outcome is none of 0, 0.5 and 1, or an argument is
            out of range.

    Cost: O(games); that n_resamples times for the interval.
    References: Elo 1978, The Rating of Chessplayers, section 1.6; Boubdir et al. 2023, arXiv:2311.17295 (order).
    Peer: the recursion written out by hand (B).
    In production: for players whose strength changes; for models that do not, `bradley_terry`.
    """
    checks.share("confidence", confidence)
    if not k > 0:
        raise ValueError(f"k must be > 0, got {k!r}")
    checks.one_of("interval", interval, ("bootstrap", None))
    players, a, b, result = games(first, second, outcome)
    rating, value = _elo(a, b, result, len(players), k, start)
    low = high = np.full(len(players), np.nan)
    how: dict = {"games": len(a), "players": len(players), "k": float(k), "start": float(start)}
    if interval:
        rng = np.random.default_rng(seed)
        drawn = [rng.integers(len(a), size=len(a)) for _ in range(n_resamples)]
        ends = [_elo(a[d], b[d], result[d], len(players), k, start)[0] for d in drawn]
        low, high = np.quantile(ends, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
        how["ci"] = f"{100 * confidence:g}% bootstrap, {n_resamples} resamples, seed {seed}"
    return Ratings(players, rating, low, high, 0.0, value, signature("elo", **how))


def games(
    first: Sequence[Hashable], second: Sequence[Hashable], outcome: ArrayLike
) -> tuple[list, NDArray[np.intp], NDArray[np.intp], Floats]:
    """Players in their sorted order (or that of their appearance, where they have none), and games as indices.

    Raises:
        ValueError: as `bradley_terry`.
    """
    one, other = list(first), list(second)
    result = checks.numbers("outcome", outcome) if len(one) else np.empty(0)
    if not len(one) == len(other) == len(result):
        raise ValueError(f"first, second and outcome must be alike long, got {len(one)}, {len(other)}, {len(result)}")
    if not one:
        raise ValueError("first is empty; ratings need at least one game")
    if not np.isin(result, (0, 0.5, 1)).all():
        raise ValueError("outcome must be 1 (the first won), 0 (the second won) or 0.5 (a tie)")
    players: list[Any] = list(dict.fromkeys([*one, *other]))
    with contextlib.suppress(TypeError):  # names of several kinds
        players.sort()
    place = {player: i for i, player in enumerate(players)}
    a, b = (np.array([place[player] for player in side], np.intp) for side in (one, other))
    if (a == b).any():
        raise ValueError(f"game {int((a == b).argmax())}: {one[int((a == b).argmax())]!r} plays against himself")
    return players, a, b, result.astype(np.float64)


def _elo(a: NDArray, b: NDArray, result: Floats, n: int, k: float, start: float) -> tuple[Floats, float]:
    rating = [start] * n
    value = 0.0
    for one, other, won in zip(a.tolist(), b.tolist(), result.tolist(), strict=True):
        expected = 1 / (1 + 10 ** ((rating[other] - rating[one]) / 400))
        value += won * np.log(expected) + (1 - won) * np.log1p(-expected)
        rating[one] += k * (won - expected)
        rating[other] -= k * (won - expected)
    return np.array(rating), float(value)
