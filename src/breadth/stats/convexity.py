"""Is a function convex? Jensen's inequality on random segments, and second differences on a grid; no derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from breadth.stats import arguments

Floats = NDArray[np.float64]
Shape = Literal["convex", "concave", "linear", "neither"]


class Convexity(NamedTuple):
    """What no trial contradicted, and the trials that contradict the rest."""

    shape: Shape
    against_convex: tuple[Any, ...] | None  # (a, b, weight): f(w a + (1 - w) b) > w f(a) + (1 - w) f(b)
    against_concave: tuple[Any, ...] | None
    excess: float  # largest chord less function relative to the values: how clearly it is not concave
    deficit: float  # the same for function less chord
    n_trials: int


def jensen_test(
    f: Callable[[Floats], Any],
    low: ArrayLike,
    high: ArrayLike,
    *,
    n_segments: int = 2000,
    rtol: float = 1e-10,
    rng: np.random.Generator | int | None = 0,
) -> Convexity:
    """Compare f on random segments with its chord: f(w a + (1 - w) b) <= w f(a) + (1 - w) f(b) for each is convex.

    Lengths of segments run over six orders of magnitude, so that a narrow dent is found where many begin within it.

    Args:
        f: from points, shape (m, dimensions), to values, shape (m,); it need not be smooth.
        low: least coordinates of the box, shape (dimensions,), or one number for a function of one.
        high: greatest coordinates, > low.
        n_segments: >= 1.
        rtol: how far rounding may lift a value above its chord, relative to the values at hand.
        rng: generator or its seed.

    Returns:
        Convexity. "neither" is proved by two counterexamples; "convex", "concave" and "linear" mean that none was found
        in n_segments.

    Raises:
        ValueError: if the box is empty or not finite, f returns another shape or is not finite inside it, or an
            argument is out of range.

    Cost: 3 n_segments evaluations.
    References: Jensen 1906, Acta Mathematica 30; Boyd & Vandenberghe 2004, Convex Optimization, eq. 3.1.
    Peer: functions of known shape: |x|, x^2, exp and log-sum-exp are convex, log concave, sin neither; matrices whose
        eigenvalues have known signs (B).
    In production: a proof by composition rules (as cvxpy's) where you have the formula, this where you have the code.
    """
    lowest, highest = _box(low, high)
    arguments.whole("n_segments", n_segments, 1)
    if not 0 <= rtol < 1:
        raise ValueError(f"rtol must be in [0, 1), got {rtol!r}")
    generator = np.random.default_rng(rng)
    size = (n_segments, len(lowest))
    a = generator.uniform(lowest, highest, size)
    reach = 10.0 ** -generator.uniform(0, 6, (n_segments, 1))
    b = np.clip(a + reach * (generator.uniform(lowest, highest, size) - a), lowest, highest)
    axis = generator.random(n_segments) < 0.3  # some segments lie along one coordinate
    along = generator.integers(len(lowest), size=n_segments)
    keep = np.arange(len(lowest)) == along[:, None]
    b = np.where(axis[:, None] & ~keep, a, b)
    w = generator.uniform(0.05, 0.95, n_segments)
    middle = w[:, None] * a + (1 - w[:, None]) * b
    fa, fb, fm = (_values(f, points) for points in (a, b, middle))
    # the middle point is rounded: its value moves by as much as the slope carries that
    slope = np.abs(fa - fb) / np.maximum(np.abs(a - b).max(1), 1e-300)
    slack = rtol * (np.abs(fa) + np.abs(fb) + np.abs(fm)) + 1e-15 * slope * np.abs(a).max(1) + 1e-300
    return _verdict(w * fa + (1 - w) * fb - fm, slack, a, b, w)


def second_difference_test(
    f: Callable[[Floats], Any], low: float, high: float, *, n_points: int = 201, rtol: float = 1e-10
) -> Convexity:
    """Signs of f(x - h) - 2 f(x) + f(x + h) for x on a grid and h of one, two, four ... of its steps.

    Where f is twice differentiable the difference is h^2 f''(x) up to O(h^4), and f'' >= 0 is convexity; where it is
    not, as |x| at 0, the sign still is.

    Args:
        f: from points, shape (m, 1), to values, shape (m,).
        low: first point of the grid.
        high: last point, > low.
        n_points: >= 3.
        rtol: what rounding may leave, relative to the values at hand.

    Returns:
        Convexity; a dent narrower than a step of the grid may be missed.

    Raises:
        ValueError: as `jensen_test`.

    Cost: n_points evaluations.
    References: Hardy, Littlewood & Pólya 1934, Inequalities, section 3.5: midpoint convexity of a continuous function
        is convexity.
    Peer: f'' in closed form on the same grid (B).
    In production: for functions of one variable; `jensen_test` has no grid to hide between.
    """
    lowest, highest = _box(low, high)
    if len(lowest) != 1:
        raise ValueError(f"low and high must be numbers, got {low!r} and {high!r}; jensen_test takes boxes")
    arguments.whole("n_points", n_points, 3)
    if not 0 <= rtol < 1:
        raise ValueError(f"rtol must be in [0, 1), got {rtol!r}")
    x = np.linspace(lowest[0], highest[0], n_points)
    values = _values(f, x[:, None])
    differences, slacks, left, right = [], [], [], []
    step = 1
    while 2 * step < n_points:
        before, at, after = values[: -2 * step], values[step:-step], values[2 * step :]
        differences.append((before + after) / 2 - at)
        slacks.append(rtol * (np.abs(before) + np.abs(at) + np.abs(after)) + 1e-300)
        left.append(x[: -2 * step])
        right.append(x[2 * step :])
        step *= 2
    a, b = np.concatenate(left)[:, None], np.concatenate(right)[:, None]
    return _verdict(np.concatenate(differences), np.concatenate(slacks), a, b, np.full(len(a), 0.5))


def _verdict(gap: Floats, slack: Floats, a: Floats, b: Floats, w: Floats) -> Convexity:
    """gap: chord less function; both signs beyond the slack are needed for "neither"."""
    above, below = gap / slack, -gap / slack
    i, j = int(below.argmax()), int(above.argmax())
    dented, domed = below[i] > 1, above[j] > 1
    shapes: dict[tuple[bool, bool], Shape] = {
        (False, True): "convex",
        (True, False): "concave",
        (False, False): "linear",
        (True, True): "neither",
    }
    return Convexity(
        shapes[bool(dented), bool(domed)],
        (a[i], b[i], float(w[i])) if dented else None,
        (a[j], b[j], float(w[j])) if domed else None,
        max(0.0, float(gap.max())),
        max(0.0, float(-gap.min())),
        len(gap),
    )


def _box(low: ArrayLike, high: ArrayLike) -> tuple[Floats, Floats]:
    lowest = arguments.finite("low", np.atleast_1d(np.asarray(low, np.float64)))
    highest = arguments.finite("high", np.atleast_1d(np.asarray(high, np.float64)))
    if lowest.shape != highest.shape or not (lowest < highest).all():
        raise ValueError(f"low must be < high in each dimension, got {low!r} and {high!r}")
    return lowest, highest


def _values(f: Callable[[Floats], Any], points: Floats) -> Floats:
    values = np.asarray(f(points), np.float64)
    if values.shape == points.shape and points.shape[1] == 1:  # a function of numbers, such as numpy.exp
        values = values[:, 0]
    if values.shape != (len(points),):
        raise ValueError(
            f"f must return shape ({len(points)},) for points of shape {points.shape}, one a row, got {values.shape}"
        )
    if not np.isfinite(values).all():
        raise ValueError(f"f is not finite at {points[~np.isfinite(values)][0]}; choose a box inside its domain")
    return values
