"""Do predicted probabilities mean what they say? Brier score, calibration error and the table behind it."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from breadth.metrics import checks
from breadth.metrics.accuracy import probabilities
from breadth.metrics.checks import Floats
from breadth.stats.inference import proportion_interval

Strategy = Literal["uniform", "quantile"]


class Reliability(NamedTuple):
    """One row a bin that is not empty: what was predicted in it, and what came true."""

    edges: Floats  # (bins + 1,) of all bins
    bin: NDArray[np.intp]  # (rows,) number of the bin
    count: Floats  # (rows,) rows, or sums of their weights
    predicted: Floats  # (rows,) mean probability
    observed: Floats  # (rows,) share of positives
    low: Floats  # (rows,) Wilson interval of observed; NaN with weights
    high: Floats


def brier_score_loss(
    y_true: ArrayLike,
    y_proba: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    pos_label: Any = None,
    labels: ArrayLike | None = None,
    scale_by_half: bool | Literal["auto"] = "auto",
) -> float:
    """Mean squared error of probabilities: mean of (p - y)^2, or of sum_c (p_c - y_c)^2 over several classes.

    Args:
        y_true: labels (n,).
        y_proba: probabilities (n,) of the positive label; or (n, k), columns in the order of the sorted labels.
        sample_weight: weights >= 0, shape (n,).
        pos_label: the positive one of two labels; None takes 1 of {0, 1} or {-1, 1}, or the greater of two texts.
        labels: all labels, where some do not occur in y_true.
        scale_by_half: halve the sum over classes, which makes that of two classes the mean of (p - y)^2; "auto" does so
            for two classes only.

    Returns:
        Float, 0 at best: in [0, 1], or [0, 2] where it is not halved.

    Raises:
        ValueError: as `log_loss`.

    Cost: O(n k).
    References: Brier 1950, "Verification of forecasts expressed in terms of probability", eq. 2.
    Peer: sklearn.metrics.brier_score_loss, 1e-12 (A).
    In production: a proper score that no single row can decide, as it can `log_loss`.
    """
    checks.one_of("scale_by_half", scale_by_half, (True, False, "auto"))
    (true,) = checks.columns(y_true=y_true)
    if np.ndim(y_proba) == 1:
        positive, proba = _binary(true, y_proba, pos_label)
        error = (proba - positive) ** 2 * (1 if scale_by_half in (True, "auto") else 2)
    else:
        true, present, proba = probabilities(true, y_proba, labels)
        error = ((proba - (true[:, None] == present)) ** 2).sum(1)
        if scale_by_half is True or (scale_by_half == "auto" and len(present) == 2):
            error = error / 2
    weight = checks.weights(sample_weight, len(true))
    return float(np.average(error, weights=weight))


def expected_calibration_error(
    y_true: ArrayLike,
    y_proba: ArrayLike,
    *,
    n_bins: int = 15,
    strategy: Strategy = "uniform",
    norm: Literal[1, 2, "max"] = 1,
    pos_label: Any = None,
    labels: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
) -> float:
    """Distance between what probabilities say and what comes true: sum_b (n_b / n) |observed_b - predicted_b|.

    Of two classes the positive's probability is binned. Of several, the greatest one of each row, and observed is
    whether its class is the true one.

    Args:
        y_true: labels (n,).
        y_proba: probabilities (n,) of the positive label, or (n, k).
        n_bins: bins, >= 1.
        strategy: bins of equal width over [0, 1], "uniform", or of equally many rows, "quantile".
        norm: 1, the expected error; 2, the root of its weighted square; "max", the greatest of any bin.
        pos_label: the positive one of two labels.
        labels: all labels, where some do not occur in y_true.
        sample_weight: weights >= 0, shape (n,).

    Returns:
        Float in [0, 1], 0 at best.

    Raises:
        ValueError: if n_bins < 1, and as `log_loss`.

    Cost: O(n log bins), "quantile" O(n log n).
    Deviations: none; but the estimate is biased upwards, the more so the fewer rows a bin has.
    References: Naeini, Cooper & Hauskrecht 2015, AAAI; Guo et al. 2017, arXiv:1706.04599, eq. 3; Kumar, Liang & Ma 2019
        on the bias, arXiv:1909.10155.
    Peer: the sum over bins from sklearn.calibration.calibration_curve, 1e-12 (A).
    In production: state bins and strategy beside it; compare models by `brier_score_loss`, which is proper.
    """
    checks.one_of("norm", norm, (1, 2, "max"))
    table = reliability_table(
        y_true, y_proba, n_bins=n_bins, strategy=strategy, pos_label=pos_label, labels=labels,
        sample_weight=sample_weight,
    )  # fmt: skip
    gap = np.abs(table.observed - table.predicted)
    share = table.count / table.count.sum()
    if norm == "max":
        return float(gap.max())
    return float(share @ gap) if norm == 1 else float(np.sqrt(share @ gap**2))


def reliability_table(
    y_true: ArrayLike,
    y_proba: ArrayLike,
    *,
    n_bins: int = 15,
    strategy: Strategy = "uniform",
    pos_label: Any = None,
    labels: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    confidence: float = 0.95,
) -> Reliability:
    """The reliability diagram as numbers: for each bin of probabilities, their mean and how often they came true.

    Args:
        y_true, y_proba, n_bins, strategy, pos_label, labels, sample_weight: as for `expected_calibration_error`.
        confidence: coverage of the intervals of what came true, in (0, 1).

    Returns:
        Reliability, with a row for each bin that is not empty. A bin holds its left edge, the last one also its right.

    Raises:
        ValueError: as `expected_calibration_error`.

    Cost: O(n log bins), "quantile" O(n log n).
    References: Murphy & Winkler 1977, "Reliability of subjective probability forecasts of precipitation and
        temperature"; Niculescu-Mizil & Caruana 2005.
    Peer: sklearn.calibration.calibration_curve, 1e-12 (A); intervals: statsmodels' Wilson, 1e-12 (A).
    In production: a bin whose interval holds its mean probability shows no miscalibration.
    """
    checks.one_of("strategy", strategy, ("uniform", "quantile"))
    if not isinstance(n_bins, int | np.integer) or n_bins < 1:
        raise ValueError(f"n_bins must be an integer >= 1, got {n_bins!r}")
    (true,) = checks.columns(y_true=y_true)
    if np.ndim(y_proba) == 1:
        hit, proba = _binary(true, y_proba, pos_label)
    else:
        true, present, table = probabilities(true, y_proba, labels)
        if len(present) == 2:
            hit, proba = true == present[1], table[:, 1]
        else:
            best = table.argmax(1)
            hit, proba = present[best] == true, np.take_along_axis(table, best[:, None], 1)[:, 0]
    weight = checks.weights(sample_weight, len(true))
    places = np.linspace(0, 1, n_bins + 1)
    edges = places if strategy == "uniform" else np.quantile(proba, places)
    inside = np.searchsorted(edges[1:-1], proba, "right" if strategy == "uniform" else "left")
    w = np.ones(len(proba)) if weight is None else weight
    count, predicted, observed = (np.bincount(inside, values, minlength=n_bins) for values in (w, w * proba, w * hit))
    kept = np.flatnonzero(count)
    count, predicted, observed = count[kept], predicted[kept] / count[kept], observed[kept] / count[kept]
    if weight is None:
        _, low, high = proportion_interval(np.rint(observed * count), count, confidence=confidence)
    else:
        low = high = np.full(len(kept), np.nan)
    return Reliability(edges, kept, count.astype(np.float64), predicted, observed, low, high)


def _binary(true: NDArray, y_proba: ArrayLike, pos_label: Any) -> tuple[NDArray[np.bool_], NDArray]:
    proba = checks.numbers("y_proba", y_proba)
    if true.ndim != 1 or len(true) != len(proba):
        raise ValueError(f"y_true must have shape ({len(proba)},) as y_proba has rows, got {true.shape}")
    if (proba < 0).any() or (proba > 1).any():
        raise ValueError(f"y_proba must lie in [0, 1], got values in [{proba.min():g}, {proba.max():g}]")
    return checks.positives(true, pos_label, greater=checks.is_text(true)), proba
