"""Information from samples: divergence by Monte Carlo, and what one variable says of another."""

from __future__ import annotations

import warnings
from numbers import Integral
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import cKDTree
from scipy.special import digamma

from breadth.stats.distributions.saddle_point import deviance
from breadth.stats.divergence import _unit

KLEstimator = Literal["k1", "k2", "k3"]
Floats = NDArray[np.float64]


class MonteCarloKL(NamedTuple):
    """An estimate of KL(p || q) from samples of p, its standard error and its number of samples."""

    estimate: float
    se: float
    n: int


def kl_monte_carlo(
    log_p: ArrayLike, log_q: ArrayLike, *, estimator: KLEstimator = "k3", base: float | None = None
) -> MonteCarloKL:
    """KL(p || q) from log-densities at samples of p, by one of three estimators.

    With d = log q - log p it is the mean of

        k1 = -d                  unbiased, of either sign, its variance high
        k2 = d^2 / 2             biased (about KL + a third moment of d), never negative, its variance low
        k3 = exp(d) - 1 - d      unbiased, never negative, its variance low where p and q are near

    Args:
        log_p: log p(x_i) at samples x_i ~ p, finite, shape (n,), n >= 2.
        log_q: log q(x_i), shape (n,), below inf; -inf where q has no mass.
        estimator: which of the three.
        base: of the logarithm, > 1; None means e.

    Returns:
        The mean, its standard error std / sqrt(n) (ddof 1) and n; infinite, with se NaN, where a log q is -inf.

    Raises:
        ValueError: if the shapes differ, n < 2, a log_p is not finite, a log_q is NaN or inf, or an option is unknown.

    Cost: O(n).
    References: Schulman 2020, "Approximating KL divergence", joschu.net/blog/kl-approx.html (with his q as our p).
    Peer: the closed form of normals within 5 standard errors (B); each value by mpmath at 40 digits, 1e-12 (A).
    In production: use k3 to watch a policy stay near its reference; k1 where the estimate is subtracted from a reward;
        its gradient is another matter.
    """
    first, second = np.asarray(log_p, dtype=np.float64), np.asarray(log_q, dtype=np.float64)
    if estimator not in get_args(KLEstimator):
        raise ValueError(f"estimator must be 'k1', 'k2' or 'k3', got {estimator!r}")
    if first.ndim != 1 or first.size < 2 or first.shape != second.shape:
        raise ValueError(f"log_p and log_q must have one shape (n >= 2,), got {first.shape} and {second.shape}")
    if not np.isfinite(first).all():
        raise ValueError("log_p must be finite at samples of p; NaN or infinity says they are not")
    if np.isnan(second).any() or (second == np.inf).any():
        raise ValueError("log_q holds NaN or inf; -inf is its only infinity that a sample of p may have")
    d = second - first
    with np.errstate(over="ignore", invalid="ignore"):
        if estimator == "k1":
            values = -d
        elif estimator == "k2":
            values = 0.5 * d * d
        else:
            # exp(d) - 1 - d is the deviance of 1 from exp(d), of which a small d leaves no digit by subtraction
            values = np.where(np.abs(d) < 0.1, _exponential_rest(d), np.expm1(d) - d)
        values = values / _unit(base)
        return MonteCarloKL(float(values.mean()), float(values.std(ddof=1) / np.sqrt(d.size)), d.size)


def mutual_information(table: ArrayLike, *, base: float | None = None) -> float:
    """I(X; Y) = KL(p(x, y) || p(x) p(y)) of a table of joint counts or probabilities.

    Args:
        table: >= 0 with a positive sum, shape (values of x, values of y); only ratios count.
        base: of the logarithm, > 1; None means e.

    Returns:
        Information in [0, min(H(X), H(Y))]; 0 exactly where the table is an outer product, up to rounding.

    Raises:
        ValueError: if the table is not 2-D, has negative, NaN or infinite entries or no positive one, or base <= 1.

    Cost: O(size of table).
    References: Cover & Thomas 2006, eq. 2.28.
    Peer: sklearn.metrics.mutual_info_score(contingency=...), mpmath, 1e-12 (A).
    In production: use it on tables with many counts a cell; few are biased up by about (r - 1)(c - 1) / (2 n).
    """
    joint = np.asarray(table, dtype=np.float64)
    if joint.ndim != 2 or not np.isfinite(joint).all() or (joint < 0).any() or not joint.any():
        raise ValueError(f"table must be 2-D, finite and >= 0 with a positive sum, got shape {joint.shape}")
    joint = joint / joint.max()
    joint = joint / joint.sum()
    rows, columns = joint.sum(1), joint.sum(0)
    i, j = np.nonzero(joint)
    return _information(joint[i, j], rows[i], columns[j]) / _unit(base)


def mutual_information_of_samples(
    x: ArrayLike,
    y: ArrayLike,
    *,
    method: Literal["discrete", "nearest"] = "discrete",
    n_neighbors: int = 3,
    base: float | None = None,
) -> float:
    """I(X; Y) from paired observations.

    "discrete" counts pairs of equal values: sum n_ij/n log(n n_ij / (n_i n_j)). "nearest" is for continuous values:
    psi(k) + psi(n) - mean[psi(m_x + 1) + psi(m_y + 1)], with m the number of other points nearer in that variable alone
    than the k-th neighbour is in both (the larger of the two distances).

    Args:
        x: observations, shape (n,); for "nearest" also (n, columns), finite.
        y: likewise.
        method: how probabilities are estimated.
        n_neighbors: k of "nearest", in [1, n - 1]; more lowers variance and raises bias.
        base: of the logarithm, > 1; None means e.

    Returns:
        "discrete": in [0, min(H(X), H(Y))]. "nearest": about 0 for independent variables, of either sign.

    Raises:
        ValueError: if lengths differ or are 0, values are not finite ("nearest"), or an option is out of range.

    Warns:
        UserWarning: if "discrete" is given continuous values, none of which occurs twice.

    Cost: "discrete" O(n log n) whatever the number of values; "nearest" O(n log n) with a tree for each variable.
    Deviations: "nearest" adds no noise to break ties and does not set a negative estimate to 0, as scikit-learn does;
        values that repeat are not continuous, and its estimate is then off.
    References: Cover & Thomas 2006, eq. 2.28; Kraskov, Stögbauer & Grassberger 2004, Physical Review E 69, eq. 8.
    Peer: sklearn.metrics.mutual_info_score, 1e-12 (A); sklearn.feature_selection.mutual_info_regression, 1e-10 given
        the same neighbours (A).
    In production: use "discrete" for labels; bin nothing that is continuous, take "nearest".
    """
    first, second = np.asarray(x), np.asarray(y)
    if first.ndim == 0 or second.ndim == 0 or len(first) != len(second) or len(first) == 0:
        raise ValueError(f"x and y must hold as many observations, at least 1, got {first.shape} and {second.shape}")
    if method == "nearest":
        return _nearest_information(first, second, n_neighbors) / _unit(base)
    if method != "discrete":
        raise ValueError(f"method must be 'discrete' or 'nearest', got {method!r}")
    if first.ndim != 1 or second.ndim != 1:
        raise ValueError(f"x and y must have shape (n,) for 'discrete', got {first.shape} and {second.shape}")
    (a, i), (b, j) = (np.unique(v, return_inverse=True) for v in (first, second))
    n = len(i)
    if n == len(a) == len(b) and n > 1 and all(v.dtype.kind == "f" and (v != np.rint(v)).any() for v in (a, b)):
        warnings.warn(
            f"no value of x or y occurs twice, so that method='discrete' gives log {n} whatever they share; for "
            "continuous values take method='nearest'",
            stacklevel=2,
        )
    pairs, counts = np.unique(i * np.int64(j.max() + 1) + j, return_counts=True)
    row, column = np.divmod(pairs, j.max() + 1)
    return _information(counts / n, np.bincount(i)[row] / n, np.bincount(j)[column] / n) / _unit(base)


def _information(joint: Floats, row: Floats, column: Floats) -> float:
    """Sum of joint log(joint / (row column)) over the cells that have mass, as a sum of terms >= 0."""
    product = row * column
    # cells without joint mass would each add row column, all of them together 1 less the product's sum here
    return max(float(deviance(joint, product).sum() + (1 - product.sum())), 0.0)


def _nearest_information(x: NDArray, y: NDArray, k: int) -> float:
    points = []
    for name, v in (("x", x), ("y", y)):
        v = np.asarray(v, dtype=np.float64)
        v = v[:, None] if v.ndim == 1 else v
        if v.ndim != 2 or not np.isfinite(v).all():
            raise ValueError(f"{name} must be finite of shape (n,) or (n, columns) for 'nearest', got shape {v.shape}")
        points.append(v)
    n = len(points[0])
    if not isinstance(k, Integral) or isinstance(k, bool) or not 1 <= k < n:
        raise ValueError(f"n_neighbors must be an integer in [1, {n - 1}], got {k!r}")
    distance = cKDTree(np.hstack(points)).query(np.hstack(points), k=[k + 1], p=np.inf)[0][:, 0]
    below = np.nextafter(distance, 0)  # strictly nearer
    total = digamma(k) + digamma(n)
    for v in points:
        within = cKDTree(v).query_ball_point(v, below, p=np.inf, return_length=True)  # counts the point itself
        total -= float(np.mean(digamma(within)))
    return float(total)


def _exponential_rest(d: Floats) -> Floats:
    """exp(d) - 1 - d for small d, by its series."""
    total = np.zeros_like(d)
    for j in range(12, 1, -1):
        total = d / j * (1 + total) if j > 2 else d * d / 2 * (1 + total)
    return total
