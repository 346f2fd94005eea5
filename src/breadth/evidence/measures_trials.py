"""Measures of trials: rows that are small experiments whose truth is known, so that what a method says can be wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from breadth.evidence.problem import Problem
from breadth.evidence.study import Measure, Trial

LEVEL = 0.95  # that intervals are asked for
TOP = 10  # items that a recommender is asked for


def _intervals(margin: float) -> tuple[Measure, ...]:
    return (
        Measure("interval score", "lower", margin=margin),
        Measure("coverage error", "lower", margin=0.01),
        Measure("width", "lower", margin=margin),
        Measure("coverage", "higher", margin=0.01),
    )


TRIALS: Mapping[Trial, tuple[Measure, ...]] = {
    "proportion": _intervals(0.005),
    "mean": _intervals(0.02),  # of populations whose standard deviation is 1
    "judging": (
        Measure("ranked first", "higher", margin=0.02),
        Measure("separation", "higher", margin=0.1),
        Measure("moved", "lower", margin=0.01),
    ),
    "clustering": (
        Measure("ARI", "higher", margin=0.02),
        Measure("NMI", "higher", margin=0.02),
        Measure("silhouette", "higher", margin=0.02),
    ),
    "drift": (
        Measure("first alarm right", "higher", margin=0.02),
        Measure("delay", "lower", margin=20.0, unit="items"),
        Measure("missed", "lower", margin=0.02),
        Measure("false alarms", "lower", margin=0.1, unit="in 1,000 items"),
    ),
    "recommendation": (
        Measure("NDCG@10", "higher", margin=0.01),
        Measure("recall@10", "higher", margin=0.01),
        Measure("coverage", "higher", margin=0.05),
    ),
}


def truth_of_trials(problem: Problem, X: NDArray, y: NDArray) -> NDArray:
    """What is known of each row and not told: y, shape (n,); for clustering y and X side by side, shape (n, 1 +
    features); for recommendation X, the users and the items that were hidden.
    """
    if problem.task == "clustering":
        return np.column_stack([y, X])
    return X if problem.task == "recommendation" else y


def work_on_trials(problem: Problem, X: NDArray) -> float | None:
    """How much a prediction of the rows X does: samples, pairs, items of streams or users; None for clustering."""
    if problem.task in ("clustering", "recommendation"):
        return None if problem.task == "clustering" else float(np.unique(X[:, 0]).size)
    return float(X.size if problem.task == "drift" else len(X))


def score_trials(problem: Problem, y: NDArray, predicted: NDArray) -> dict[str, float]:
    """Every measure of trials.

    Args:
        problem: its task is one of TRIALS.
        y: what `truth_of_trials` gave.
        predicted: for a proportion or a mean the two ends of each row's interval, shape (n, 2); for judging the scores
            of what is better and of what is worse, and where there is one that of the better elsewhere, shape (n, 2)
            or (n, 3); for clustering the group of each row, integers, shape (n,); for drift
            whether there is an alarm at each item of each stream, shape (n, length); for
            recommendation the items for each user of y, in the order of users, shape (users, TOP).

    Raises:
        ValueError: if predicted has the wrong shape or is not finite.
    """
    if not np.isfinite(predicted).all():
        raise ValueError(f"{(~np.isfinite(predicted)).sum()} of {predicted.size} predictions are NaN or infinite")
    return _SCORES[problem.task](problem, y, predicted)


def _of_intervals(problem: Problem, y: NDArray, ends: NDArray) -> dict[str, float]:
    """What intervals are worth.

        coverage         share that holds the truth; ends belong to an interval
        coverage error   |coverage - LEVEL|
        interval score   mean of width + 2 / (1 - LEVEL) times the distance by which the truth was missed: lowest, in
                         expectation, for the quantiles of what is believed, so that neither width nor misses are free

    References: Gneiting & Raftery 2007, JASA 102(477), eq. 43 (interval score).
    """
    _shape(ends, (len(y), 2))
    low, high = ends[:, 0], ends[:, 1]
    if (low > high).any():
        raise ValueError(f"{(low > high).sum()} of {len(y)} intervals have their low end above the high one")
    missed = np.maximum(low - y, 0) + np.maximum(y - high, 0)
    coverage = float((missed == 0).mean())
    width = float((high - low).mean())
    return {
        "coverage error": abs(coverage - LEVEL),
        "interval score": width + 2 / (1 - LEVEL) * float(missed.mean()),
        "width": width,
        "coverage": coverage,
    }


def _of_judges(problem: Problem, y: NDArray, scores: NDArray) -> dict[str, float]:
    """How far scores can be trusted.

    ranked first   share of pairs of which the better one has the higher score; equal scores count half
    separation     mean of better - worse over its standard deviation: in the metric's own noise, whatever its unit
    moved          |mean score of the better - mean score of the same elsewhere|

    """
    _shape(scores, (len(y), 3 if scores.shape[-1] == 3 else 2))
    gap = scores[:, 0] - scores[:, 1]
    values = {"ranked first": float((gap > 0).mean() + 0.5 * (gap == 0).mean())}
    if (spread := gap.std()) > 0:
        values["separation"] = float(gap.mean() / spread)
    elif not gap.any():
        values["separation"] = 0.0  # a metric that sees no difference
    if scores.shape[1] == 3:
        values["moved"] = float(abs(scores[:, 0].mean() - scores[:, 2].mean()))
    return values


def _of_groups(problem: Problem, rows: NDArray, groups: NDArray) -> dict[str, float]:
    """Agreement with the known groups, up to their names, and how far groups lie apart: that is asked of no truth."""
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score, silhouette_score

    _shape(groups, (len(rows),))
    truth = rows[:, 0].astype(np.int64)
    values = {"ARI": adjusted_rand_score(truth, groups), "NMI": normalized_mutual_info_score(truth, groups)}
    if 1 < np.unique(groups).size < len(groups):
        values["silhouette"] = silhouette_score(rows[:, 1:], groups)
    return {name: float(v) for name, v in values.items()}


def _of_alarms(problem: Problem, place: NDArray, alarms: NDArray) -> dict[str, float]:
    """What alarms are worth, given the item from which on each stream is another; its length where it never is.

    first alarm right   share of streams without an alarm before the place and with one from there on; of streams
                        that never change, without any
    delay               items from the place to the first alarm from there on; where it is missed, to the end
    missed              share of streams that change and have no alarm from there on
    false alarms        alarms before the place, for 1,000 items before it

    """
    _shape(alarms, (len(place), problem.n_features))
    alarms, item = alarms.astype(bool), np.arange(problem.n_features)
    late = alarms & (item >= place[:, None])
    early: NDArray[np.bool_] = alarms & ~late
    found: NDArray[np.bool_] = late.max(axis=1)
    changes = place < problem.n_features
    values = {
        "first alarm right": float((~early.any(axis=1) & (found | ~changes)).mean()),
        "false alarms": float(1000 * early.sum() / place.sum()),
    }
    if changes.any():
        first = np.where(found, late.argmax(axis=1), problem.n_features)
        values["delay"] = float((first - place)[changes].mean())
        values["missed"] = float(1 - found[changes].mean())
    return values


def _of_lists(problem: Problem, rows: NDArray, items: NDArray) -> dict[str, float]:
    """What lists of items are worth, means over the users of whom something is hidden.

        NDCG@10     of an item that was hidden 1 / log2(1 + place), over the most that so many hidden ones can give
        recall@10   share of the hidden ones that are in the list
        coverage    share of all items that are in any list

    References: Järvelin & Kekäläinen 2002, section 2.3, with gain 1 (NDCG).
    """
    users, row = np.unique(rows[:, 0].astype(np.int64), return_inverse=True)
    _shape(items, (len(users), TOP))
    n_items = problem.cardinality[1]
    if (items >= n_items).any() or any(np.unique(kept).size < kept.size for kept in (i[i >= 0] for i in items)):
        raise ValueError(f"lists must hold different items from 0 to {n_items - 1}")
    hidden = np.zeros((len(users), n_items + 1), bool)  # the last column stands for no item
    hidden[row, rows[:, 1].astype(np.int64)] = True
    hit = np.take_along_axis(hidden, np.where(items < 0, n_items, items), axis=1)
    count = hidden.sum(axis=1)
    discount = 1 / np.log2(np.arange(2, TOP + 2))
    return {
        "NDCG@10": float((hit @ discount / np.cumsum(discount)[np.minimum(count, TOP) - 1]).mean()),
        "recall@10": float((hit.sum(axis=1) / count).mean()),
        "coverage": np.unique(items[items >= 0]).size / n_items,
    }


def _shape(predicted: NDArray, shape: tuple[int, ...]) -> None:
    if predicted.shape != shape:
        raise ValueError(f"predictions must have shape {shape}, got {predicted.shape}")


_SCORES: Mapping[str, Callable[[Problem, NDArray, NDArray], dict[str, float]]] = {
    "proportion": _of_intervals,
    "mean": _of_intervals,
    "judging": _of_judges,
    "clustering": _of_groups,
    "drift": _of_alarms,
    "recommendation": _of_lists,
}
