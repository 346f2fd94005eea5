"""Assumptions of k-means: columns of one scale, and clusters that are balls of like size and spread."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.spatial import cKDTree

from breadth.tabular.diagnostics.findings import Finding, Name, listed, p_text

_MOST_SCALE, _MOST_SIZE, _MOST_STRETCH, _MOST_SPREAD, _MOST_HOLLOW = 10.0, 3.0, 2.0, 2.0, 0.1
_PAIRS = 2000  # midpoints looked at in a cluster
_FEW = 3  # rows of a cluster, per column, below which its shape is not judged


def check_clusters(X: NDArray, labels: NDArray, k: int, names: Sequence[Name], *, alpha: float) -> list[Finding]:
    """Findings on a k-means clustering; `breadth.tabular.diagnose` says which and with what references."""
    groups = [X[labels == c] for c in range(k)]
    return [
        scale(X, names),
        size(np.array([len(g) for g in groups]), alpha),
        spherical(groups, alpha),
        density(groups, alpha),
        convexity(groups),
    ]


def scale(X: NDArray, names: Sequence[Name]) -> Finding:
    """Ratio of the largest to the smallest standard deviation of a column that varies."""
    spread = X.std(axis=0)
    varies = spread > 16 * np.finfo(np.float64).eps * np.abs(X).max(axis=0)
    if not varies.any():
        raise ValueError("no column of X varies: there is nothing to cluster")
    widest = int(spread.argmax())
    narrowest = int(np.where(varies, spread, np.inf).argmin())
    ratio = float(spread[widest] / spread[narrowest])
    bad = ratio > _MOST_SCALE
    share = spread[widest] ** 2 / np.sum(spread**2)
    return Finding(
        "scale",
        "columns are on one scale",
        ratio,
        None,
        _MOST_SCALE,
        bad,
        f"{names[widest]} spreads {ratio:.3g} times as far as {names[narrowest]} and makes {share:.0%} of all squared "
        f"distances ({'above' if bad else 'at most'} {_MOST_SCALE:g} times).",
        "Scale the columns (StandardScaler) before clustering, unless their units are meant." if bad else "",
        (names[widest],) if bad else (),
    )


def size(counts: NDArray, alpha: float) -> Finding:
    """chi-square test of equal sizes, and the ratio of the largest to the smallest."""
    what = "clusters have like sizes"
    ratio = float(counts.max() / max(counts.min(), 1))
    expected = counts.sum() / len(counts)
    p = float(stats.chi2.sf(np.sum((counts - expected) ** 2) / expected, len(counts) - 1)) if len(counts) > 1 else 1.0
    bad = p < alpha and ratio > _MOST_SIZE
    order = np.argsort(-counts, kind="stable")
    return Finding(
        "size",
        what,
        ratio,
        p,
        _MOST_SIZE,
        bad,
        f"the largest cluster has {ratio:.3g} times the rows of the smallest ({counts.max()} and {counts.min()}; "
        f"{p_text(p)} were they equal; {'above' if bad else 'not clearly above'} {_MOST_SIZE:g} times).",
        "k-means cuts large clusters to even sizes out: try a Gaussian mixture, which has a weight for each."
        if bad
        else "",
        tuple(int(c) for c in order[[0, -1]]) if bad else (),
    )


def spherical(groups: Sequence[NDArray], alpha: float) -> Finding:
    """Mauchly's test of a covariance that is a multiple of the identity, Bonferroni, and the longest axis ratio."""
    what = "clusters are as wide one way as another"
    p_columns = groups[0].shape[1]
    found: list[tuple[float, float, int]] = []
    for c, rows in enumerate(groups):
        if p_columns < 2 or len(rows) < max(_FEW * p_columns, p_columns + 2):
            continue
        values = np.linalg.eigvalsh(np.cov(rows.T))
        if values[-1] <= 0:
            continue
        least = max(float(values[0]), 1e-300)
        log_w = float(np.sum(np.log(np.maximum(values, 1e-300)))) - p_columns * np.log(values.mean())
        factor = len(rows) - 1 - (2 * p_columns**2 + p_columns + 2) / (6 * p_columns)
        p = float(stats.chi2.sf(-factor * log_w, p_columns * (p_columns + 1) / 2 - 1))
        found.append((float(np.sqrt(values[-1] / least)), p, c))
    if not found:
        why = (
            "there are too few rows in a cluster, or one column only." if p_columns > 1 else "there is one column only."
        )
        return Finding("spherical", what, float("nan"), None, _MOST_STRETCH, False, why)
    stretched = sorted((one for one in found if one[1] * len(found) < alpha and one[0] > _MOST_STRETCH), reverse=True)
    ratio, p, c = stretched[0] if stretched else max(found)
    bad = bool(stretched)
    return Finding(
        "spherical",
        what,
        ratio,
        min(1.0, p * len(found)),
        _MOST_STRETCH,
        bad,
        f"cluster {c} is {ratio:.3g} times as long as wide ({p_text(min(1.0, p * len(found)))} were it a ball; "
        f"{'above' if bad else 'not clearly above'} {_MOST_STRETCH:g} times).",
        "Try a Gaussian mixture with full covariances, or whiten the columns." if bad else "",
        tuple(c for _, _, c in stretched),
    )


def density(groups: Sequence[NDArray], alpha: float) -> Finding:
    """Kruskal-Wallis test of equal distances from the centres, and the ratio of the widest to the narrowest spread."""
    what = "clusters are equally dense and wide"
    distances = [np.linalg.norm(rows - rows.mean(axis=0), axis=1) for rows in groups if len(rows) >= 2]
    radius = np.array([np.sqrt(np.mean(d**2)) for d in distances])
    if len(distances) < 2 or not radius.min() > 0:
        why = "there are not two clusters with rows apart from their centres."
        return Finding("density", what, float("nan"), None, _MOST_SPREAD, False, why)
    ratio = float(radius.max() / radius.min())
    p = float(stats.kruskal(*distances).pvalue)
    bad = p < alpha and ratio > _MOST_SPREAD
    return Finding(
        "density",
        what,
        ratio,
        p,
        _MOST_SPREAD,
        bad,
        f"the widest cluster spreads {ratio:.3g} times as far around its centre as the narrowest ({p_text(p)} were "
        f"they equal; {'above' if bad else 'not clearly above'} {_MOST_SPREAD:g} times).",
        "k-means gives the outskirts of wide clusters to narrow ones: try a Gaussian mixture or HDBSCAN."
        if bad
        else "",
    )


def convexity(groups: Sequence[NDArray]) -> Finding:
    """Share of midpoints between rows of a cluster that lie where it has no rows.

    A midpoint lies in a gap when its nearest row of the cluster is farther than 95 % of the rows are from theirs. In a
    convex cloud, denser inside than at its rim, few do; between the arms of a moon or within a ring many do.
    """
    what = "clusters are convex"
    rng = np.random.default_rng(0)  # which pairs are looked at; the same for the same rows
    found: list[tuple[float, int]] = []
    for c, rows in enumerate(groups):
        if len(rows) < 20:
            continue
        tree = cKDTree(rows)
        near = tree.query(rows, k=2)[0][:, 1]
        first, second = rng.integers(0, len(rows), size=(2, _PAIRS))
        apart = first != second
        middle = (rows[first[apart]] + rows[second[apart]]) / 2
        gap = tree.query(middle)[0] > np.quantile(near, 0.95)
        found.append((float(gap.mean()), c))
    if not found:
        return Finding(
            "convexity", what, float("nan"), None, _MOST_HOLLOW, False, "every cluster has fewer than 20 rows."
        )
    share, c = max(found)
    hollow = tuple(c for s, c in sorted(found, reverse=True) if s > _MOST_HOLLOW)
    return Finding(
        "convexity",
        what,
        share,
        None,
        _MOST_HOLLOW,
        bool(hollow),
        f"{share:.0%} of the midpoints between rows of cluster {c} lie where it has no rows "
        f"({'above' if hollow else 'at most'} {_MOST_HOLLOW:.0%}).",
        f"Clusters {listed(hollow)} bend, have holes or are several: try more clusters, DBSCAN or spectral clustering."
        if hollow
        else "",
        hollow,
    )
