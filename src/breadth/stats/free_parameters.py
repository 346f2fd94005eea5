"""Parameters within bounds as numbers that are free, for optimisers that know no bounds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bound = tuple[float | None, float | None]


class FreeParameters:
    """Each parameter as a function of a number that is free."""

    def __init__(self, bounds: Sequence[Bound] | None, start: Floats):
        pairs = [(None, None)] * start.size if bounds is None else list(bounds)
        if len(pairs) != start.size:
            raise ValueError(f"bounds must hold {start.size} pairs (low, high), got {len(pairs)}")
        self.low = np.array([-np.inf if low is None else low for low, _ in pairs], dtype=np.float64)
        self.high = np.array([np.inf if high is None else high for _, high in pairs], dtype=np.float64)
        if not (self.low < self.high).all():
            raise ValueError(f"bounds must have low < high, got {bounds!r}")
        if not ((start > self.low) & (start < self.high)).all():
            raise ValueError(f"start must lie strictly inside the bounds {bounds!r}, got {start!r}")
        self.has_low, self.has_high = np.isfinite(self.low), np.isfinite(self.high)

    def position(self, theta: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            below, above = np.log(theta - self.low), np.log(self.high - theta)
            # towards a lower bound u falls, towards an upper one it rises
            return np.select(
                [self.has_low & self.has_high, self.has_low, self.has_high], [below - above, below, -above], theta
            )

    def parameters(self, u: Floats) -> Floats:
        with np.errstate(over="ignore", invalid="ignore"):
            width = self.high - self.low
            inner = np.where(u < 0, self.low + width * _sigmoid(u), self.high - width * _sigmoid(-u))
            return np.select(
                [self.has_low & self.has_high, self.has_low, self.has_high],
                [inner, self.low + np.exp(u), self.high - np.exp(-u)],
                u,
            )

    def slope(self, u: Floats) -> Floats:
        with np.errstate(over="ignore", invalid="ignore"):
            inner = (self.high - self.low) * _sigmoid(u) * _sigmoid(-u)
            return np.select(
                [self.has_low & self.has_high, self.has_low, self.has_high], [inner, np.exp(u), np.exp(-u)], 1.0
            )

    def refuse_edges(self, u: Floats, theta: Floats) -> None:
        bounded = self.has_low | self.has_high
        edge = bounded & ((np.abs(u) > 30) & ((theta - self.low < 1e-10) | (self.high - theta < 1e-10)))
        if edge.any() or not np.isfinite(theta).all():
            i = int(np.argmax(edge | ~np.isfinite(theta)))
            raise RuntimeError(
                f"parameter {i} goes to the end of its range (now {theta[i]:g}): the log-likelihood has no maximum "
                "inside the bounds"
            )


def _sigmoid(u: Floats) -> Floats:
    return np.exp(-np.logaddexp(0.0, -u))
