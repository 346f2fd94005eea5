"""Scores of a clustering: beside known classes (Rand, mutual information), or by its own distances (silhouette)."""

from __future__ import annotations

from typing import Any, Literal, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.spatial.distance import cdist
from scipy.special import xlogy
from sklearn.utils import check_random_state

from breadth.metrics import checks
from breadth.metrics.checks import Floats
from breadth.metrics.clustering_kernels import summed_distances

_NAMES = {"manhattan": "cityblock", "l1": "cityblock", "l2": "euclidean"}  # scikit-learn's beside scipy's
_CHUNK = 1 << 22  # distances held at once for metrics that scipy computes


def adjusted_rand_score(labels_true: ArrayLike, labels_pred: ArrayLike) -> float:
    """Agreement of two partitions over pairs of rows, less what chance gives: (RI - E[RI]) / (max - E[RI]).

    With n_ij rows in class i and cluster j, a_i and b_j their sums and S(x) = sum C(x, 2):
    (S(n_ij) - S(a) S(b) / C(n, 2)) / ((S(a) + S(b)) / 2 - S(a) S(b) / C(n, 2)).

    Args:
        labels_true, labels_pred: labels (n,); their names do not matter.

    Returns:
        Float <= 1; 1 for equal partitions, about 0 for independent ones, at least -0.5.

    Raises:
        ValueError: if the columns are empty, differ in length or hold NaN.

    Cost: O(n log n).
    References: Hubert & Arabie 1985, "Comparing partitions", eq. 5.
    Peer: sklearn.metrics.adjusted_rand_score, 1e-12 (A). Pairs are counted as whole numbers of any size.
    In production: it favours clusters of equal size; `normalized_mutual_info_score` does not correct for chance.
    """
    table, a, b = _contingency(labels_true, labels_pred)
    # Python's whole numbers: products of pair counts pass 2^63 beyond some 10^5 rows
    both, first, second = (sum(c * (c - 1) // 2 for c in counts.tolist()) for counts in (table, a, b))
    n = int(a.sum())
    pairs = n * (n - 1) // 2
    most = pairs * (first + second) - 2 * first * second
    if most == 0:  # both partitions are one cluster, or both are n
        return 1.0
    return 2 * (pairs * both - first * second) / most


def normalized_mutual_info_score(
    labels_true: ArrayLike,
    labels_pred: ArrayLike,
    *,
    average_method: Literal["arithmetic", "geometric", "min", "max"] = "arithmetic",
) -> float:
    """Mutual information of two partitions over the mean of their entropies: I(U; V) / mean(H(U), H(V)).

    Args:
        labels_true, labels_pred: labels (n,); their names do not matter.
        average_method: the mean.

    Returns:
        Float in [0, 1]; 1 for two partitions of a single cluster each, 0 if only one has a single cluster.

    Raises:
        ValueError: if the columns are empty, differ in length or hold NaN.

    Cost: O(n log n).
    References: Strehl & Ghosh 2002, "Cluster ensembles", eq. 3; Vinh, Epps & Bailey 2010 for the other means.
    Peer: sklearn.metrics.normalized_mutual_info_score, 1e-12 (A).
    In production: it rises with the number of clusters by chance; `adjusted_rand_score` does not.
    """
    checks.one_of("average_method", average_method, ("arithmetic", "geometric", "min", "max"))
    table, a, b = _contingency(labels_true, labels_pred)
    if len(a) == len(b) == 1:
        return 1.0
    n = a.sum()
    h_a, h_b, h_both = (float(-xlogy(p, p).sum()) for p in (a / n, b / n, table / n))
    information = h_a + h_b - h_both
    if information <= 1e-14 * (1 + h_both):  # independent, but for rounding
        return 0.0
    mean = {
        "arithmetic": (h_a + h_b) / 2, "geometric": np.sqrt(h_a * h_b), "min": min(h_a, h_b), "max": max(h_a, h_b),
    }[average_method]  # fmt: skip
    return float(min(1.0, information / mean))


def silhouette_score(
    X: ArrayLike,
    labels: ArrayLike,
    *,
    metric: str = "euclidean",
    sample_size: int | None = None,
    random_state: int | None = None,
) -> float:
    """Mean over rows of (b - a) / max(a, b): how much nearer a row lies to its own cluster than to the next.

    Args:
        X: rows (n, features), finite; or distances (n, n) for metric="precomputed".
        labels: cluster of each row (n,); at least 2 clusters and at most n - 1.
        metric: "euclidean", "precomputed", or any name of scipy.spatial.distance.cdist, "manhattan", "l1" and "l2" too.
        sample_size: rows to take at random; None takes all.
        random_state: seed of that choice.

    Returns:
        Float in [-1, 1].

    Raises:
        ValueError: as `silhouette_samples`, or if sample_size is out of range.

    Cost: O(n^2 features), O(n clusters) of memory.
    References: Rousseeuw 1987, "Silhouettes", J. Computational and Applied Mathematics 20, eq. 2.
    Peer: sklearn.metrics.silhouette_score, 1e-12 (A).
    In production: choose the number of clusters by it where clusters are round; a sample of some thousands is enough.
    """
    points, groups = np.asarray(X), np.asarray(labels)
    if sample_size is not None:
        if not isinstance(sample_size, int | np.integer) or not 3 <= sample_size <= len(points):
            raise ValueError(f"sample_size must be a whole number in [3, {len(points)}], got {sample_size!r}")
        chosen = check_random_state(random_state).permutation(len(points))[:sample_size]
        points = points[np.ix_(chosen, chosen)] if metric == "precomputed" else points[chosen]
        groups = groups[chosen]
    return float(np.mean(silhouette_samples(points, groups, metric=metric)))


def silhouette_samples(X: ArrayLike, labels: ArrayLike, *, metric: str = "euclidean") -> Floats:
    """Each row's (b - a) / max(a, b): a its mean distance to the others of its cluster, b the least to another's rows.

    Args:
        X, labels, metric: as for `silhouette_score`.

    Returns:
        Shape (n,), in [-1, 1]; 0 for the only row of a cluster, and where a = b = 0.

    Raises:
        ValueError: if labels name fewer than 2 or more than n - 1 clusters, X is not finite, shapes differ, or
            distances given are negative or not 0 on the diagonal.

    Cost: O(n^2 features), O(n clusters) of memory.
    References: Rousseeuw 1987, eq. 2.
    Peer: sklearn.metrics.silhouette_samples, 1e-12 (A). Differences are taken before squaring, so that data far from
        the origin lose nothing.
    In production: rows below 0 are nearer to another cluster.
    """
    points = checks.numbers("X", X, ndim=(2,)).astype(np.float64, copy=False)
    (groups,) = checks.columns(labels=labels)
    n = len(points)
    if groups.shape != (n,):
        raise ValueError(f"labels must have shape ({n},) as X has rows, got {groups.shape}")
    present, (code,) = checks.encode(groups)
    k = len(present)
    if not 2 <= k <= n - 1:
        raise ValueError(f"labels must name 2 to n - 1 = {n - 1} clusters, got {k}")
    order = np.argsort(code, kind="stable")
    size = np.bincount(code, minlength=k)
    start = np.concatenate(([0], np.cumsum(size)))
    sums = np.empty((n, k))
    if metric == "euclidean":
        by_cluster = np.ascontiguousarray(points[order])
        summed_distances(by_cluster, np.ascontiguousarray(by_cluster.T), start, sums)
    else:
        _summed_by_scipy(points, order, start, metric, sums)
    own = code[order]
    rows = np.arange(n)
    within = sums[rows, own] / np.maximum(size[own] - 1, 1)
    between = sums / size
    between[rows, own] = np.inf
    nearest = between.min(1)
    most = np.maximum(within, nearest)
    score = np.divide(nearest - within, most, out=np.zeros(n), where=(most > 0) & (size[own] > 1))
    result = np.empty(n)
    result[order] = score
    return result


def _summed_by_scipy(points: Floats, order: NDArray, start: NDArray, metric: str, sums: Floats) -> None:
    n = len(order)
    if metric == "precomputed":
        if points.shape != (n, n):
            raise ValueError(f"X must be distances of shape ({n}, {n}) for metric='precomputed', got {points.shape}")
        if (points < 0).any() or np.diag(points).any():
            raise ValueError("X must hold distances >= 0, with 0 on the diagonal, for metric='precomputed'")
    ordered = points if metric == "precomputed" else points[order]
    step = max(1, _CHUNK // n)
    for first in range(0, n, step):
        chosen = slice(first, first + step)
        if metric == "precomputed":
            distances = points[np.ix_(order[chosen], order)]
        else:
            distances = cdist(ordered[chosen], ordered, metric=cast(Any, _NAMES.get(metric, metric)))
        sums[chosen] = np.add.reduceat(distances, start[:-1], axis=1)


def _contingency(labels_true: ArrayLike, labels_pred: ArrayLike) -> tuple[NDArray, NDArray, NDArray]:
    """Rows in each pair of class and cluster that occurs, in each class, and in each cluster."""
    true, pred = checks.columns(labels_true=labels_true, labels_pred=labels_pred)
    if true.ndim != 1:
        raise ValueError(f"labels_true must have shape (n,), got {true.shape}")
    (first, (a,)), (second, (b,)) = checks.encode(true), checks.encode(pred)
    shape = (len(first), len(second))
    if shape[0] * shape[1] <= max(1 << 16, 4 * len(true)):
        table = np.bincount(a * shape[1] + b)
        table = table[table > 0]
    else:
        table = sparse.coo_matrix((np.ones(len(a), np.int64), (a, b)), shape=shape).tocsr().data
    return table, np.bincount(a, minlength=shape[0]), np.bincount(b, minlength=shape[1])
