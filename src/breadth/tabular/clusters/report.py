"""Each cluster by its rows: how many, how widely spread, how long for its width."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_array, check_is_fitted


@dataclass(frozen=True, slots=True)
class ClusterShape:
    """One cluster.

    Args:
        label: its number.
        rows: how many rows it has.
        share: of all rows.
        spread: root mean squared distance of its rows from their mean.
        stretch: ratio of its longest to its shortest axis, the standard deviations along the eigenvectors; inf where it
            is flat, NaN where it has one row.
        covariance: unbiased, shape (columns, columns); NaN where it has one row.
    """

    label: int
    rows: int
    share: float
    spread: float
    stretch: float
    covariance: NDArray[np.float64]

    def __str__(self) -> str:
        return (
            f"cluster {self.label}: {self.rows:,} rows ({self.share:.1%}), spread {self.spread:.3g}, "
            f"{self.stretch:.3g} times as long as wide"
        )


def cluster_report(estimator: Any, X: ArrayLike) -> list[ClusterShape]:
    """Size, spread, stretch and covariance of each cluster: s = sqrt(mean |x - m|^2), sqrt(l_max / l_min).

    Args:
        estimator: a fitted clusterer with `predict` and cluster_centers_.
        X: rows, shape (rows, columns), finite.

    Returns:
        One ClusterShape a cluster that has rows, in the order of their numbers; `print(*report, sep="\\n")` shows them.

    Raises:
        TypeError: if the estimator has no `predict` or no cluster_centers_.
        ValueError: if X holds NaN or infinity, or is not two-dimensional.
        NotFittedError: if the estimator is not fitted.

    Cost: n p^2 + O(p^3) a cluster.
    References: Hastie, Tibshirani & Friedman 2009, The Elements of Statistical Learning, section 14.3.6.
    Peer: numpy.cov and singular values of the centred rows, float64, 1e-9 (B).
    In production: read it beside `diagnose`, which says what of it k-means does not bear.
    """
    check_is_fitted(estimator)
    if not hasattr(estimator, "predict") or not hasattr(estimator, "cluster_centers_"):
        raise TypeError(f"cluster_report needs predict and cluster_centers_, which {type(estimator).__name__} has not")
    labels = np.asarray(estimator.predict(X))
    rows = check_array(X, dtype=np.float64)
    report = []
    for label in np.unique(labels).tolist():
        own = rows[labels == label]
        centred = own - own.mean(axis=0)
        n, p = centred.shape
        covariance, stretch = np.full((p, p), np.nan), float("nan")
        if n > 1:
            covariance = centred.T @ centred / (n - 1)
            axes = np.linalg.svd(centred, compute_uv=False)
            shortest = axes[-1] if len(axes) == p and axes[-1] > axes[0] * np.finfo(np.float64).eps * max(n, p) else 0.0
            stretch = float(axes[0] / shortest) if shortest > 0 else float("inf")
        spread = float(np.sqrt(np.mean(np.einsum("ij,ij->i", centred, centred))))
        report.append(ClusterShape(label, n, n / len(rows), spread, stretch, covariance))
    return report
