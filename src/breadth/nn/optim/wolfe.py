"""A line search for the strong Wolfe conditions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Place(NamedTuple):
    """A point on the line x + t d."""

    t: float
    value: float  # f
    slope: float  # grad f . d
    gradient: Tensor

    @property
    def finite(self) -> bool:
        return math.isfinite(self.value) and math.isfinite(self.slope)


def strong_wolfe(
    look: Callable[[float], Place], start: Place, t: float, *, c1: float = 1e-4, c2: float = 0.9, max_eval: int = 25
) -> tuple[Place, int]:
    """Find a t that lowers f enough and flattens its slope: f(t) <= f(0) + c1 t f'(0) and |f'(t)| <= c2 |f'(0)|.

    An interval is first pushed outwards until it must hold such a t, and then narrowed by the cubic through values and
    slopes of its ends.

    Args:
        look: evaluates the line at t. What is not finite counts as too far.
        start: the line at t = 0, with slope < 0.
        t: first trial, > 0.
        c1: share of the first slope that has to be gained, in (0, c2).
        c2: share of the first slope that may be left, in (c1, 1).
        max_eval: evaluations, >= 0.

    Returns:
        The point, and the number of evaluations. If they ran out it is the lowest one with the first condition, which
        may be `start` itself.

    Cost: some two evaluations as a rule; the cubic is free beside them.
    Deviations: where f(t) - f(0) is within the rounding of f, its slope decides instead (Hager & Zhang's approximate
        Wolfe conditions): values alone would end the search at half of the digits of x.
    References: Nocedal & Wright 2006, Numerical Optimization, algorithms 3.5 and 3.6, eq. 3.59; Hager & Zhang 2005,
        SIAM J. Optim. 16(1), eq. 4.1.
    Peer: the conditions themselves, and Moré & Thuente's six functions (B).
    In production: use it through LBFGS; scipy.optimize.line_search on NumPy functions.
    """
    noise = math.sqrt(torch.finfo(start.gradient.dtype).eps) * abs(start.value)
    low, high = start, None  # high is the far end, once the interval is known to hold a t that serves
    widths = (math.inf, math.inf)
    for n_eval in range(1, max_eval + 1):
        here = look(t)
        lowered = here.value <= start.value + c1 * t * start.slope or abs(here.value - start.value) <= noise
        if here.finite and lowered and abs(here.slope) <= -c2 * start.slope:
            return here, n_eval
        before = low
        if not here.finite or not lowered or here.value > low.value + noise:
            high = here
        else:
            if here.slope * (math.inf if high is None else high.t - low.t) >= 0:
                high = low
            low = here
        if high is None:  # outwards
            stride = here.t - before.t
            t = min(max(_cubic_minimum(before, here), here.t + 1.1 * stride), here.t + 9 * stride)
            continue
        near, far = sorted((low.t, high.t))
        width = far - near
        if near + width / 2 in (near, far):
            return low, n_eval
        # halve what the cubic has not made smaller by a third in two rounds
        t = _cubic_minimum(low, high) if width <= 0.66 * widths[0] else (near + far) / 2
        t = min(max(t, near + 0.1 * width), far - 0.1 * width)
        widths = (widths[1], width)
    return low, max_eval


def _cubic_minimum(a: Place, b: Place) -> float:
    """Where the cubic with the values and slopes of both ends is least; far out or in the middle if it is nowhere."""
    if not (a.finite and b.finite):
        return (a.t + b.t) / 2
    d1 = a.slope + b.slope - 3 * (a.value - b.value) / (a.t - b.t)
    square = d1 * d1 - a.slope * b.slope
    if square < 0:
        return math.inf
    d2 = math.copysign(math.sqrt(square), b.t - a.t)
    below = b.slope - a.slope + 2 * d2
    return b.t - (b.t - a.t) * (b.slope + d2 - d1) / below if below else math.inf
