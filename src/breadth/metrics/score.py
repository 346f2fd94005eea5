"""A score with its interval and the line that makes it reproducible, and two systems compared on the same rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from breadth import __version__
from breadth.stats.resampling import bootstrap_indices, bootstrap_interval


@dataclass(frozen=True, slots=True)
class Score:
    """A number, an interval around it and how it was computed.

    Attributes:
        value: the score.
        low, high: ends of the interval; NaN where none was asked for.
        signature: one line that says how to compute it again.
    """

    value: float
    low: float
    high: float
    signature: str

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        interval = "" if np.isnan(self.low) else f" [{self.low:.4g}, {self.high:.4g}]"
        return f"{self.value:.4g}{interval} {self.signature}"


@dataclass(frozen=True, slots=True)
class Paired:
    """Two systems' scores on the same rows.

    Attributes:
        first, second: the two scores.
        difference: first - second.
        low, high: bootstrap interval of the difference.
        p: two-sided p value of the randomisation test that the systems are exchangeable.
        signature: one line that says how to compute it again.
    """

    first: float
    second: float
    difference: float
    low: float
    high: float
    p: float
    signature: str

    def __str__(self) -> str:
        return f"{self.difference:+.4g} [{self.low:.4g}, {self.high:.4g}], p = {self.p:.3g} {self.signature}"


def signature(name: str, **settings: Any) -> str:
    """One line that makes a score reproducible: name|key:value|...|version:V.

    Args:
        name: of the metric.
        settings: what changes its value, in the order in which they shall stand; None is written as "none".

    Returns:
        For example "f1_score|average:macro|n:1797|version:0.1.0".

    Raises:
        ValueError: if a name or value holds "|", a line break, or a name ":".

    Cost: O(length).
    References: Post 2018, "A call for clarity in reporting BLEU scores", arXiv:1804.08771, section 3.
    Peer: sacrebleu's signatures have the same form (B).
    In production: print it beside every number that somebody else shall be able to compute.
    """
    parts = [name]
    for key, value in {**settings, "version": __version__}.items():
        text = "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
        if ":" in key or any(mark in part for mark in "|\n\r" for part in (key, text)):
            raise ValueError(f"a signature's settings hold no '|', line break or name with ':', got {key!r}: {text!r}")
        parts.append(f"{key}:{text}")
    return "|".join(parts)


def measure(
    metric: Callable[..., float],
    *columns: ArrayLike | Sequence[Any],
    stratify: ArrayLike | None = None,
    confidence: float = 0.95,
    method: Literal["percentile", "bca"] = "percentile",
    n_resamples: int = 1000,
    seed: int = 0,
    **settings: Any,
) -> Score:
    """Any metric of rows, with a bootstrap interval and a signature.

        measure(f1_score, y_true, y_pred, average="macro")

    Rows are drawn with replacement, all columns together, and the metric is computed anew on each draw; the interval
    is read from the quantiles (1 - confidence) / 2 and (1 + confidence) / 2 of what comes out, or from those that BCa
    puts in their place.

    Args:
        metric: from columns to a number: any function of this package or of scikit-learn.
        columns: arrays or sequences of n rows each, n >= 2: y_true, y_pred; hypotheses, references.
        stratify: labels (n,); rows are then drawn within each label, so that no draw lacks a class; None draws freely.
        confidence: coverage aimed at, in (0, 1).
        method: "percentile"; or "bca", second-order accurate, which computes the metric n more times.
        n_resamples: draws, >= 100; 0: no interval.
        seed: of the draws; stands in the signature.
        settings: keyword arguments of the metric; stand in the signature. sample_weight is taken as another column.

    Returns:
        Score.

    Raises:
        ValueError: if columns are empty or differ in length, the metric is not finite on a draw, or an argument is out
            of range.

    Cost: n_resamples calls of the metric.
    References: Efron & Tibshirani 1993, An Introduction to the Bootstrap, ch. 13.
    Peer: scipy.stats.bootstrap through `stats.bootstrap_interval` (A); strata by their counts (B).
    In production: use it for any score of independent rows; AUC has `roc_auc_interval`, a share `proportion`, in
        closed form.
    """
    rows, weight, n = _rows(columns, settings)
    if n_resamples != 0 and (not isinstance(n_resamples, Integral) or n_resamples < 100):
        raise ValueError(f"n_resamples must be 0 or an integer >= 100, got {n_resamples!r}")
    if method not in ("percentile", "bca"):
        raise ValueError(f"method must be 'percentile' or 'bca', got {method!r}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be in (0, 1), got {confidence!r}")

    def at(chosen: NDArray[np.intp]) -> float:
        given = {**settings, "sample_weight": weight[chosen]} if weight is not None else settings
        return float(metric(*(column[chosen] for column in rows), **given))

    everything = np.arange(n)
    value = at(everything)
    low = high = float("nan")
    if n_resamples and stratify is None:
        found = bootstrap_interval(
            everything, lambda drawn: at(drawn.astype(np.intp)), confidence=confidence, method=method, rng=seed,
            n_resamples=n_resamples,
        )  # fmt: skip
        low, high = found.low, found.high
    elif n_resamples:
        if method == "bca":
            raise ValueError("stratify goes with method='percentile'; BCa's correction is that of free draws")
        draws = _stratified(np.asarray(stratify), n, n_resamples, seed)
        low, high = (
            float(end) for end in np.quantile([at(d) for d in draws], [(1 - confidence) / 2, (1 + confidence) / 2])
        )
    shown = {key: value for key, value in settings.items() if key != "sample_weight"}
    if weight is not None:
        shown["weighted"] = "yes"
    if n_resamples:
        strata = "" if stratify is None else " within strata"
        shown["ci"] = f"{100 * confidence:g}% {method}{strata}, {n_resamples} resamples, seed {seed}"
    return Score(value, low, high, signature(_name(metric), n=n, **shown))


def paired(
    metric: Callable[..., float],
    y_true: ArrayLike | Sequence[Any],
    first: ArrayLike | Sequence[Any],
    second: ArrayLike | Sequence[Any],
    *,
    confidence: float = 0.95,
    n_resamples: int = 1000,
    seed: int = 0,
    **settings: Any,
) -> Paired:
    """Two systems on the same rows: the difference of their scores, its bootstrap interval and a randomisation test.

    Under the null each row's two outputs could have been exchanged. p = (1 + #{|d*| >= |d|}) / (1 + n_resamples), with
    d* the difference after each row's outputs have changed places with probability 1/2. The interval takes percentiles
    of the difference over rows drawn with replacement, both systems together.

    Args:
        metric: metric(y_true, output) -> number.
        y_true: n rows, n >= 2.
        first, second: outputs of the systems, n rows each.
        confidence: coverage of the interval, in (0, 1).
        n_resamples: draws of either kind, >= 100.
        seed: of the draws.
        settings: keyword arguments of the metric; sample_weight is taken along with the rows.

    Returns:
        Paired.

    Raises:
        ValueError: if columns are empty or differ in length, the metric is not finite on a draw, or an argument is out
            of range.

    Cost: 4 x n_resamples calls of the metric.
    References: Noreen 1989, Computer-Intensive Methods for Testing Hypotheses, ch. 2; Koehn 2004, "Statistical
        significance tests for machine translation evaluation" (paired bootstrap); Phipson & Smyth 2010 (the ones in p).
    Peer: scipy.stats.permutation_test(permutation_type="samples") on means, within its noise (A).
    In production: use it on the same test rows; `stats.resampled_t` over repeated splits, `delong_test` for AUC.
    """
    rows, weight, n = _rows((y_true, first, second), settings)
    if not isinstance(n_resamples, Integral) or n_resamples < 100:
        raise ValueError(f"n_resamples must be an integer >= 100, got {n_resamples!r}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be in (0, 1), got {confidence!r}")
    truth, a, b = rows

    def score(truth: NDArray, output: NDArray, chosen: NDArray[np.intp] | slice = slice(None)) -> float:
        given = {**settings, "sample_weight": weight[chosen]} if weight is not None else settings
        return float(metric(truth, output, **given))

    one, other = score(truth, a), score(truth, b)
    rng = np.random.default_rng(seed)
    moved, swapped = np.empty(n_resamples), np.empty(n_resamples)
    for i in range(n_resamples):
        chosen = bootstrap_indices(n, rng)
        moved[i] = score(truth[chosen], a[chosen], chosen) - score(truth[chosen], b[chosen], chosen)
        swap = rng.random(n) < 0.5
        swap_rows = swap.reshape(-1, *[1] * (a.ndim - 1))
        swapped[i] = score(truth, np.where(swap_rows, b, a)) - score(truth, np.where(swap_rows, a, b))
    difference = one - other
    if not np.isfinite([difference, *moved, *swapped]).all():
        raise ValueError("the metric is not finite on some draws; choose one that is defined on all of them")
    # differences that are equal but for rounding count as equal
    extreme = np.count_nonzero(np.abs(swapped) >= abs(difference) * (1 - 1e-9))
    low, high = (float(end) for end in np.quantile(moved, [(1 - confidence) / 2, (1 + confidence) / 2]))
    shown = {key: value for key, value in settings.items() if key != "sample_weight"}
    if weight is not None:
        shown["weighted"] = "yes"
    line = signature(
        _name(metric), n=n, **shown, ci=f"{100 * confidence:g}% paired bootstrap", test="approximate randomisation",
        draws=f"{n_resamples}, seed {seed}",
    )  # fmt: skip
    return Paired(one, other, difference, low, high, (1 + extreme) / (1 + n_resamples), line)


def _rows(columns: Sequence[Any], settings: dict[str, Any]) -> tuple[list[NDArray], NDArray | None, int]:
    """Columns as arrays whose first axis is rows; objects stay objects, so that texts and lists of texts are rows."""
    if not columns:
        raise ValueError("columns: give at least one array of rows")
    arrays = []
    for column in columns:
        if isinstance(column, np.ndarray):
            arrays.append(column)
        elif all(np.isscalar(value) for value in column):
            arrays.append(np.asarray(column))
        else:
            objects = np.empty(len(column), dtype=object)
            objects[:] = [*column]
            arrays.append(np.asarray(column) if _rectangular(column) else objects)
    sizes = [len(array) for array in arrays]
    if len(set(sizes)) != 1 or sizes[0] < 2:
        raise ValueError(f"columns must have one length of at least 2 rows, got lengths {sizes}")
    weight = settings.get("sample_weight")
    if weight is not None:
        weight = np.asarray(weight, np.float64)
        if weight.shape != (sizes[0],):
            raise ValueError(f"sample_weight must have shape ({sizes[0]},), got {weight.shape}")
    return arrays, weight, sizes[0]


def _rectangular(column: Any) -> bool:
    """Whether rows are numbers of one shape, so that they make a matrix."""
    shapes = {np.shape(row) for row in column if not isinstance(row, str)}
    return len(shapes) == 1 and all(np.asarray(row).dtype.kind in "biuf" for row in column)


def _stratified(labels: NDArray, n: int, n_resamples: int, seed: int) -> list[NDArray[np.intp]]:
    if labels.shape != (n,):
        raise ValueError(f"stratify must have shape ({n},), got {labels.shape}")
    rng = np.random.default_rng(seed)
    groups = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    return [np.concatenate([g[bootstrap_indices(len(g), rng)] for g in groups]) for _ in range(n_resamples)]


def _name(metric: Callable[..., float]) -> str:
    return getattr(metric, "__name__", type(metric).__name__)
