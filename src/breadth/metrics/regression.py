"""Errors of predicted numbers: mean squared and absolute error, R squared and its correction, pinball loss."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from breadth.metrics import checks
from breadth.metrics.checks import Floats

Multioutput = Literal["uniform_average", "raw_values", "variance_weighted"] | ArrayLike


def mean_squared_error(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    multioutput: Multioutput = "uniform_average",
) -> Any:
    """Mean of (y - f)^2.

    Args:
        y_true, y_pred: numbers, shape (n,) or (n, outputs), finite.
        sample_weight: weights >= 0, shape (n,).
        multioutput: "uniform_average" over outputs, "raw_values" for one each, or weights (outputs,).

    Returns:
        Float >= 0; array (outputs,) for "raw_values".

    Raises:
        ValueError: if arrays are empty, differ in shape or are not finite, or weights sum to zero.

    Cost: O(n outputs).
    References: Gauss 1821, Theoria combinationis.
    Peer: sklearn.metrics.mean_squared_error, 1e-12 (A).
    In production: large errors dominate it; `mean_absolute_error` weighs all alike.
    """
    true, pred, weight = _columns(y_true, y_pred, sample_weight)
    return _over_outputs(np.average((true - pred) ** 2, axis=0, weights=weight), multioutput)


def root_mean_squared_error(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    multioutput: Multioutput = "uniform_average",
) -> Any:
    """Root of the mean of (y - f)^2, in the unit of y; of several outputs the roots are averaged.

    Args:
        y_true, y_pred, sample_weight, multioutput: as for `mean_squared_error`.

    Returns:
        Float >= 0; array (outputs,) for "raw_values".

    Raises:
        ValueError: as `mean_squared_error`.

    Cost: O(n outputs).
    References: Gauss 1821, Theoria combinationis; Herlocker et al. 2004, section 4.1, for ratings.
    Peer: sklearn.metrics.root_mean_squared_error, 1e-12 (A).
    In production: errors of explicit ratings in stars; it does not say whether the first ten are the right ones.
    """
    true, pred, weight = _columns(y_true, y_pred, sample_weight)
    return _over_outputs(np.sqrt(np.average((true - pred) ** 2, axis=0, weights=weight)), multioutput)


def mean_absolute_error(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    multioutput: Multioutput = "uniform_average",
) -> Any:
    """Mean of |y - f|, which the median of y given the features makes least.

    Args:
        y_true, y_pred, sample_weight, multioutput: as for `mean_squared_error`.

    Returns:
        Float >= 0; array (outputs,) for "raw_values".

    Raises:
        ValueError: as `mean_squared_error`.

    Cost: O(n outputs).
    References: Laplace 1774; Herlocker et al. 2004, section 4.1, for ratings.
    Peer: sklearn.metrics.mean_absolute_error, 1e-12 (A).
    In production: the error to state where a few wild targets must not decide.
    """
    true, pred, weight = _columns(y_true, y_pred, sample_weight)
    return _over_outputs(np.average(np.abs(true - pred), axis=0, weights=weight), multioutput)


def mean_pinball_loss(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    alpha: float = 0.5,
    multioutput: Multioutput = "uniform_average",
) -> Any:
    """Loss that the alpha-quantile makes least: alpha (y - f) where y >= f, (1 - alpha)(f - y) elsewhere.

    Args:
        y_true, y_pred, sample_weight, multioutput: as for `mean_squared_error`.
        alpha: level of the quantile, in [0, 1].

    Returns:
        Float >= 0; array (outputs,) for "raw_values".

    Raises:
        ValueError: if alpha is outside [0, 1], and as `mean_squared_error`.

    Cost: O(n outputs).
    References: Koenker & Bassett 1978, "Regression quantiles", Econometrica 46.
    Peer: sklearn.metrics.mean_pinball_loss, 1e-12 (A).
    In production: the proper score of a predicted quantile; alpha = 0.5 is half the mean absolute error.
    """
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha must be in [0, 1], got {alpha!r}")
    true, pred, weight = _columns(y_true, y_pred, sample_weight)
    error = true - pred
    loss = np.where(error >= 0, alpha * error, (alpha - 1) * error)
    return _over_outputs(np.average(loss, axis=0, weights=weight), multioutput)


def r2_score(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    sample_weight: ArrayLike | None = None,
    multioutput: Multioutput = "uniform_average",
    force_finite: bool = True,
) -> Any:
    """Share of the variance that is explained: 1 - SSE / SST, with SST about the mean of these rows.

    Args:
        y_true, y_pred, sample_weight: as for `mean_squared_error`; at least two rows.
        multioutput: "uniform_average", "raw_values", weights (outputs,), or "variance_weighted" by SST.
        force_finite: where y_true is constant, 1 for a perfect prediction and 0 otherwise, in place of NaN and -inf.

    Returns:
        Float <= 1; array (outputs,) for "raw_values".

    Raises:
        ValueError: for fewer than two rows, and as `mean_squared_error`.

    Cost: O(n outputs).
    Deviations: scikit-learn answers NaN for a single row.
    References: Wright 1921, "Correlation and causation"; Kvålseth 1985, "Cautionary note about R^2", eq. 1.
    Peer: sklearn.metrics.r2_score, 1e-12 (A).
    In production: 0 is the mean of the very rows it is taken on; below 0 is worse than that.
    """
    true, pred, weight = _columns(y_true, y_pred, sample_weight)
    if len(true) < 2:
        raise ValueError("y_true needs at least two rows: one row has no variance to explain")
    deviation = true - np.average(true, axis=0, weights=weight)
    error, total = (_sum_of_squares(d, weight) for d in (true - pred, deviation))
    counted = true if weight is None else true[weight > 0]
    constant = counted[0] == counted[-1]
    if constant.any():  # its sum of squares is the rounding of its mean
        total = np.where(constant & (np.ptp(counted, axis=0) == 0), 0.0, total)
    with np.errstate(divide="ignore", invalid="ignore"):
        score = 1 - np.divide(error, total)
    if force_finite:
        score = np.where(total > 0, score, np.where(error == 0, 1.0, 0.0))
    if isinstance(multioutput, str) and multioutput == "variance_weighted":
        return float(np.average(score, weights=total if total.any() else None))
    return _over_outputs(score, multioutput)


def adjusted_r2_score(
    y_true: ArrayLike, y_pred: ArrayLike, *, n_features: int, sample_weight: ArrayLike | None = None
) -> float:
    """R squared less what features gain by chance: 1 - (1 - R^2)(n - 1) / (n - p - 1).

    A feature that is pure noise raises R^2 on average and leaves this unchanged; it rises exactly when the feature's
    |t| > 1.

    Args:
        y_true, y_pred: numbers (n,), of the rows that the model was fitted on.
        n_features: p, coefficients besides the intercept, >= 0 and < n - 1.
        sample_weight: weights >= 0, shape (n,); n stays the number of rows that have some.

    Returns:
        Float <= 1.

    Raises:
        ValueError: if n_features is out of range, and as `r2_score`.

    Cost: O(n).
    References: Ezekiel 1930, Methods of Correlation Analysis; Greene 2003, eq. 3-30.
    Peer: statsmodels.OLS(...).fit().rsquared_adj, 1e-12 (A).
    In production: for linear models on their training rows; on held-out rows R^2 needs no correction.
    """
    true, _, weight = _columns(y_true, y_pred, sample_weight)
    if true.shape[1] != 1:
        raise ValueError(f"y_true must have shape (n,), got {np.shape(y_true)}")
    n = len(true) if weight is None else int(np.count_nonzero(weight))
    if not isinstance(n_features, int | np.integer) or not 0 <= n_features < n - 1:
        raise ValueError(f"n_features must be a whole number in [0, n - 1) = [0, {n - 1}), got {n_features!r}")
    return 1 - (1 - r2_score(y_true, y_pred, sample_weight=sample_weight)) * (n - 1) / (n - n_features - 1)


def _columns(
    y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None
) -> tuple[Floats, Floats, Floats | None]:
    true, pred = (
        checks.numbers(name, values, ndim=(1, 2)).astype(np.float64, copy=False)
        for name, values in (("y_true", y_true), ("y_pred", y_pred))
    )
    true, pred = (a[:, None] if a.ndim == 1 else a for a in (true, pred))
    if true.shape != pred.shape:
        raise ValueError(f"y_pred has shape {pred.shape} and y_true {true.shape}; they must be alike")
    return true, pred, checks.weights(sample_weight, len(true))


def _sum_of_squares(d: Floats, weight: Floats | None) -> Floats:
    square = np.multiply(d, d, out=d)
    return square.sum(0) if weight is None else weight @ square


def _over_outputs(scores: Floats, multioutput: Multioutput) -> Any:
    if isinstance(multioutput, str):
        checks.one_of("multioutput", multioutput, ("uniform_average", "raw_values", "variance_weighted"))
        if multioutput == "variance_weighted":
            raise ValueError("multioutput='variance_weighted' is for r2_score")
        return scores if multioutput == "raw_values" else float(np.mean(scores))
    weight = np.asarray(multioutput, np.float64)
    if weight.shape != scores.shape or not weight.any():
        raise ValueError(f"multioutput must be weights of shape {scores.shape} with a sum, got {multioutput!r}")
    return float(np.average(scores, weights=weight))
