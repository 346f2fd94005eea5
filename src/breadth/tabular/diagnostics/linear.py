"""Assumptions of a linear regression: linearity, order, spread, mean and influence of its residuals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from breadth.tabular.diagnostics.columns import collinearity
from breadth.tabular.diagnostics.findings import Finding, Name, listed, p_text


@dataclass(frozen=True, slots=True)
class LeastSquares:
    """Least squares of y on a design of full rank: what the checks take from it."""

    basis: NDArray[np.float64]  # (n, k), orthonormal, the intercept among them
    fitted: NDArray[np.float64]
    residual: NDArray[np.float64]

    @property
    def df(self) -> int:
        return len(self.residual) - self.basis.shape[1]

    @classmethod
    def of(cls, X: NDArray, y: NDArray, intercept: bool) -> LeastSquares:
        n = len(y)
        if intercept:
            rows = X - X.mean(axis=0)
            rows -= rows.mean(axis=0)
            Q, _ = np.linalg.qr(rows / np.linalg.norm(rows, axis=0))
            Q = np.column_stack([np.full(n, n**-0.5), Q])
        else:
            Q, _ = np.linalg.qr(X / np.linalg.norm(X, axis=0))
        centre = y.mean() if intercept else 0.0
        rest = y - centre
        fitted = Q @ (Q.T @ rest)
        residual = rest - fitted
        again = Q @ (Q.T @ residual)  # what rounding left
        return cls(Q, fitted + again + centre, residual - again)


def check_linear(
    X: NDArray, y: NDArray, predicted: NDArray, names: Sequence[Name], *, intercept: bool, alpha: float
) -> list[Finding]:
    """Findings on a linear regression of y on X; `breadth.tabular.diagnose` says which and with what references."""
    findings, kept = collinearity(X, names, centred=intercept)
    n = len(y)
    if n - len(kept) - intercept < 4:
        raise ValueError(
            f"X has {n} rows for {len(kept)} independent columns: the residuals need at least 4 degrees of freedom; "
            "give more rows or fewer columns"
        )
    if np.ptp(y) == 0:
        raise ValueError(f"y is constant ({y[0]:g}): there is nothing that the columns could explain")
    model = LeastSquares.of(X[:, kept], y, intercept)
    rss = float(model.residual @ model.residual)
    if rss <= 1e-24 * float(y @ y):
        why = "the columns give y exactly, so that there are no residuals to look at."
        assumptions = {
            "RESET": "the mean is linear in the columns",
            "Durbin–Watson": "errors of consecutive rows are uncorrelated",
            "Breusch–Pagan": "errors have one variance",
            "residual mean": "errors have mean 0",
            "outliers": "no row is beyond what the errors explain",
            "influence": "no single row decides the fit",
        }
        nan = float("nan")
        return [Finding(check, what, nan, None, alpha, False, why) for check, what in assumptions.items()] + findings
    return [
        reset(model, alpha),
        durbin_watson(model, alpha),
        breusch_pagan(model, X[:, kept], alpha),
        residual_mean(model, y - predicted, y, intercept, alpha),
        *influence(model, alpha),
        *findings,
    ]


def reset(model: LeastSquares, alpha: float) -> Finding:
    """F test of the squares and cubes of the fitted values as further columns (Ramsey's RESET)."""
    f = model.fitted - model.fitted.mean() if model.basis[:, 0].std() == 0 else model.fitted.copy()
    f /= max(f.std(), np.finfo(float).tiny)
    added = np.column_stack([f**2, f**3])  # with an intercept they span what those of uncentred values span
    length = np.linalg.norm(added, axis=0)
    for _ in range(2):
        added -= model.basis @ (model.basis.T @ added)
    Q, R = np.linalg.qr(added / length)
    new = np.abs(np.diag(R)) > 1e-10  # two fitted values have no curve
    df = int(new.sum())
    what = "the mean is linear in the columns"
    if not df:
        return Finding(
            "RESET", what, float("nan"), None, alpha, False, "the fitted values are too few to show any curve."
        )
    rss = float(model.residual @ model.residual)
    gain = float(np.sum((Q[:, new].T @ model.residual) ** 2))
    statistic = gain / df / (max(rss - gain, np.finfo(float).tiny) / (model.df - df))
    p = float(stats.f.sf(statistic, df, model.df - df))
    bad = p < alpha
    return Finding(
        "RESET",
        what,
        statistic,
        p,
        alpha,
        bad,
        f"powers of the fitted values {'explain what is left' if bad else 'add nothing'} "
        f"(F({df}, {model.df - df}) = {statistic:.3g}, {p_text(p)}).",
        "Add squares, products or splines of columns, transform y, or take a model that bends (trees)." if bad else "",
    )


def durbin_watson(model: LeastSquares, alpha: float) -> Finding:
    """d = sum (e_i - e_(i-1))^2 / sum e_i^2, its p-value from the Beta law with its exact mean and variance."""
    e, Q, n = model.residual, model.basis, len(model.residual)
    d = float(np.sum(np.diff(e) ** 2) / (e @ e))
    step = np.diff(Q, axis=0)
    inner = step.T @ step  # Q'AQ with e'Ae = sum (e_i - e_(i-1))^2
    twice = np.zeros_like(Q)  # A Q
    twice[:-1] -= step
    twice[1:] += step
    trace = 2.0 * (n - 1) - np.trace(inner)  # of MA
    trace2 = 6.0 * n - 8.0 - 2.0 * np.sum(twice**2) + np.sum(inner**2)  # of (MA)^2
    mean = trace / model.df
    variance = 2.0 * (trace2 - trace * mean) / (model.df * (model.df + 2))
    m, v = mean / 4.0, variance / 16.0
    size = m * (1.0 - m) / v - 1.0
    law = stats.beta(m * size, (1.0 - m) * size)
    p = min(1.0, 2.0 * float(min(law.cdf(d / 4.0), law.sf(d / 4.0))))
    bad = p < alpha
    way = "alike" if d < mean else "opposed"
    return Finding(
        "Durbin–Watson",
        "errors of consecutive rows are uncorrelated",
        d,
        p,
        alpha,
        bad,
        f"errors of consecutive rows are {way if bad else 'unrelated'} "
        f"(d = {d:.3g}, {mean:.3g} expected, {p_text(p)}).",
        "If rows are in order of time or place, model that order (lags, differences, groups) or use robust standard "
        "errors; if their order means nothing, look for what it stands for."
        if bad
        else "",
    )


def breusch_pagan(model: LeastSquares, X: NDArray, alpha: float) -> Finding:
    """n R^2 of squared residuals on the columns (Koenker's form, which needs no normal errors)."""
    square = model.residual**2
    n = len(square)
    Q = model.basis if model.basis[:, 0].std() == 0 else LeastSquares.of(X, square, True).basis
    centred = square - square.mean()
    total = float(centred @ centred)
    explained = float(np.sum((Q.T @ centred) ** 2))
    df = Q.shape[1] - 1
    statistic = n * explained / total if total > 0 else 0.0
    p = float(stats.chi2.sf(statistic, df))
    bad = p < alpha
    return Finding(
        "Breusch–Pagan",
        "errors have one variance",
        statistic,
        p,
        alpha,
        bad,
        f"the spread of the residuals {'changes' if bad else 'does not change'} with the columns "
        f"(n R² = {statistic:.3g}, df = {df}, {p_text(p)}).",
        "Transform y (logarithm), weigh rows by 1 / variance, or use heteroscedasticity-robust standard errors."
        if bad
        else "",
    )


def residual_mean(model: LeastSquares, own: NDArray, y: NDArray, intercept: bool, alpha: float) -> Finding:
    """t test that the estimator's residuals have mean 0; without intercept, that of a constant column added."""
    n = len(y)
    if intercept:
        spread = own.std(ddof=1)
        # the residuals of least squares with an intercept sum to 0 but for rounding
        mean = float(own.mean()) if abs(own.mean()) > 1e-12 * np.abs(y).max() else 0.0
        statistic, df = (mean / (spread / np.sqrt(n)) if spread > 0 else 0.0), n - 1
    else:
        ones = np.ones(n)
        m = ones - model.basis @ (model.basis.T @ ones)
        size = float(m @ m)
        df = model.df - 1
        if size <= 1e-12 * n:  # the columns hold a constant already
            statistic, mean = 0.0, 0.0
        else:
            slope = float(m @ model.residual) / size
            rest = float(model.residual @ model.residual) - slope**2 * size
            statistic, mean = slope / np.sqrt(rest / df / size), float(own.mean())
    p = float(2.0 * stats.t.sf(abs(statistic), df))
    bad = p < alpha
    remedy = (
        "Estimate an intercept." if not intercept else "The model is biased on these rows: fit it on rows like them."
    )
    return Finding(
        "residual mean",
        "errors have mean 0",
        float(statistic),
        p,
        alpha,
        bad,
        f"the mean of the residuals is {mean:.3g} (t = {statistic:.3g}, {p_text(p)}).",
        remedy if bad else "",
    )


def influence(model: LeastSquares, alpha: float) -> list[Finding]:
    """The largest studentised residual (Bonferroni) and the largest Cook's distance (median of F)."""
    e, n, k = model.residual, len(model.residual), model.basis.shape[1]
    leverage = np.minimum(np.einsum("ij,ij->i", model.basis, model.basis), 1.0 - 1e-12)
    variance = float(e @ e) / model.df
    inside = e / np.sqrt(variance * (1.0 - leverage))
    outside = inside * np.sqrt((model.df - 1) / np.maximum(model.df - inside**2, 1e-12))
    cook = inside**2 * leverage / (1.0 - leverage) / k

    order = np.argsort(-np.abs(outside), kind="stable")
    ps = np.minimum(1.0, 2.0 * n * stats.t.sf(np.abs(outside[order[:20]]), model.df - 1))
    rows = tuple(int(i) for i, p in zip(order, ps, strict=False) if p < alpha)
    worst, p = int(order[0]), float(ps[0])
    outliers = Finding(
        "outliers",
        "no row is beyond what the errors explain",
        float(abs(outside[worst])),
        p,
        alpha,
        bool(rows),
        f"row {worst} is {abs(outside[worst]):.3g} standard errors from its prediction without it "
        f"({p_text(p)} among {n} rows).",
        f"Look at rows {listed(rows)}: mend what is wrong in them, or use a robust loss (Huber)." if rows else "",
        rows,
    )
    threshold = float(stats.f.ppf(0.5, k, model.df))
    high = tuple(int(i) for i in np.argsort(-cook, kind="stable")[:20] if cook[i] > threshold)
    top = int(cook.argmax())
    return [
        outliers,
        Finding(
            "influence",
            "no single row decides the fit",
            float(cook[top]),
            None,
            threshold,
            bool(high),
            f"without row {top} the coefficients move by {cook[top]:.3g} in Cook's distance "
            f"({'above' if high else 'at most'} {threshold:.3g}, the median of F({k}, {model.df})).",
            f"Fit without rows {listed(high)} and compare; report both, or use a robust loss (Huber)." if high else "",
            high,
        ),
    ]
