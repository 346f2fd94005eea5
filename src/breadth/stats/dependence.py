"""Any dependence of two variables or vectors: distance correlation and the Hilbert–Schmidt criterion, with tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaincc

from breadth.stats import arguments

Floats = NDArray[np.float64]


class DependenceTest(NamedTuple):
    """A measure of dependence and the p value of independence."""

    statistic: float
    p: float


def distance_correlation(x: ArrayLike, y: ArrayLike) -> float:
    """Distance correlation: 0 in the population only of independent variables, in [0, 1].

    dCor^2 = dCov^2(x, y) / sqrt(dCov^2(x, x) dCov^2(y, y)) with dCov^2 the mean of A_ij B_ij, A and B the matrices of
    Euclidean distances less their row and column means plus the grand mean. For two real variables
    dCov^2 = mean(a b) - 2 mean_i(a_i b_i) + a b, with row and grand means of distances, comes from one sort and a
    binary indexed tree.

    Args:
        x: shape (n,) or (n, columns), n >= 1, finite.
        y: shape (n,) or (n, columns).

    Returns:
        The V-statistic's correlation; 0 if x or y is constant. Of independent samples it is positive, about
        n^(-1/2): judge it by `distance_correlation_test`.

    Raises:
        ValueError: if rows differ in number or values are not finite.

    Cost: O(n log n) for two real variables; else O(n^2) time and memory.
    References: Székely, Rizzo & Bakirov 2007, Annals of Statistics 35, eq. 2.8 to 2.10; Huo & Székely 2016,
        Technometrics 58 (n log n).
    Peer: dcor.distance_correlation, 1e-9, and 1e-12 against centred matrices (A).
    In production: use it to screen features for any relation with a target.
    """
    x, y = _two(x, y)
    if x.shape[1] == y.shape[1] == 1:
        a, b = _standardised(x[:, 0]), _standardised(y[:, 0])
        if a is None or b is None:
            return 0.0
        order = np.argsort(a, kind="stable")
        a, b = a[order], b[order]
        cross, own_x, own_y = _fast(a, b)(np.arange(len(a))), _own(a), _own(b)
    else:
        A, B = _centred_distances(x), _centred_distances(y)
        cross, own_x, own_y = (A * B).mean(), (A * A).mean(), (B * B).mean()
    if own_x <= 0 or own_y <= 0:
        return 0.0
    return float(np.sqrt(np.clip(cross / np.sqrt(own_x) / np.sqrt(own_y), 0, 1)))


def distance_correlation_test(
    x: ArrayLike, y: ArrayLike, *, n_permutations: int = 999, rng: np.random.Generator | int | None = None
) -> DependenceTest:
    """Permutation test of independence by distance correlation: p = (1 + #{permuted >= observed}) / (1 + permutations).

    Args:
        x: shape (n,) or (n, columns), n >= 2, finite.
        y: shape (n,) or (n, columns); its rows are permuted.
        n_permutations: >= 1.
        rng: generator or its seed.

    Returns:
        The distance correlation and p; p is 1 if x or y is constant.

    Raises:
        ValueError: if rows differ in number or are fewer than two, values are not finite, or n_permutations < 1.

    Cost: n_permutations times O(n log n) for two real variables, else O(n^2).
    References: Székely, Rizzo & Bakirov 2007, section 4; Phipson & Smyth 2010 (the added one).
    Peer: dcor.independence.distance_covariance_test, p within its noise (A); p uniform under independence (B).
    In production: as `distance_correlation`; below n = 50 it has little power.
    """
    x, y = _two(x, y, at_least=2)
    statistic = distance_correlation(x, y)
    covariance: Callable[[NDArray[np.intp]], float]
    if x.shape[1] == y.shape[1] == 1:
        a, b = _standardised(x[:, 0]), _standardised(y[:, 0])
        if a is None or b is None:
            return DependenceTest(statistic, 1.0)
        first = np.argsort(a, kind="stable")
        covariance = _fast(a[first], b[first])
    else:
        A, B = _centred_distances(x), _centred_distances(y)

        def centred_products(order: NDArray[np.intp]) -> float:
            return float(np.vdot(A, B[np.ix_(order, order)])) / A.size

        covariance = centred_products
    return DependenceTest(statistic, _permuted(covariance, len(x), n_permutations, rng))


def hsic(x: ArrayLike, y: ArrayLike, *, bandwidth_x: float | None = None, bandwidth_y: float | None = None) -> float:
    """Hilbert–Schmidt independence criterion with Gaussian kernels: trace(K H L H) / n^2, H = I - 1/n.

    K_ij = exp(-|x_i - x_j|^2 / (2 bandwidth^2)), L the same of y. It is the squared distance between the kernel mean
    of the joint distribution and that of the product of margins: 0 only of independent variables.

    Args:
        x: shape (n,) or (n, columns), n >= 1, finite.
        y: shape (n,) or (n, columns).
        bandwidth_x: > 0; None takes the median of the distances between different rows.
        bandwidth_y: the same for y.

    Returns:
        The biased estimate, >= 0; 0 if x or y is constant.

    Raises:
        ValueError: if rows differ in number, values are not finite, or a bandwidth is not positive.

    Cost: O(n^2) time and memory.
    References: Gretton et al. 2005, Measuring statistical dependence with Hilbert–Schmidt norms, eq. 9 (which divides
        by (n - 1)^2); Gretton et al. 2007, A kernel statistical test of independence, eq. 4.
    Peer: the trace with H written out, and the four-fold sum over rows, 1e-12 (B).
    In production: its size depends on the bandwidths: compare p values of `hsic_test`, not values.
    """
    x, y = _two(x, y)
    K, L = _kernel("bandwidth_x", x, bandwidth_x), _kernel("bandwidth_y", y, bandwidth_y)
    return max(float(np.vdot(_centre(K), L)) / K.size, 0.0)


def hsic_test(
    x: ArrayLike,
    y: ArrayLike,
    *,
    bandwidth_x: float | None = None,
    bandwidth_y: float | None = None,
    method: Literal["permutation", "gamma"] = "permutation",
    n_permutations: int = 999,
    rng: np.random.Generator | int | None = None,
) -> DependenceTest:
    """Test of independence by HSIC, with permutations or a gamma distribution fitted to two moments of the null.

    Permutations: p = (1 + #{permuted >= observed}) / (1 + permutations). Gamma: n HSIC has shape E^2 / V and scale
    n V / E, with E and V the mean and variance of HSIC under independence.

    Args:
        x: shape (n,) or (n, columns), n >= 2, finite; n >= 6 for "gamma".
        y: shape (n,) or (n, columns).
        bandwidth_x: > 0; None takes the median of the distances between different rows.
        bandwidth_y: the same for y.
        method: "permutation" holds its level at each n; "gamma" does about, from n = 100 on, and is quick.
        n_permutations: >= 1.
        rng: generator or its seed.

    Returns:
        HSIC and p; p is 1 if x or y is constant.

    Raises:
        ValueError: if rows differ in number or are too few, values are not finite, or an argument is out of range.

    Cost: O(n^2) memory; time n_permutations times O(n^2), or O(n^2) for "gamma".
    References: Gretton et al. 2007, A kernel statistical test of independence, eq. 4 to 9, theorems 3 and 4.
    Peer: p uniform under independence; the two methods agree; moments of all permutations (B).
    In production: as `distance_correlation_test`, whose kernel has no bandwidth to choose.
    """
    arguments.one_of("method", method, ("permutation", "gamma"))
    x, y = _two(x, y, at_least=6 if method == "gamma" else 2)
    K, L = _kernel("bandwidth_x", x, bandwidth_x), _kernel("bandwidth_y", y, bandwidth_y)
    n, Kc = len(K), _centre(K)
    statistic = max(float(np.vdot(Kc, L)) / K.size, 0.0)
    if np.ptp(K) == 0 or np.ptp(L) == 0:
        return DependenceTest(statistic, 1.0)
    if method == "permutation":

        def criterion(order: NDArray[np.intp]) -> float:
            return float(np.vdot(Kc, L[np.ix_(order, order)]))

        return DependenceTest(statistic, _permuted(criterion, n, n_permutations, rng))
    mean_k, mean_l = ((M.sum() - n) / (n * (n - 1)) for M in (K, L))
    expected = (1 + mean_k * mean_l - mean_k - mean_l) / n
    squares = (Kc * _centre(L)) ** 2
    variance = 2 * (n - 4) * (n - 5) / (n * (n - 1) * (n - 2) * (n - 3))
    variance *= (squares.sum() - np.trace(squares)) / (n * (n - 1))
    return DependenceTest(statistic, float(gammaincc(expected**2 / variance, statistic * expected / variance)))


def _two(x: ArrayLike, y: ArrayLike, at_least: int = 1) -> tuple[Floats, Floats]:
    a, b = (arguments.finite(name, v, ndim=(1, 2), at_least=at_least) for name, v in (("x", x), ("y", y)))
    if len(a) != len(b):
        raise ValueError(f"x and y must have as many rows, got {len(a)} and {len(b)}")
    return a.reshape(len(a), -1), b.reshape(len(b), -1)


def _standardised(x: Floats) -> Floats | None:
    """x from its median in units of its largest deviation: sums of products of distances keep their digits."""
    d = x - np.median(x)
    scale = np.abs(d).max()
    return None if np.ptp(x) == 0 else d / scale


def _fast(x: Floats, y: Floats) -> Callable[[NDArray[np.intp]], float]:
    """Distance covariance of x, which is ascending, and y in any order of its rows."""
    from breadth.stats.dependence_kernels import summed_products

    n = len(x)
    rank = np.unique(y, return_inverse=True)[1].astype(np.int64) + 1
    a, b = _row_sums(x) / n, _row_sums(y) / n
    grand = a.mean() * b.mean()

    def covariance(order: NDArray[np.intp]) -> float:
        return float(summed_products(x, y[order], rank[order]) / n**2 - 2 * np.dot(a, b[order]) / n + grand)

    return covariance


def _own(x: Floats) -> float:
    """Distance variance: the mean square distance is twice the variance."""
    a = _row_sums(x) / len(x)
    return float(2 * x.var() - 2 * (a**2).mean() + a.mean() ** 2)


def _row_sums(x: Floats) -> Floats:
    """sum_j |x_i - x_j| for each i, from one sort."""
    order = np.argsort(x, kind="stable")
    s = x[order]
    before = np.cumsum(s) - s
    i = np.arange(len(x))
    out = np.empty_like(x)
    out[order] = (2 * i + 1 - len(x)) * s + s.sum() - s - 2 * before
    return out


def _square_distances(x: Floats) -> Floats:
    from scipy.spatial.distance import pdist, squareform

    return squareform(pdist(x, "sqeuclidean"))


def _centre(M: Floats) -> Floats:
    row = M.mean(1)
    return M - row - row[:, None] + row.mean()


def _centred_distances(x: Floats) -> Floats:
    return _centre(np.sqrt(_square_distances(x - x.mean(0))))


def _kernel(name: str, x: Floats, bandwidth: float | None) -> Floats:
    square = _square_distances(x)
    if bandwidth is None:
        apart = np.sqrt(square[np.triu_indices(len(x), 1)])
        apart = apart[apart > 0]
        bandwidth = float(np.median(apart)) if apart.size else 1.0
    elif not (np.isfinite(bandwidth) and bandwidth > 0):
        raise ValueError(f"{name} must be > 0, or None for the median distance, got {bandwidth!r}")
    return np.exp(-square / (2 * bandwidth**2))


def _permuted(
    measure: Callable[[NDArray[np.intp]], float], n: int, n_permutations: int, rng: np.random.Generator | int | None
) -> float:
    arguments.whole("n_permutations", n_permutations, 1)
    generator = np.random.default_rng(rng)
    observed = measure(np.arange(n))
    floor = observed - 1e-12 * abs(observed)  # a permutation that changes nothing differs by rounding alone
    reached = sum(measure(generator.permutation(n)) >= floor for _ in range(n_permutations))
    return (1 + reached) / (1 + n_permutations)
