"""Thresholds of a cascade: the trade of accuracy for cost, one threshold at a time over sorted confidences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_PRICES = 63  # accuracies a unit of cost is worth, and 0
_CYCLES = 20


@dataclass(frozen=True, slots=True)
class Stages:
    """How sure each stage is of each row, and whether it is right; confidence and right are (stages, rows)."""

    confidence: NDArray[np.float64]
    right: NDArray[np.float64]
    costs: NDArray[np.float64]
    weight: NDArray[np.float64]  # (rows,), summing to 1
    accuracy_alone: NDArray[np.float64]  # (stages,)

    @classmethod
    def of(cls, told: Sequence[NDArray], codes: NDArray, costs: NDArray, weight: NDArray | None) -> Stages:
        """From class probabilities (rows, classes) of each stage, and the rows' class numbers."""
        confidence = np.stack([p.max(axis=1) for p in told])
        right = np.stack([(p.argmax(axis=1) == codes).astype(np.float64) for p in told])
        share = np.full(len(codes), 1 / len(codes)) if weight is None else weight / weight.sum()
        return cls(confidence, right, costs, share, right @ share)

    def answering(self, thresholds: NDArray[np.float64], start: int = 0) -> NDArray[np.int64]:
        """The stage that answers each row, were it to start at `start`."""
        stage = np.full(self.confidence.shape[1], len(self.costs) - 1)
        for s in range(len(thresholds) - 1, start - 1, -1):
            stage[self.confidence[s] >= thresholds[s]] = s
        return stage

    def value(self, thresholds: NDArray[np.float64]) -> tuple[float, float]:
        """Mean cost and accuracy."""
        stage = self.answering(thresholds)
        right = self.right[stage, np.arange(len(stage))]
        return float(self.weight @ np.cumsum(self.costs)[stage]), float(self.weight @ right)

    def along(self, s: int, thresholds: NDArray[np.float64]) -> tuple[NDArray, NDArray, NDArray]:
        """Every threshold of stage s that differs in what it does, with the gains in accuracy and in cost over none.

        Returns:
            Thresholds from infinity (answer nothing) downwards, accuracy gained and cost saved, each (candidates,).
        """
        reached = np.flatnonzero(self.answering(thresholds) >= s)  # by those before it; its own does not matter here
        later = self.answering(thresholds, s + 1)[reached]
        total = np.cumsum(self.costs)
        weight = self.weight[reached]
        gain = weight * (self.right[s, reached] - self.right[later, reached])
        saved = weight * (total[later] - total[s])
        confidence = self.confidence[s, reached]
        order = np.argsort(-confidence, kind="stable")
        confidence = confidence[order]
        last = np.append(confidence[1:] < confidence[:-1], True) if len(reached) else np.zeros(0, bool)
        below = np.append(confidence[1:], 0.0)
        middle = np.where(below > 0, (confidence + below) / 2, 0.0)[last] if len(reached) else np.zeros(0)
        grown = np.stack([np.cumsum(gain[order]), np.cumsum(saved[order])])[:, last]
        return np.append(np.inf, middle), np.append(0.0, grown[0]), np.append(0.0, grown[1])


def frontier(stages: Stages) -> NDArray[np.float64]:
    """Thresholds (points, stages - 1), none of them at once dearer and less accurate than another, cheapest first."""
    free = len(stages.costs) - 1
    total = float(np.sum(stages.costs))
    found = [np.full(free, np.inf), np.zeros(free)]
    current = found[0]
    for price in [0.0, *np.geomspace(1e-4, 10, _PRICES) / total]:
        for start in (current, found[0]):
            thresholds = _climb(stages, start.copy(), price)
            found.append(thresholds)
        current = min(found[-2:], key=lambda t: price * stages.value(t)[0] - stages.value(t)[1])
    values = np.array([stages.value(t) for t in found])
    order = np.lexsort((-values[:, 1], values[:, 0]))
    kept: list[int] = []
    for i in order:
        if not kept or values[i, 1] > values[kept[-1], 1]:
            kept.append(int(i))
    return np.array([found[i] for i in kept]).reshape(len(kept), free)


def _climb(stages: Stages, thresholds: NDArray[np.float64], price: float) -> NDArray[np.float64]:
    """Thresholds at which none of them alone can raise accuracy - price x cost."""
    for _ in range(_CYCLES):
        before = thresholds.copy()
        for s in reversed(range(len(thresholds))):
            candidates, gain, saved = stages.along(s, thresholds)
            worth = gain + price * saved
            best = np.flatnonzero(worth >= worth.max() - 1e-12)[-1]  # of equals the cheapest; sums round
            thresholds[s] = candidates[best]
        if np.array_equal(before, thresholds):
            break
    return thresholds


def choose(stages: Stages, found: NDArray[np.float64], accuracy: float) -> NDArray[np.float64]:
    """The cheapest thresholds whose accuracy is at least so much; one at a time is lowered, from those found."""
    floor = accuracy - 1e-12  # sums of weights round
    every_row_to_the_last = np.full(len(stages.costs) - 1, np.inf)
    starts = [t for t in found if stages.value(t)[1] >= floor] or [every_row_to_the_last]
    best = min((_cheapen(stages, t.copy(), floor) for t in starts), key=lambda t: stages.value(t)[0])
    return best


def _cheapen(stages: Stages, thresholds: NDArray[np.float64], floor: float) -> NDArray[np.float64]:
    for _ in range(_CYCLES):
        before = thresholds.copy()
        for s in reversed(range(len(thresholds))):
            candidates, gain, saved = stages.along(s, thresholds)
            without = thresholds.copy()
            without[s] = np.inf
            allowed = stages.value(without)[1] + gain >= floor
            thresholds[s] = candidates[allowed][saved[allowed].argmax()] if allowed.any() else thresholds[s]
        if np.array_equal(before, thresholds):
            break
    return thresholds
