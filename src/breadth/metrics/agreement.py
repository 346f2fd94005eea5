"""Do people who judge the same things agree more than by chance? Cohen's, Fleiss' and Krippendorff's coefficients."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from breadth.metrics import checks
from breadth.metrics.checks import Floats
from breadth.metrics.classification import confusion_matrix
from breadth.metrics.score import Score, signature
from breadth.stats.resampling import bootstrap_indices

Measurement = Literal["nominal", "ordinal", "interval", "ratio"]


def cohen_kappa_score(
    y1: ArrayLike,
    y2: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    weights: Literal["linear", "quadratic"] | None = None,
    sample_weight: ArrayLike | None = None,
    replace_undefined_by: float | None = None,
) -> float:
    """Agreement of two raters beyond chance: 1 - sum w_ij O_ij / sum w_ij E_ij, E_ij = n_i. n_.j / n.

    Args:
        y1, y2: labels that each gave, shape (n,).
        labels: all labels, in their order; None takes those that occur, sorted.
        weights: what a disagreement weighs: None, 1; "linear", |i - j|; "quadratic", (i - j)^2, i and j being places
            in the order of labels.
        sample_weight: weights >= 0, shape (n,).
        replace_undefined_by: what is returned where both raters gave one and the same label throughout, so that chance
            is perfect agreement too; None makes that an error.

    Returns:
        Float <= 1; 0 for chance.

    Raises:
        ValueError: if the columns are empty, differ in length or hold NaN, or kappa is not defined.

    Cost: O(n + k^2).
    Deviations: scikit-learn answers NaN where it is not defined, and warns.
    References: Cohen 1960, Educational and Psychological Measurement 20; Cohen 1968 (weights).
    Peer: sklearn.metrics.cohen_kappa_score, 1e-12 (A).
    In production: for two raters and no missing labels; it falls where labels are unevenly spread, so print the
        confusion matrix beside it. `measure` gives its interval.
    """
    checks.one_of("weights", weights, (None, "linear", "quadratic"))
    checks.columns(y1=y1, y2=y2)
    observed = confusion_matrix(y1, y2, labels=labels, sample_weight=sample_weight).astype(np.float64)
    k = len(observed)
    expected = np.outer(observed.sum(1), observed.sum(0)) / observed.sum()
    apart = np.abs(np.subtract.outer(np.arange(k), np.arange(k))).astype(np.float64)
    w = (apart > 0).astype(np.float64) if weights is None else apart if weights == "linear" else apart**2
    chance = float((w * expected).sum())
    if chance == 0 and replace_undefined_by is not None:
        return float(replace_undefined_by)
    if chance == 0:
        raise ValueError(
            "kappa is not defined: y1 and y2 hold one and the same label throughout; give replace_undefined_by=nan, or "
            "what it shall count as"
        )
    return 1 - float((w * observed).sum()) / chance


def fleiss_kappa(table: ArrayLike) -> float:
    """Agreement of many raters beyond chance: (P - P_e) / (1 - P_e).

    P is the share of pairs of raters who agree about an item, averaged over items; P_e = sum_j p_j^2 with p_j the share
    of label j among all labels.

    Args:
        table: how many raters gave item i the label j, shape (items, labels); each row sums to the same number >= 2.

    Returns:
        Float <= 1; 0 for chance.

    Raises:
        ValueError: if counts are no whole numbers >= 0, rows sum to different numbers or to fewer than 2, or only one
            label was ever given.

    Cost: O(items labels).
    References: Fleiss 1971, "Measuring nominal scale agreement among many raters", eq. 3-7.
    Peer: statsmodels.stats.inter_rater.fleiss_kappa, 1e-12 (A).
    In production: raters need not be the same people; where their number varies, `krippendorff_alpha`.
    """
    counts = checks.numbers("table", table, ndim=(2,)).astype(np.float64, copy=False)
    if (counts < 0).any() or (counts != np.rint(counts)).any():
        raise ValueError("table must hold whole numbers >= 0: how many raters gave each label")
    raters = counts.sum(1)
    if (raters != raters[0]).any() or raters[0] < 2:
        raise ValueError(
            f"table: each item needs the same number of raters, at least 2; rows sum to {raters.min():g} to "
            f"{raters.max():g}; krippendorff_alpha takes any"
        )
    r = raters[0]
    agreed = float(((counts**2).sum(1) - r).mean() / (r * (r - 1)))
    shares = counts.sum(0) / counts.sum()
    if np.count_nonzero(shares) < 2:
        raise ValueError("kappa is not defined: table holds one label throughout")
    chance = float(shares @ shares)
    return (agreed - chance) / (1 - chance)


def krippendorff_alpha(
    ratings: ArrayLike,
    *,
    level_of_measurement: Measurement = "nominal",
    confidence: float = 0.95,
    n_resamples: int = 1000,
    seed: int = 0,
) -> Score:
    """Reliability of any number of raters, some of whose ratings are missing: 1 - D_observed / D_expected.

    D averages a distance d(a, b) over pairs of ratings, of the same unit for D_observed, each unit's pairs weighing
    1 / (ratings of it - 1), and of all units for D_expected. d is [a != b], nominal; the squared number of ratings
    ranked between a and b, counting half of theirs, ordinal; (a - b)^2, interval; ((a - b) / (a + b))^2, ratio.

    Args:
        ratings: shape (raters, units), NaN or None where a rater gave none; text for "nominal" alone.
        level_of_measurement: the distance.
        confidence: coverage of the interval, in (0, 1).
        n_resamples: draws of units with replacement for it, >= 100, read at the percentiles; 0: no interval.
        seed: of the draws.

    Returns:
        Score: value <= 1, 0 for chance; low, high, signature.

    Raises:
        ValueError: if no unit has two ratings, all are alike (chance is perfect then), ratings are infinite, negative
            for "ratio", or an argument is out of range.

    Cost: O(raters units + values^2) + O(n_resamples units values).
    Deviations: the interval draws units; Krippendorff's own bootstrap draws pairs of ratings, which takes them as
        independent.
    References: Krippendorff 2011, "Computing Krippendorff's alpha-reliability"; Hayes & Krippendorff 2007; Zapf et al.
        2016 (the bootstrap of units).
    Peer: krippendorff.alpha, 1e-12 (A).
    In production: above 0.8 is what content analysis asks for; look at the units that raters disagree about first.
    """
    checks.one_of("level_of_measurement", level_of_measurement, ("nominal", "ordinal", "interval", "ratio"))
    checks.share("confidence", confidence)
    if n_resamples != 0 and (not isinstance(n_resamples, int | np.integer) or n_resamples < 100):
        raise ValueError(f"n_resamples must be 0 or an integer >= 100, got {n_resamples!r}")
    counts, values = _counts(ratings, level_of_measurement)
    pairable = counts[counts.sum(1) >= 2]
    if not len(pairable):
        raise ValueError("ratings: no unit has two ratings, so that there is nothing to agree about")
    alpha = _alpha(pairable[None], values, level_of_measurement)[0]
    if np.isnan(alpha):
        raise ValueError("alpha is not defined: all ratings that can be paired are alike")
    low = high = float("nan")
    if n_resamples:
        rng = np.random.default_rng(seed)
        units = np.array([bootstrap_indices(len(pairable), rng) for _ in range(n_resamples)])
        parts = np.array_split(units, max(1, units.size // 50_000))
        drawn = np.concatenate([_alpha(pairable[part], values, level_of_measurement) for part in parts])
        drawn = np.where(np.isnan(drawn), 1.0, drawn)  # a draw of ratings that are all alike shows no disagreement
        low, high = (float(q) for q in np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2]))
    shown: dict[str, Any] = {"level": level_of_measurement, "units": len(pairable)}
    if n_resamples:
        shown["ci"] = f"{100 * confidence:g}% percentile, {n_resamples} resamples of units, seed {seed}"
    return Score(float(alpha), low, high, signature("krippendorff_alpha", **shown))


def _counts(ratings: ArrayLike, level: Measurement) -> tuple[Floats, NDArray]:
    """How many raters gave each unit each value, and the values in their order."""
    table = np.asarray(ratings)
    if table.ndim != 2 or table.size == 0:
        raise ValueError(f"ratings must have shape (raters, units), got {table.shape}")
    if table.dtype.kind in "biuf":
        given = ~np.isnan(table)
        if np.isinf(table).any():
            raise ValueError("ratings holds infinity; a missing rating is NaN")
        if level == "ratio" and (table[given] < 0).any():
            raise ValueError("ratings must be >= 0 for level_of_measurement='ratio'")
    else:
        if table.dtype.kind == "O":
            given = np.array([[v is not None and v == v for v in row] for row in table], bool)
            if not any(isinstance(v, str) for v in table[given]):
                return _counts(np.where(given, table, np.nan).astype(np.float64), level)
        else:
            given = np.ones(table.shape, bool)
        if level != "nominal":
            raise ValueError(f"ratings of text are nominal; level_of_measurement={level!r} needs numbers")
    if not given.any():
        raise ValueError("ratings holds no rating")
    values, code = np.unique(table[given].astype(str) if table.dtype.kind == "O" else table[given], return_inverse=True)
    counts = np.zeros((table.shape[1], len(values)))
    np.add.at(counts, (np.nonzero(given)[1], code), 1)
    return counts, values


def _alpha(counts: Floats, values: NDArray, level: Measurement) -> Floats:
    """Alpha of each of several tables of counts, shape (tables, units, values); NaN where all ratings are alike."""
    per_unit = counts.sum(2, keepdims=True)
    scaled = counts / (per_unit - 1)
    coincidence = np.einsum("tuv,tuw->tvw", scaled, counts)
    diagonal = np.arange(counts.shape[2])
    coincidence[:, diagonal, diagonal] -= scaled.sum(1)
    totals = coincidence.sum(2)  # (tables, values)
    n = totals.sum(1)
    if level == "ordinal":
        up_to = np.cumsum(totals, axis=1) - totals / 2  # ratings below a value, and half of its own
        distance = (up_to[:, :, None] - up_to[:, None, :]) ** 2
    elif level == "nominal":
        distance = 1.0 - np.eye(len(values))
    else:
        x = values.astype(np.float64)
        gap = np.subtract.outer(x, x)
        total = np.add.outer(x, x)
        distance = (
            gap**2 if level == "interval" else np.divide(gap, total, out=np.zeros_like(gap), where=total != 0) ** 2
        )
    observed = (coincidence * distance).sum((1, 2))
    expected = (totals[:, :, None] * totals[:, None, :] * distance).sum((1, 2)) / (n - 1)
    return 1 - np.divide(observed, expected, out=np.full(len(n), np.nan), where=expected > 0)
