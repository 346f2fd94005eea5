"""Moments: raw, central and standardised, of an array or of a stream whose parts merge.

Central moments take two passes (mean first, then powers of deviations), streams merge deviations about their own means;
the difference E[x^2] - E[x]^2 has no correct digit at mean 1e9 and standard deviation 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def raw_moment(x: ArrayLike, order: int, *, axis: int | None = None, weight: ArrayLike | None = None) -> Any:
    """E[x^order]; the first is the mean.

    Args:
        x: finite, any shape.
        order: >= 0.
        axis: to average over; None means all values.
        weight: >= 0 with a positive sum, of the shape of x or, with an axis, of its length; None means equal weights.

    Returns:
        The moment, with `axis` taken out of the shape of x.

    Raises:
        ValueError: if x is empty or not finite, order < 0, or a weight is out of range.

    Cost: O(size of x).
    References: Kenney & Keeping 1962, Mathematics of Statistics, section 7.2.
    Peer: mpmath at 40 digits and scipy.stats.moment(center=0), 1e-12 (A).
    In production: use it for Adam's second moment E[g^2] and the like; for spread take `central_moment`.
    """
    rows, w = _rows(x, axis, weight)
    return _mean(rows ** _order(order, 0), w)[()]


def central_moment(x: ArrayLike, order: int, *, axis: int | None = None, weight: ArrayLike | None = None) -> Any:
    """E[(x - mean)^order]: 0 for order 1, the (biased) variance for order 2.

    Args:
        x: finite, any shape.
        order: >= 0.
        axis: to average over; None means all values.
        weight: >= 0 with a positive sum, of the shape of x or, with an axis, of its length; None means equal weights.

    Returns:
        The moment, with `axis` taken out of the shape of x.

    Raises:
        ValueError: if x is empty or not finite, order < 0, or a weight is out of range.

    Cost: O(size of x), two passes.
    References: Kenney & Keeping 1962, section 7.3; Chan, Golub & LeVeque 1983, The American Statistician 37(3), eq. 1.7
        (the second pass takes out what rounding left in the mean).
    Peer: mpmath at 40 digits, means to 1e9, and scipy.stats.moment, 1e-12 (A).
    In production: use it as is; `Moments` where the data do not fit or come in parts.
    """
    rows, w = _rows(x, axis, weight)
    if _order(order, 0) == 1:
        return np.zeros(rows.shape[1:])[()]
    return _mean(_power(_deviations(rows, w), order), w)[()]


def standardised_moment(x: ArrayLike, order: int, *, axis: int | None = None, weight: ArrayLike | None = None) -> Any:
    """E[((x - mean) / std)^order]: 0, 1, skewness and kurtosis for orders 1 to 4; any scale and offset drop out.

    Args:
        x: finite, any shape.
        order: >= 1.
        axis: to average over; None means all values.
        weight: >= 0 with a positive sum, of the shape of x or, with an axis, of its length; None means equal weights.

    Returns:
        The moment, with `axis` taken out of the shape of x; NaN where all values are equal, for 0/0 has no value.

    Raises:
        ValueError: if x is empty or not finite, order < 1, or a weight is out of range.

    Cost: O(size of x), three passes.
    References: Casella & Berger 2002, exercise 2.28; Kenney & Keeping 1962, section 7.9.
    Peer: mpmath at 40 digits and scipy.stats.skew, kurtosis, 1e-12 (A).
    In production: use `skewness` and `kurtosis`, which also correct their bias.
    """
    rows, w = _rows(x, axis, weight)
    d = _deviations(rows, w)
    with np.errstate(invalid="ignore", divide="ignore"):
        d = d / np.abs(d).max(0)  # powers of what is tiny or huge stay in range
        if _order(order, 1) == 1:
            return np.where(np.isnan(d).any(0), np.nan, 0.0)[()]
        return (_mean(_power(d, order), w) / _mean(d**2, w) ** (order / 2))[()]


def skewness(x: ArrayLike, *, bias: bool = True, axis: int | None = None, weight: ArrayLike | None = None) -> Any:
    """mu_3 / sigma^3, or without bias G_1 = sqrt(n (n - 1)) / (n - 2) times it.

    Args:
        x: finite, any shape.
        bias: False corrects for the sample size n (or sum of weights, taken as counts), which must exceed 2.
        axis: to average over; None means all values.
        weight: >= 0 with a positive sum, of the shape of x or, with an axis, of its length; None means equal weights.

    Returns:
        Skewness, with `axis` taken out of the shape of x; NaN where all values are equal.

    Raises:
        ValueError: if x is empty or not finite, a weight is out of range, or n <= 2 with bias=False.

    Cost: O(size of x).
    References: Joanes & Gill 1998, The Statistician 47(1), g_1 and G_1.
    Peer: scipy.stats.skew, both options, 1e-12 (A).
    In production: use it as is, beside a plot: one outlier decides it.
    """
    g = standardised_moment(x, 3, axis=axis, weight=weight)
    return g if bias else _unbiased_skewness(g, _counts(x, axis, weight))


def kurtosis(
    x: ArrayLike, *, excess: bool = True, bias: bool = True, axis: int | None = None, weight: ArrayLike | None = None
) -> Any:
    """mu_4 / sigma^4 - 3, or without bias G_2 = (n - 1) / ((n - 2)(n - 3)) ((n + 1) g_2 + 6).

    Args:
        x: finite, any shape.
        excess: whether 3, the normal's, is taken off.
        bias: False corrects for the sample size n (or sum of weights, taken as counts), which must exceed 3.
        axis: to average over; None means all values.
        weight: >= 0 with a positive sum, of the shape of x or, with an axis, of its length; None means equal weights.

    Returns:
        Kurtosis, with `axis` taken out of the shape of x; NaN where all values are equal.

    Raises:
        ValueError: if x is empty or not finite, a weight is out of range, or n <= 3 with bias=False.

    Cost: O(size of x).
    References: Joanes & Gill 1998, The Statistician 47(1), g_2 and G_2.
    Peer: scipy.stats.kurtosis, all options, 1e-12 (A).
    In production: use it as is, beside a plot: one outlier decides it.
    """
    g = standardised_moment(x, 4, axis=axis, weight=weight) - 3
    g = g if bias else _unbiased_kurtosis(g, _counts(x, axis, weight))
    return g if excess else g + 3


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Weight, mean and central moments to the fourth of what has been seen; parts merge with `+`.

        total = sum((Moments.of(part) for part in parts), start=Moments.of(first))

    With d = mean_b - mean_a, of a and b together M2 = M2_a + M2_b + d^2 n_a n_b / n, and alike to M4. The mean is kept
    as origin + offset, so that it has more digits than one float64: at mean 1e9 rounding it alone would move M3.

    Args:
        n: number of observations or total weight.
        origin: a value near the mean, shape (...).
        offset: mean - origin, shape (...).
        m2: sum of (x - mean)^2, shape (...).
        m3: sum of (x - mean)^3, shape (...).
        m4: sum of (x - mean)^4, shape (...).

    Cost: O(size) a part, O(1) a merger.
    References: Pébay 2008, Sandia report SAND2008-6212, eq. 2.1, 3.1 and those for M4; Chan, Golub & LeVeque 1983.
    Peer: mpmath at 40 digits, means to 1e9, any split and order, 1e-10 (A).
    In production: use it for streams, for data in chunks and for sums over processes.
    """

    n: float
    origin: Floats
    offset: Floats
    m2: Floats
    m3: Floats
    m4: Floats

    @classmethod
    def of(cls, x: ArrayLike, *, weight: ArrayLike | None = None) -> Self:
        """The moments of rows x (n, ...), taken over the first axis.

        Args:
            x: finite, shape (n, ...), n >= 1.
            weight: >= 0 with a positive sum, shape (n,): weight 2 is the row twice. None means 1.

        Returns:
            Moments of shape (...).
        """
        rows, w = _rows(x, 0, weight)
        total = float(w.sum()) if w.ndim == 1 else float(w[:, 0].sum())
        origin = np.array(rows[0])
        offset = _mean(rows - origin, w)
        d = rows - origin - offset
        left = _mean(d, w)  # rounding of the offset
        d, offset = d - left, offset + left
        return cls(total, origin, np.asarray(offset), *(np.asarray(_mean(d**k, w) * total) for k in (2, 3, 4)))

    def add(self, x: ArrayLike, *, weight: ArrayLike | None = None) -> Self:
        """These and the moments of more rows (n, ...) together."""
        return self + type(self).of(x, weight=weight)

    def __add__(self, other: Self) -> Self:
        if self.origin.shape != other.origin.shape:
            raise ValueError(f"moments to merge must have one shape, got {self.origin.shape} and {other.origin.shape}")
        na, nb = self.n, other.n
        n = na + nb
        # between the origins no digit is lost where they are near, and between the offsets none that counts
        d = (other.origin - self.origin) + (other.offset - self.offset)
        fa, fb = na / n, nb / n
        m2 = self.m2 + other.m2 + d**2 * na * fb
        m3 = self.m3 + other.m3 + d**3 * na * fb * (fa - fb) + 3 * d * (fa * other.m2 - fb * self.m2)
        m4 = (
            self.m4
            + other.m4
            + d**4 * na * fb * (fa * fa - fa * fb + fb * fb)
            + 6 * d**2 * (fa * fa * other.m2 + fb * fb * self.m2)
            + 4 * d * (fa * other.m3 - fb * self.m3)
        )
        return type(self)(n, self.origin, self.offset + fb * d, m2, m3, m4)

    @property
    def mean(self) -> Any:
        """E[x]."""
        return (self.origin + self.offset)[()]

    @property
    def var(self) -> Any:
        """E[(x - mean)^2], with divisor n."""
        return (self.m2 / self.n)[()]

    @property
    def std(self) -> Any:
        """The root of var."""
        return np.sqrt(self.var)

    def variance(self, *, ddof: float = 0) -> Any:
        """M2 / (n - ddof); ddof 1 is unbiased where weights are counts.

        Raises:
            ValueError: if n <= ddof.
        """
        if not self.n > ddof:
            raise ValueError(f"ddof must be < n = {self.n:g}, got {ddof!r}")
        return (self.m2 / (self.n - ddof))[()]

    def skewness(self, *, bias: bool = True) -> Any:
        """As `breadth.stats.moments.skewness`; NaN where all values are equal."""
        with np.errstate(invalid="ignore", divide="ignore"):
            g = ((self.m3 / self.n) / (self.m2 / self.n) ** 1.5)[()]
        return g if bias else _unbiased_skewness(g, self.n)

    def kurtosis(self, *, excess: bool = True, bias: bool = True) -> Any:
        """As `breadth.stats.moments.kurtosis`; NaN where all values are equal."""
        with np.errstate(invalid="ignore", divide="ignore"):
            g = ((self.m4 / self.n) / (self.m2 / self.n) ** 2 - 3)[()]
        g = g if bias else _unbiased_kurtosis(g, self.n)
        return g if excess else g + 3


def _order(order: int, least: int) -> int:
    if not isinstance(order, Integral) or isinstance(order, bool) or order < least:
        raise ValueError(f"order must be an integer >= {least}, got {order!r}")
    return int(order)


def _rows(x: ArrayLike, axis: int | None, weight: ArrayLike | None) -> tuple[Floats, Floats]:
    """x with the axis to average over in front, and weights of its shape or (n,)."""
    values = np.asarray(x, dtype=np.float64)
    if values.size == 0 or values.ndim == 0:
        raise ValueError(f"x must hold at least one value along an axis, got shape {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("x holds NaN or infinity; leave those values out, or weight each of the others")
    rows = values.reshape(-1) if axis is None else np.moveaxis(values, axis, 0)
    if weight is None:
        return rows, np.ones(len(rows))
    w = np.asarray(weight, dtype=np.float64)
    if w.shape == values.shape:
        w = w.reshape(-1) if axis is None else np.moveaxis(w, axis, 0)
    elif w.shape != (len(rows),):
        raise ValueError(f"weight must have the shape of x, {values.shape}, or ({len(rows)},), got {w.shape}")
    if not np.isfinite(w).all() or (w < 0).any() or not (w.sum(0) > 0).all():
        raise ValueError("weight must be finite and >= 0 with a positive sum")
    return rows, w


def _power(d: Floats, order: int) -> Floats:
    """d^order; low orders as products, which take a tenth of the time of pow."""
    if not 3 <= order <= 8:
        return d**order
    square = d * d
    out = square * (square if order >= 4 else d)
    for _ in range(order // 2 - 2):
        out = out * square
    return out * d if order % 2 and order > 3 else out


def _mean(values: Floats, w: Floats) -> Any:
    if w.ndim == 1:
        return np.tensordot(w, values, 1) / w.sum()
    return (w * values).sum(0) / w.sum(0)


def _deviations(rows: Floats, w: Floats) -> Floats:
    d = rows - rows[0]  # exact where the values are near each other
    d = d - _mean(d, w)
    d = d - _mean(d, w)  # what rounding left in the mean
    return np.where(np.ptp(rows, axis=0) == 0, 0.0, d)


def _counts(x: ArrayLike, axis: int | None, weight: ArrayLike | None) -> Any:
    return _rows(x, axis, weight)[1].sum(0)


def _unbiased_skewness(g: Any, n: Any) -> Any:
    if not np.all(np.asarray(n) > 2):
        raise ValueError(f"bias=False takes more than 2 observations, got {n!r}")
    return np.sqrt(n * (n - 1)) / (n - 2) * g


def _unbiased_kurtosis(g: Any, n: Any) -> Any:
    if not np.all(np.asarray(n) > 3):
        raise ValueError(f"bias=False takes more than 3 observations, got {n!r}")
    return (n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * g + 6)
