"""Have chains mixed, and how many independent draws are theirs worth: rank-normalised R-hat and effective size."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.fft import irfft, next_fast_len, rfft
from scipy.special import ndtri
from scipy.stats import rankdata

from breadth.stats import arguments

Floats = NDArray[np.float64]


def rhat(draws: ArrayLike) -> Floats:
    """Rank-normalised split R-hat: the larger of that of location and that of spread.

    Each chain is split in halves; all draws become z = Phi^-1((rank - 3/8) / (S + 1/4)); then
    R-hat = sqrt(((n - 1) W + B) / (n W)) with W the mean of the chains' variances and B n times the variance of their
    means. The second takes |draw - median| in place of the draws, and sees chains of like centre and unlike spread.

    Args:
        draws: shape (chains, draws) or (chains, draws, ...), at least 4 draws, finite.

    Returns:
        R-hat of each quantity, shape (...): below 1.01 chains agree. Infinite where chains are stuck at different
        values, NaN where nothing moves at all.

    Raises:
        ValueError: if there are too few draws or one is not finite.

    Cost: O(S log S) for S draws.
    References: Vehtari et al. 2021, Bayesian Analysis 16, eq. 1 to 4 and section 4; arXiv:1903.08008.
    Peer: arviz_stats.rhat, 1e-12 (A).
    In production: run at least four chains from scattered starts; one chain only compares its halves.
    """
    halves = _split(_draws(draws))
    location = _rhat(_normal_scores(halves))
    folded = np.abs(halves - np.median(halves, axis=(0, 1)))
    spread = _rhat(_normal_scores(folded))
    return np.fmax(location, spread)


def effective_sample_size(draws: ArrayLike, *, kind: Literal["bulk", "tail", "mean"] = "bulk") -> Floats:
    """Number of independent draws with the same error: S / (1 + 2 sum of autocorrelations).

    Autocorrelations are rho_t = 1 - (W - mean of the chains' autocovariances at t) / var+, with
    var+ = W (n - 1)/n + B/n, so that chains that disagree count for little; their sum ends at Geyer's first negative
    pair, pairs made monotone. "bulk" takes rank-normalised split draws, "mean" split draws as they are, and "tail" the
    smaller of those of the indicators of the 5 % and the 95 % quantile.

    Args:
        draws: shape (chains, draws) or (chains, draws, ...), at least 4 draws, finite.
        kind: what is to be estimated from the draws.

    Returns:
        Effective sizes, shape (...), at most S log10(S): antithetic chains may beat independent draws. S where nothing
        moves.

    Raises:
        ValueError: if there are too few draws, one is not finite, or kind is unknown.

    Cost: O(S log S), by fast Fourier transforms.
    References: Vehtari et al. 2021, eq. 10 to 13 and section 4.3; Geyer 1992, Statistical Science 7.
    Peer: arviz_stats.ess, 1e-10 (A).
    In production: the Monte Carlo error of a mean is the posterior's deviation over the root of the "mean" size; ask
        for 100 a chain before an interval's ends are printed.
    """
    arguments.one_of("kind", kind, ("bulk", "tail", "mean"))
    x = _draws(draws)
    if kind == "mean":
        return _size(_split(x))
    if kind == "bulk":
        return _size(_normal_scores(_split(x)))
    low, high = (_size(_split((x <= np.quantile(x, q, axis=(0, 1))).astype(np.float64))) for q in (0.05, 0.95))
    return np.minimum(low, high)


def _draws(draws: ArrayLike) -> Floats:
    x = np.asarray(draws, np.float64)
    if x.ndim < 2 or not x.shape[0] or x.shape[1] < 4:
        raise ValueError(
            f"draws must have shape (chains >= 1, draws >= 4, ...), got {x.shape}; one chain is draws[None]"
        )
    if not np.isfinite(x).all():
        raise ValueError(f"draws hold NaN or infinity in {int((~np.isfinite(x)).sum())} of {x.size} values")
    return x


def _split(x: Floats) -> Floats:
    """Halves of chains, (2 chains, draws // 2, ...); the middle draw of an odd number is left out."""
    half = x.shape[1] // 2
    return np.concatenate([x[:, :half], x[:, -half:]])


def _normal_scores(x: Floats) -> Floats:
    size = x.shape[0] * x.shape[1]
    rank = rankdata(x.reshape(size, -1), axis=0).reshape(x.shape)
    return ndtri((rank - 0.375) / (size + 0.25))


def _rhat(x: Floats) -> Floats:
    n = x.shape[1]
    within = np.where(np.ptp(x, axis=1) == 0, 0.0, x.var(1, ddof=1)).mean(0)
    between = n * x.mean(1).var(0, ddof=1)
    between = np.where(np.ptp(x, axis=(0, 1)) == 0, 0.0, between)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.sqrt((between / within + n - 1) / n)


def _size(x: Floats) -> Floats:
    """Effective size of split chains, shape (chains, n, ...)."""
    chains, n = x.shape[:2]
    columns = x.reshape(chains, n, -1)
    still = np.ptp(columns, axis=(0, 1)) == 0
    deviation = columns - columns.mean(1, keepdims=True)
    padded = next_fast_len(2 * n)
    transformed = rfft(deviation, padded, axis=1)
    covariance = irfft(transformed * np.conj(transformed), padded, axis=1)[:, :n] / n  # (chains, n, columns)
    within = covariance[:, 0].mean(0) * n / (n - 1)
    total = within * (n - 1) / n
    if chains > 1:
        total = total + columns.mean(1).var(0, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        rho = 1 - (within - covariance.mean(0)) / total  # (n, columns)
    rho[0] = 1.0
    sizes = np.array(
        [chains * n if still[j] else _from_autocorrelation(rho[:, j], chains * n) for j in range(len(still))]
    )
    return sizes.reshape(x.shape[2:])


def _from_autocorrelation(rho: Floats, size: int) -> float:
    """S over Geyer's initial monotone sequence; rho (n,), rho[0] = 1."""
    n = len(rho)
    pairs = rho[: n - n % 2].reshape(-1, 2).sum(1)
    ended = np.flatnonzero(pairs <= 0)
    k = min(int(ended[0]) if ended.size else n, max(0, (n - 3) // 2))  # pairs counted; the last lags are mere noise
    total = -1 + 2 * np.minimum.accumulate(pairs[:k]).sum()
    total += max(float(rho[2 * k]), 0.0)  # the even term after the last pair: antithetic chains need it
    return float(size / max(total, 1 / np.log10(size)))
