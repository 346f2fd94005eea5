"""Where contours of a quadratic loss touch the ball of an Lp norm, in the plane."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar

_ANGLES = 720  # of the ball's boundary, looked at before the best is refined
_ON_AXIS = 1e-6  # of the radius: a smaller coordinate is 0


@dataclass(frozen=True, slots=True)
class Touch:
    """What a figure of the penalty needs: the point, the two curves that meet there, and whether it is on an axis."""

    point: NDArray[np.float64]  # (2,), the optimum within the ball
    loss: float
    zeros: int  # coordinates that are 0 there
    inside: bool  # the loss's own minimum lies in the ball, so that the penalty changes nothing
    ball: NDArray[np.float64]  # (720, 2), the boundary
    contour: NDArray[np.float64]  # (720, 2), where the loss equals that at the point


def touch(curvature: ArrayLike, minimum: ArrayLike, *, order: float = 1.0, radius: float = 1.0) -> Touch:
    """Minimise (b - m)' H (b - m) / 2 over the ball |b_1|^order + |b_2|^order <= radius^order.

    A lasso in the plane is order 1, whose ball is a diamond with corners on the axes; ridge regression is order 2, a
    disc. Orders below 1 have balls with spikes, on which a local minimum may lie at each.

    Args:
        curvature: H, shape (2, 2), symmetric and positive definite; X'X / n of a least-squares problem.
        minimum: m, shape (2,), where the loss is least.
        order: p of the norm, > 0.
        radius: of the ball, > 0.

    Returns:
        The point of least loss, with both curves.

    Raises:
        ValueError: if H is not symmetric and positive definite, or order or radius is not positive.

    Cost: 720 losses and a minimisation in one variable.
    References: Hastie, Tibshirani & Friedman 2009, The Elements of Statistical Learning, figures 3.11 and 3.12 and
        eq. 3.53; Tibshirani 1996, J. R. Stat. Soc. B 58(1), section 2.3.
    Peer: none that draws it; `Lasso` and `Ridge` on data of the same H and m, and coordinate descent's optimality
        conditions (B).
    In production: use it to show why the lasso leaves features out and ridge regression does not.
    """
    H, m = np.asarray(curvature, dtype=np.float64), np.asarray(minimum, dtype=np.float64)
    if H.shape != (2, 2) or not np.allclose(H, H.T) or not (np.linalg.eigvalsh(H) > 0).all():
        raise ValueError(f"curvature must be a symmetric, positive definite (2, 2) matrix, got {curvature!r}")
    if m.shape != (2,) or not np.isfinite(m).all():
        raise ValueError(f"minimum must be two finite numbers, got {minimum!r}")
    if not order > 0 or not radius > 0:
        raise ValueError(f"order and radius must be > 0, got {order!r} and {radius!r}")

    angles = np.arange(_ANGLES) * (2 * np.pi / _ANGLES)  # a multiple of pi / 2 is a corner
    ball = _boundary(angles, order, radius)
    inside = bool((np.abs(m) ** order).sum() <= radius**order)
    if inside:
        point = m.copy()
    else:
        best = int(np.argmin(_loss(ball, H, m)))
        point, step = ball[best], 2 * np.pi / _ANGLES
        for low in (angles[best] - step, angles[best]):  # either side: at a corner the loss has a kink
            found = minimize_scalar(
                lambda a: float(_loss(_boundary(np.array([a]), order, radius), H, m)[0]),
                bounds=(low, low + step),
                method="bounded",
                options={"xatol": 1e-12},
            )
            refined = _boundary(np.array([found.x]), order, radius)[0]
            if _loss(refined[None], H, m)[0] < _loss(point[None], H, m)[0]:
                point = refined
    loss = float(_loss(point[None], H, m)[0])
    circle = np.column_stack([np.cos(angles), np.sin(angles)])
    contour = m + np.sqrt(2 * loss) * circle @ np.linalg.inv(np.linalg.cholesky(H))
    zeros = int(np.count_nonzero(np.abs(point) <= _ON_AXIS * radius))
    return Touch(point, loss, zeros, inside, ball, contour)


def share_on_axes(order: float, *, problems: int = 1000, random_state: int | None = 0) -> float:
    """Share of random losses, least outside the ball, that touch the unit ball of this order on an axis.

    H = A'A with A (3, 2) and the minimum 3 times a vector, of standard normal numbers; the same for every order, and
    those whose minimum is within the disc of radius 2 are drawn again.

    Args:
        order: p of the norm, > 0.
        problems: how many losses, >= 1.
        random_state: seed.

    Returns:
        A number in [0, 1].

    Raises:
        ValueError: if problems < 1, or order is not positive.

    Cost: as many calls of `touch`, about a millisecond each.
    References: Hastie, Tibshirani & Friedman 2009, The Elements of Statistical Learning, section 3.4.3 and figure 3.11.
    Peer: none; that a disc of smooth contours has no corner to stop at, so that its share is 0 (B).
    In production: use it to put a number on the figure.
    """
    if problems < 1:
        raise ValueError(f"problems must be >= 1, got {problems!r}")
    rng = np.random.default_rng(random_state)
    hits, drawn = 0, 0
    while drawn < problems:
        A, m = rng.normal(size=(3, 2)), 3 * rng.normal(size=2)
        if m @ m <= 4:
            continue
        drawn += 1
        hits += touch(A.T @ A, m, order=order).zeros > 0
    return hits / problems


def _boundary(angles: NDArray, order: float, radius: float) -> NDArray[np.float64]:
    """Points of the Lp sphere, shape (angles, 2)."""
    unit = np.column_stack([np.cos(angles), np.sin(angles)])
    unit[np.abs(unit) < 1e-15] = 0.0
    return radius * np.sign(unit) * np.abs(unit) ** (2 / order)


def _loss(points: NDArray, H: NDArray, m: NDArray) -> NDArray[np.float64]:
    off = points - m
    return 0.5 * np.einsum("ij,jk,ik->i", off, H, off)
