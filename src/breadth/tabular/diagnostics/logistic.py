"""Assumptions of a logistic regression: linear log-odds, unrelated rows, classes that overlap."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.special import expit

from breadth.tabular.diagnostics.columns import collinearity
from breadth.tabular.diagnostics.findings import Finding, Name, listed, p_text
from breadth.tabular.linear.logistic import LogisticRegression
from breadth.tabular.linear.separation import SeparationWarning

_STEPS = 50
_NORMAL_FROM, _DRAWS = 100.0, 2000


def check_logistic(
    X: NDArray, codes: NDArray, names: Sequence[Name], *, intercept: bool, alpha: float
) -> list[Finding]:
    """Findings on a logistic regression; `breadth.tabular.diagnose` says which and with what references."""
    columns, kept = collinearity(X, names, centred=intercept)
    rows = X[:, kept]
    separated = separation(rows, codes, [names[int(j)] for j in kept], intercept)
    if separated.violated:
        why = "the classes are separated, so that there is no estimate to test from."
        nan = float("nan")
        return [
            Finding("Box–Tidwell", "log-odds are linear in the columns", nan, None, alpha, False, why),
            Finding("independence", "rows are drawn independently", nan, None, alpha, False, why),
            separated,
            *columns,
        ]
    fits = list(_pairs(rows, codes, intercept))
    return [
        box_tidwell(rows, fits, [names[int(j)] for j in kept], alpha),
        independence(fits, alpha),
        separated,
        *columns,
    ]


def separation(X: NDArray, codes: NDArray, names: Sequence[Name], intercept: bool) -> Finding:
    """Whether a direction separates the classes, as maximum likelihood finds out."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        LogisticRegression(penalty=None, fit_intercept=intercept, max_iter=1000).fit(X, codes)
    found = [str(w.message) for w in said if issubclass(w.category, SeparationWarning)]
    what = "the classes overlap, so that the estimate exists"
    if not found:
        return Finding("separation", what, 0.0, None, 0.0, False, "no direction separates the classes.")
    text, _, _ = found[0].partition(": ")
    for position in sorted(range(len(names)), reverse=True):
        if names[position] != position:
            text = text.replace(f" {position}", f" {names[position]}")
    return Finding(
        "separation",
        what,
        1.0,
        None,
        0.0,
        True,
        f"{text}: the likelihood has no maximum, and coefficients without a penalty only show where iterations end.",
        "Penalise (C=1.0 is the default), merge rare levels, or drop what separates; it may be a copy of the answer.",
    )


def _pairs(X: NDArray, codes: NDArray, intercept: bool) -> Iterator[tuple[NDArray, NDArray, NDArray, NDArray]]:
    """(rows, design, residual, variance) of each class against the commonest, by maximum likelihood.

    With more than two classes these are the individualised logits of Begg & Gray 1984, Biometrika 71(1): each is a
    binary regression on the rows of its two classes.
    """
    counts = np.bincount(codes)
    base = int(counts.argmax()) if len(counts) > 2 else 0
    for k in range(len(counts)):
        if k == base:
            continue
        rows = np.flatnonzero((codes == k) | (codes == base))
        Z = X[rows]
        centre = Z.mean(axis=0) if intercept else 0.0
        Z = Z - centre
        spread = np.sqrt(np.mean(Z**2, axis=0))
        Z = Z / np.where(spread > 0, spread, 1.0)
        design = np.column_stack([np.ones(len(Z)), Z]) if intercept else Z
        p = _maximum_likelihood(design, (codes[rows] == k).astype(np.float64))
        yield rows, design, (codes[rows] == k) - p, p * (1.0 - p)


def _maximum_likelihood(design: NDArray, y: NDArray) -> NDArray[np.float64]:
    """Fitted probabilities by Newton's method, halving a step that does not help."""
    theta = np.zeros(design.shape[1])
    logit = np.zeros(len(y))
    loss = np.inf
    for _ in range(_STEPS):
        p = expit(logit)
        gradient = design.T @ (y - p)
        if np.abs(gradient).max() <= 1e-10 * len(y):
            break
        step = np.linalg.lstsq((design * (p * (1 - p))[:, None]).T @ design, gradient, rcond=1e-12)[0]
        loss = float(np.sum(np.logaddexp(0.0, logit) - y * logit))
        for _ in range(30):
            trial = design @ (theta + step)
            if float(np.sum(np.logaddexp(0.0, trial) - y * trial)) <= loss * (1 + 1e-14):
                break
            step = step / 2
        theta, logit = theta + step, design @ (theta + step)
    return expit(logit)


def score_statistic(design: NDArray, residual: NDArray, variance: NDArray, added: NDArray) -> float:
    """Rao's score statistic of one further column z: (z'r)^2 / z'Wz with z orthogonal to the design under W."""
    root = np.sqrt(variance)
    z = added - added.mean()
    z = z / max(np.abs(z).max(), np.finfo(float).tiny)
    weighted = root * z
    Q, _ = np.linalg.qr(design * root[:, None])
    for _ in range(2):
        weighted = weighted - Q @ (Q.T @ weighted)
    size = float(weighted @ weighted)
    if size <= 1e-12 * float(np.sum((root * z) ** 2)):
        return float("nan")
    pull = float(weighted @ (residual / np.where(root > 0, root, 1.0)))
    return pull**2 / size


def curve(x: NDArray) -> NDArray[np.float64]:
    """u ln u: u is x where x > 0, and else x moved so that its least value is its spread; over its mean either way."""
    u = x if x.min() > 0 else x - x.min() + x.std()
    u = u / u.mean()
    return u * np.log(u)


def box_tidwell(X: NDArray, fits: Sequence[tuple], names: Sequence[Name], alpha: float) -> Finding:
    """Score test of x ln x as a further column, for each column in turn, Bonferroni over all."""
    what = "log-odds are linear in the columns"
    found: list[tuple[float, float, Name]] = []
    for j, name in enumerate(names):
        for rows, design, residual, variance in fits:
            x = X[rows, j]
            if len(np.unique(x)) <= 2:
                continue
            statistic = score_statistic(design, residual, variance, curve(x))
            if statistic == statistic:
                found.append((statistic, float(stats.chi2.sf(statistic, 1)), name))
    if not found:
        return Finding(
            "Box–Tidwell",
            what,
            float("nan"),
            None,
            alpha,
            False,
            "every column has two values: no curve.",
        )
    found.sort(key=lambda one: -one[0])
    statistic, p, worst = found[0]
    p = min(1.0, p * len(found))
    bent = tuple(dict.fromkeys(name for _, q, name in found if q * len(found) < alpha))
    return Finding(
        "Box–Tidwell",
        what,
        statistic,
        p,
        alpha,
        bool(bent),
        f"log-odds {'bend' if bent else 'do not bend'} along {worst} (score = {statistic:.3g}, {p_text(p)} over "
        f"{len(found)} tests).",
        f"Give {listed(bent)} a square, a logarithm or a spline, or take a model that bends (trees)." if bent else "",
        bent,
    )


def independence(fits: Sequence[tuple], alpha: float) -> Finding:
    """sum r_i r_(i+1) over its standard deviation where rows are unrelated, r the answer less its probability.

    It is N(0, 1) unless neighbours that are both rare answers are few (expected variance below 100): then 2,000 sets
    of answers drawn from the fitted probabilities say how large it gets.
    """
    best, least = 0.0, 1.0
    for _, _, residual, variance in fits:
        total = float(residual[1:] @ residual[:-1])
        expected = float(variance[1:] @ variance[:-1])
        if not expected > 0:
            continue
        statistic = total / np.sqrt(expected)
        p = 2.0 * float(stats.norm.sf(abs(statistic))) if expected >= _NORMAL_FROM else _simulated(residual, total)
        if p <= least:
            best, least = statistic, p
    p = min(1.0, least * len(fits))
    bad = p < alpha
    return Finding(
        "independence",
        "rows are drawn independently",
        best,
        p,
        alpha,
        bad,
        f"answers of consecutive rows are {('alike' if best > 0 else 'opposed') if bad else 'unrelated'} beyond what "
        f"the columns say (z = {best:.3g}, {p_text(p)}).",
        "If rows are in order of time, place or person, model that (lags, groups) or use cluster-robust standard "
        "errors; and split by it in cross-validation."
        if bad
        else "",
    )


def _simulated(residual: NDArray, total: float) -> float:
    """Two-sided p-value of the sum of products among answers drawn from the fitted probabilities."""
    probability = np.where(residual > 0, 1.0 - residual, -residual)
    rng = np.random.default_rng(0)  # the same p-value for the same rows
    below = above = 0
    for start in range(0, _DRAWS, 200):
        draws = rng.random((min(200, _DRAWS - start), len(residual))) < probability
        r = draws - probability
        sums = np.einsum("ij,ij->i", r[:, 1:], r[:, :-1])
        below += int(np.count_nonzero(sums <= total))
        above += int(np.count_nonzero(sums >= total))
    return min(1.0, 2.0 * (min(below, above) + 1) / (_DRAWS + 1))
