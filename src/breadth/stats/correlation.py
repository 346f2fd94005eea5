"""Covariance and correlation of columns: Pearson, Spearman and Kendall, with missing values and weights."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from breadth.stats import arguments

Floats = NDArray[np.float64]
Missing = Literal["raise", "pairwise"]
WeightKind = Literal["frequency", "reliability"]
_BLOCK = 131072  # values whose deviations are taken at once: 1 MB
_BATCH = 500  # rows at least of one product of matrices


def centred(x: Floats, weight: Floats | None = None) -> tuple[Floats, Floats]:
    """Means of columns and the deviations from them, each in two passes: sum w d = 0 up to the rounding of d, not of x.

    Args:
        x: shape (n, ...), n >= 1.
        weight: shape (n,), > 0 in sum; None weighs rows alike.

    Returns:
        Means, shape (...), and x less the means, shape (n, ...).

    References: Chan, Golub & LeVeque 1983, The American Statistician 37, eq. 1.7.
    """
    mean = x.mean(0) if weight is None else np.average(x, axis=0, weights=weight)
    deviation = x - mean
    off = deviation.mean(0) if weight is None else np.average(deviation, axis=0, weights=weight)
    deviation -= off
    return mean + off, deviation


def covariance(
    x: ArrayLike,
    y: ArrayLike | None = None,
    *,
    weight: ArrayLike | None = None,
    weight_kind: WeightKind = "frequency",
    missing: Missing = "raise",
) -> Any:
    """Sample covariance of two variables, or the matrix of all columns: sum w (x - mean_x)(y - mean_y) / divisor.

    The divisor is n - 1; with frequencies as weights (a row counts w times) sum w - 1; with reliabilities (a row's
    variance is proportional to 1/w) sum w - sum w^2 / sum w, which is unbiased for them.

    Args:
        x: one variable, shape (n,), or columns, shape (n, columns), n >= 2.
        y: a second variable, shape (n,), where x is one.
        weight: w >= 0 per row, shape (n,).
        weight_kind: what weights say.
        missing: "raise" refuses NaN; "pairwise" computes each entry from the rows that have both variables.

    Returns:
        A number for two variables, else a matrix, shape (columns, columns). A pair with fewer than two common rows
        has NaN. Pairwise entries need not make a positive semidefinite matrix.

    Raises:
        ValueError: if shapes disagree, a value is infinite, or NaN where missing is "raise"; if weights are negative or
            the divisor is not positive.

    Cost: O(n columns^2), as products of matrices.
    References: Chan, Golub & LeVeque 1983 (centring); Bevington 1969 (reliability weights).
    Peer: numpy.cov with fweights or aweights, pandas.DataFrame.cov, 1e-12; mpmath at mean 1e9, 1e-12 (A).
    In production: use scikit-learn's LedoitWolf where columns are as many as rows.
    """
    columns, w, pair = _columns(x, y, weight, missing)
    arguments.one_of("weight_kind", weight_kind, ("frequency", "reliability"))
    cross, _, (total, squares, rows) = _sums(columns, w, missing)
    divisor = _divisor(total, squares, weight_kind)
    out = np.divide(cross, np.where((divisor > 0) & (rows >= 2), divisor, np.nan), out=cross)
    if pair and np.isnan(out[0, 1]):
        raise ValueError("x and y have fewer than two rows in common (or weights that leave no more); no covariance")
    return float(out[0, 1]) if pair else out


def pearson(
    x: ArrayLike, y: ArrayLike | None = None, *, weight: ArrayLike | None = None, missing: Missing = "raise"
) -> Any:
    """Pearson's correlation: covariance over the product of standard deviations, in [-1, 1].

    r = sum w dx dy / sqrt(sum w dx^2 sum w dy^2) sees linear dependence only: of x symmetric about 0 and y = x^2 it
    is 0.

    Args:
        x: one variable, shape (n,), or columns, shape (n, columns), n >= 2.
        y: a second variable, shape (n,), where x is one.
        weight: w >= 0 per row, shape (n,); only ratios count.
        missing: "raise" refuses NaN; "pairwise" takes, for each pair, the rows that have both variables.

    Returns:
        A number for two variables, else a matrix, shape (columns, columns), with diagonal 1; NaN in the row and column
        of a constant, and of a pair with fewer than two common rows. What rounding puts beyond 1 is put back.

    Raises:
        ValueError: as `covariance`; and if one of two variables is constant.

    Cost: O(n columns^2).
    References: Pearson 1895, Proc. Royal Society 58.
    Peer: scipy.stats.pearsonr, numpy.corrcoef, pandas.DataFrame.corr, 1e-12; mpmath at mean 1e9 (A).
    In production: draw the scatter plot as well; use `spearman` for monotone relations and
        `breadth.stats.distance_correlation` for any.
    """
    columns, w, pair = _columns(x, y, weight, missing)
    with np.errstate(over="ignore", invalid="ignore"):
        cross, own, _ = _sums(columns, w, missing)
    spread = np.diag(cross)
    if not ((spread > 1e-200) & (spread < 1e200)).all():  # squares overflowed or vanished, or a column is constant
        cross, own, _ = _sums(_of_order_one(columns), w, missing)
    return _finish(_scaled(cross, own), columns, pair)


def spearman(x: ArrayLike, y: ArrayLike | None = None, *, missing: Missing = "raise") -> Any:
    """Spearman's rank correlation: Pearson's of the ranks, ties sharing their mean rank.

    Args:
        x: one variable, shape (n,), or columns, shape (n, columns), n >= 2; infinities are ranked.
        y: a second variable, shape (n,), where x is one.
        missing: "raise" refuses NaN; "pairwise" ranks, for each pair, the rows that have both variables.

    Returns:
        A number for two variables, else a matrix, shape (columns, columns), with NaN as in `pearson`.

    Raises:
        ValueError: if shapes disagree, NaN where missing is "raise", or one of two variables is constant.

    Cost: O(columns n log n + n columns^2); with missing values O(columns^2 n log n).
    References: Spearman 1904, American J. of Psychology 15; Kendall 1970, Rank Correlation Methods, ch. 3 (ties).
    Peer: scipy.stats.spearmanr, pandas.DataFrame.corr(method="spearman"), 1e-12 (A).
    In production: use it for monotone relations and for outliers.
    """
    columns, _, pair = _columns(x, y, None, missing, infinite=True)
    if np.isnan(columns).any():
        return _finish(_each_pair(columns, lambda a, b: _pearson_of(rankdata(a), rankdata(b))), columns, pair)
    ranks = rankdata(columns, axis=0)
    cross, own, _ = _sums(ranks, None, missing)
    return _finish(_scaled(cross, own), columns, pair)


def kendall(x: ArrayLike, y: ArrayLike | None = None, *, missing: Missing = "raise") -> Any:
    """Kendall's tau-b: (concordant - discordant) / sqrt((pairs - ties in x) (pairs - ties in y)).

    Rows are sorted by x, then y; the discordant pairs are the exchanges that sorting y then takes (Knight's method).

    Args:
        x: one variable, shape (n,), or columns, shape (n, columns), n >= 2; infinities are ranked.
        y: a second variable, shape (n,), where x is one.
        missing: "raise" refuses NaN; "pairwise" takes, for each pair, the rows that have both variables.

    Returns:
        A number for two variables, else a matrix, shape (columns, columns), with NaN as in `pearson`.

    Raises:
        ValueError: if shapes disagree, NaN where missing is "raise", or one of two variables is constant.

    Cost: O(n log n) a pair.
    References: Kendall 1945, Biometrika 33 (tau-b); Knight 1966, JASA 61.
    Peer: scipy.stats.kendalltau, 1e-14; counting all pairs (A).
    In production: use it for small samples and ordered categories; it estimates P(concordant) - P(discordant).
    """
    columns, _, pair = _columns(x, y, None, missing, infinite=True)
    return _finish(_each_pair(columns, _tau_b), columns, pair)


def _columns(
    x: ArrayLike, y: ArrayLike | None, weight: ArrayLike | None, missing: str, *, infinite: bool = False
) -> tuple[Floats, Floats | None, bool]:
    """Columns (n, p), weights, and whether they are the two variables of a pair."""
    arguments.one_of("missing", missing, ("raise", "pairwise"))
    a = np.asarray(x, np.float64)
    if y is not None:
        b = np.asarray(y, np.float64)
        if a.ndim != 1 or a.shape != b.shape:
            raise ValueError(f"x and y must be variables of one length, shape (n,), got {a.shape} and {b.shape}")
        a = np.array([a, b]).T
    if a.ndim != 2 or len(a) < 2 or not a.shape[1]:
        raise ValueError(f"x must have shape (n >= 2, columns >= 1), or (n >= 2,) beside y, got {np.shape(x)}")
    if infinite:
        _refuse(a, missing, infinite=True)
    if weight is None:
        return a, None, y is not None
    w = arguments.finite("weight", weight)
    if w.shape != (len(a),) or (w < 0).any() or not w.any():
        raise ValueError(f"weight must be >= 0 with a positive sum, one for each of {len(a)} rows, got shape {w.shape}")
    return a, w, y is not None


def _refuse(a: Floats, missing: str, *, infinite: bool) -> None:
    """Refuse what a measure cannot take; for those that take means, only where a mean has shown that there is some."""
    if not infinite and np.isinf(a).any():
        raise ValueError("x or y holds infinity, which has no distance from a mean; rank correlations take it")
    if missing == "raise" and not _finite(a) and np.isnan(a).any():
        raise ValueError(f"{int(np.isnan(a).any(axis=1).sum())} rows hold NaN; drop them, or pass missing='pairwise'")


def _sums(columns: Floats, weight: Floats | None, missing: str) -> tuple[Floats, Floats, tuple[Any, Any, Any]]:
    """Sums of products of deviations over rows that have both columns, of squares of the first's, (p, p) or (p, 1).

    And, of these rows, the sums of weights and of squared weights, and the number: each one for all, or (p, p).
    """
    cross = _cross(columns, weight)
    n = len(columns)
    if cross is not None:
        sums = (n, n, n) if weight is None else (weight.sum(), (weight**2).sum(), n)
        return cross, np.diag(cross)[:, None], sums
    _refuse(columns, missing, infinite=False)
    cross, own, *sums = _pairwise_sums(columns, np.ones(n) if weight is None else weight, ~np.isnan(columns))
    return cross, own, (sums[0], sums[1], sums[2])


def _of_order_one(columns: Floats) -> Floats:
    """Columns times powers of two that bring their greatest size to [0.5, 1), which changes no correlation."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column of nothing but NaN
        most = np.nanmax(np.abs(columns), axis=0)
    return np.ldexp(columns, np.where(np.isfinite(most), -np.frexp(most)[1], 0))


def _scaled(cross: Floats, own: Floats) -> Floats:
    """Correlations; what rounding puts beyond 1 is put back."""
    root = np.sqrt(own)
    with np.errstate(invalid="ignore", divide="ignore"):
        r = np.divide(cross, root * root.T, out=cross)
    return np.clip(r, -1, 1, out=r)


def _divisor(total: Any, squares: Any, kind: str) -> Any:
    return total - 1 if kind == "frequency" else total - squares / np.where(total > 0, total, 1)


def _finite(columns: Floats) -> bool:
    """Whether there is no NaN or infinity: in one pass where the sum is finite, as it nearly always is."""
    with np.errstate(invalid="ignore", over="ignore"):
        return bool(np.isfinite(columns.sum()) or np.isfinite(columns).all())


def _cross(columns: Floats, weight: Floats | None) -> Floats | None:
    """sum w d d^T of deviations d from the means; None if a column has NaN, which its mean tells.

    Rows are taken in blocks that stay in the cache; what the first pass left of the means is taken off the product.
    """
    n, p = columns.shape
    share = np.full(n, 1 / n) if weight is None else weight / weight.sum()
    mean = share @ columns
    if not np.isfinite(mean).all():
        return None
    step = max(_BLOCK // p, 1)
    batch = -(-_BATCH // step) * step  # rows of a product, in steps whose deviations stay in the cache
    d, ones = np.empty((min(batch, n), p)), np.ones(n if weight is None else 0)
    cross, off = np.empty((0, 0)), np.zeros(p)
    for start in range(0, n, batch):
        stop = min(start + batch, n)
        for first in range(start, stop, step):
            rows = slice(first, min(first + step, stop))
            deviation = np.subtract(columns[rows], mean, out=d[rows.start - start : rows.stop - start])
            off += (ones if weight is None else weight)[rows] @ deviation
        deviation = d[: stop - start]
        weighed = deviation if weight is None else deviation * weight[start:stop, None]
        product = weighed.T @ deviation
        cross = np.add(cross, product, out=product) if cross.size else product
    total = float(n) if weight is None else weight.sum()
    if (off * off > 1e-17 * total * np.diag(cross)).any():  # else below the rounding of the products
        cross -= np.outer(off, off / total)
    # a constant's deviations are rounding, not spread; only a column that varies by no more can be one
    for j in np.flatnonzero(np.diag(cross) <= total * (1e-14 * mean) ** 2):
        if np.ptp(columns[:, j]) == 0:
            cross[j] = cross[:, j] = 0.0
    return cross


def _pairwise_sums(columns: Floats, w: Floats, present: NDArray[np.bool_]) -> tuple[Floats, ...]:
    """The same sums where each pair has rows of its own, from products of matrices.

    Columns are centred first by all the rows they have, so that what remains to subtract for a pair is small.
    """
    middle = np.zeros(columns.shape[1])
    for j in range(columns.shape[1]):
        rows = present[:, j]
        middle[j] = centred(columns[rows, j], w[rows])[0] if w[rows].any() else 0.0
    d = np.where(present, columns - middle, 0.0)
    has = present.astype(np.float64)
    weighed, counted = d * w[:, None], has * w[:, None]
    total, squares, rows = counted.T @ has, (has * (w**2)[:, None]).T @ has, has.T @ has
    sums = weighed.T @ has  # (i, j): sum of column i over the rows that j has
    safe = np.where(total > 0, total, 1)
    cross = weighed.T @ d - sums * sums.T / safe
    cross = (cross + cross.T) / 2
    raw = (weighed * d).T @ has
    own = raw - sums**2 / safe
    own = np.where(own <= 4 * np.finfo(float).eps * raw, 0.0, own)  # constant over the common rows
    return cross, own, total, squares, rows


def _each_pair(columns: Floats, measure: Callable[[Floats, Floats], float]) -> Floats:
    p = columns.shape[1]
    out = np.ones((p, p))
    if _finite(columns):
        present = None
        columns = np.asfortranarray(columns)
    else:
        present = ~np.isnan(columns)
    for i in range(p):
        own = columns[:, i] if present is None else columns[present[:, i], i]
        out[i, i] = 1.0 if len(own) >= 2 and (own != own[0]).any() else np.nan
        for j in range(i):
            if present is None:
                value = measure(columns[:, i], columns[:, j])
            else:
                rows = present[:, i] & present[:, j]
                value = measure(columns[rows, i], columns[rows, j]) if rows.sum() >= 2 else np.nan
            out[i, j] = out[j, i] = value
    return out


def _pearson_of(a: Floats, b: Floats) -> float:
    (_, da), (_, db) = centred(a), centred(b)
    if not da.any() or not db.any():
        return np.nan
    return float(np.clip(da / np.linalg.norm(da) @ (db / np.linalg.norm(db)), -1, 1))


def _tau_b(a: Floats, b: Floats) -> float:
    from breadth.stats.correlation_kernels import exchanges

    n = len(a)
    pairs = n * (n - 1) // 2
    (a_rank, tied_a), (b_rank, tied_b) = _places(a), _places(b)
    both = np.sort(a_rank * n + b_rank)  # one key for two: sorted by a, then b
    tied_both = _tied(both[1:] != both[:-1])
    discordant = int(exchanges((both % n).astype(np.int32)))
    if tied_a == pairs or tied_b == pairs:
        return np.nan
    difference = pairs - tied_a - tied_b + tied_both - 2 * discordant
    return float(np.clip(difference / np.sqrt(pairs - tied_a) / np.sqrt(pairs - tied_b), -1, 1))


def _places(x: Floats) -> tuple[NDArray[np.int64], int]:
    """Place of each value among the distinct ones, from 0, and the number of tied pairs."""
    order = np.argsort(x)
    s = x[order]
    change = s[1:] != s[:-1]
    places = np.empty(len(x), np.int64)
    places[order] = np.concatenate([[0], np.cumsum(change)])
    return places, _tied(change)


def _tied(change: NDArray[np.bool_]) -> int:
    """Pairs within runs of equal values; change[i] says that value i + 1 differs from value i."""
    ends = np.flatnonzero(np.concatenate([[True], change, [True]]))
    lengths = np.diff(ends)
    return int((lengths * (lengths - 1) // 2).sum())


def _finish(r: Floats, columns: Floats, pair: bool) -> Any:
    if not pair:
        np.fill_diagonal(r, np.where(np.isnan(np.diag(r)), np.nan, 1.0))
        return r
    if np.isnan(r[0, 1]):
        raise ValueError(
            "x or y is constant over the rows that they share, or these are fewer than two; no correlation"
        )
    return float(r[0, 1])
