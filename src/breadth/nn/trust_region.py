"""Newton's step with a guard: a quadratic model minimised within a ball, or along a line of descent."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

Strategy = Literal["trust_region", "line_search", "none"]

ARMIJO = 1e-4  # share of the predicted decrease that a step has to bring
SHRINK, GROW = 0.25, 0.75  # shares below and above which the region is made smaller or larger
CURVATURE = 1e-3  # least eigenvalue, beside the largest, that the line search makes of a Hessian that is not positive
TRIALS = 40


@dataclass(frozen=True, slots=True, eq=False)
class DampedStep:
    """What `damped_step` did.

    Attributes:
        p: the step, shape (n,); zeros if none was taken.
        taken: False where no step lowers the function any more.
        damping: lambda in p = -t (H + lambda I)^-1 g.
        length: t, the share of the step that was left by the line search; 1 for the others.
        radius: of the next trust region.
        evaluations: how often the function was asked.
    """

    p: Tensor
    taken: bool
    damping: float
    length: float
    radius: float
    evaluations: int


def damped_step(
    value: float,
    gradient: Tensor,
    hessian: Tensor,
    evaluate: Callable[[Tensor], float],
    *,
    strategy: Strategy = "trust_region",
    damping: float = 0.0,
    radius: float = 1.0,
    max_radius: float = 1e10,
    lr: float = 1.0,
) -> DampedStep:
    """One guarded Newton step: p = -t (H + lambda I)^-1 g, with lambda >= damping such that f(x + p) < f(x).

    "trust_region" takes the lambda for which |p| <= radius and H + lambda I >= 0, judges the step by the share of the
    predicted decrease that it brought, and adapts the radius; "line_search" takes lambda = damping, or more where H +
    lambda I would not be positive, and halves t; "none" takes lambda = damping and t = lr, and looks at nothing.

    Args:
        value: f(x).
        gradient: shape (n,).
        hessian: symmetric, shape (n, n).
        evaluate: p -> f(x + p). What is not finite counts as too high.
        strategy: see above.
        damping: least lambda, >= 0.
        radius: of the trust region, > 0.
        max_radius: bound of its growth.
        lr: first t of the line search, > 0.

    Returns:
        The step. None is taken where the gradient is 0 and no direction curves down, or where 40 trials lower nothing.

    Raises:
        ValueError: if an argument is out of its range.
        torch.linalg.LinAlgError: with "none", if H + damping I is singular.

    Cost: the eigenvalues of H, O(n^3), once; O(n) and an evaluation for each trial.
    Deviations: a first trial that leaves f where it is but for its rounding counts as a decrease, so that the last
        digits of x are still found.
    References: Nocedal & Wright 2006, Numerical Optimization, algorithms 3.2 and 4.1; Conn, Gould & Toint 2000,
        Trust-Region Methods, section 17.4.2 (rounding).
    Peer: scipy.optimize.minimize(method="trust-exact") (A).
    In production: use DampedNewton or calculus.newton, which call it.
    """
    if strategy not in get_args(Strategy):
        raise ValueError(f"strategy must be one of {', '.join(map(repr, get_args(Strategy)))}, got {strategy!r}")
    if not damping >= 0:
        raise ValueError(f"damping must be >= 0, got {damping}")
    if not 0 < radius <= max_radius:
        raise ValueError(f"radius must be > 0 and <= max_radius = {max_radius}, got {radius}")
    n = len(gradient)
    if strategy == "none":
        eye = torch.eye(n, dtype=hessian.dtype, device=hessian.device)
        return DampedStep(-lr * torch.linalg.solve(hessian + damping * eye, gradient), True, damping, lr, radius, 0)
    w, Q = torch.linalg.eigh(hessian)
    w, c = w + damping, Q.mT @ gradient  # the model in the eigenvectors' coordinates: c . z + w . z^2 / 2
    noise = 10 * torch.finfo(gradient.dtype).eps * abs(value)
    if strategy == "line_search":
        largest = w.abs().max().item() if n else 0.0
        positive = n > 0 and w[0].item() > n * torch.finfo(w.dtype).eps * largest
        added = 0.0 if positive else CURVATURE * (largest or 1.0) - (w[0].item() if n else 0.0)
        z = -c / (w + added)
        slope, length = (c @ z).item(), lr
        for trial in range(1, (TRIALS if slope < 0 else 0) + 1):
            p = Q @ (length * z)
            new = evaluate(p)
            if new <= value + ARMIJO * length * slope + noise:
                return DampedStep(p, True, damping + added, length, radius, trial)
            length, noise = length / 2, 0.0
        return DampedStep(torch.zeros_like(c), False, damping + added, length, radius, TRIALS if slope < 0 else 0)
    trial, added = 0, 0.0
    while trial < TRIALS:
        z, added = minimise_in_ball(w, c, radius)
        size, predicted = z.norm().item(), -(c @ z + (w * z * z).sum() / 2).item()
        if not predicted > 0:
            break
        trial += 1
        p = Q @ z
        new = evaluate(p)
        share = (value - new + noise) / (predicted + noise) if math.isfinite(new) else -math.inf
        if share < SHRINK:
            radius = SHRINK * size
        elif share > GROW and size > 0.99 * radius:
            radius = min(2 * radius, max_radius)
        if share > ARMIJO:
            return DampedStep(p, True, damping + added, 1.0, radius, trial)
        noise = 0.0  # a step that had to be made short is no last one
    return DampedStep(torch.zeros_like(c), False, damping + added, 1.0, radius, trial)


def minimise_in_ball(w: Tensor, c: Tensor, radius: float) -> tuple[Tensor, float]:
    """The global minimum of c . z + w . z^2 / 2 over |z| <= radius, also where some w are negative.

    It is z = -c / (w + lambda) with the least lambda >= max(0, -min w) for which |z| <= radius. Where c has nothing
    along the lowest w (the hard case), what is missing to the radius is gone along that axis.

    Args:
        w: eigenvalues in rising order, shape (n,).
        c: gradient in the eigenvectors' coordinates, shape (n,).
        radius: > 0.

    Returns:
        z, shape (n,), and lambda.

    Cost: O(n) for each of some ten steps of Newton's method on 1 / |z| - 1 / radius, safeguarded by bisection.
    References: Moré & Sorensen 1983, SIAM J. Sci. Stat. Comput. 4(3), section 3; Nocedal & Wright 2006, Numerical
        Optimization, theorem 4.1 and section 4.3.
    Peer: the two conditions of theorem 4.1, and a search over the sphere, float64 (B).
    In production: use it through `damped_step`.
    """
    if not len(w):
        return c.clone(), 0.0
    lowest = w[0].item()
    # mu = w_0 + lambda rather than lambda: near the hard case it is too small to be seen beside w_0
    above, low = w - w[0], max(0.0, lowest)

    def point(mu: float) -> Tensor:
        return torch.where(c == 0, 0.0, -c / (above + mu))  # also where the quotient reads 0 / 0

    z = point(low)
    if z.isfinite().all() and (size := z.norm().item()) <= radius:
        if lowest < 0:
            z[0] = math.sqrt(radius**2 - size**2)
        return z, low - lowest
    high = low + c.norm().item() / radius  # where |z| <= |c| / mu <= radius
    mu = high
    for _ in range(100):
        z = point(mu)
        size = z.norm().item()
        if abs(size - radius) <= 4 * torch.finfo(w.dtype).eps * radius:
            break
        low, high = (mu, high) if size > radius else (low, mu)
        mu += size**2 / (z * z / (above + mu)).sum().item() * (size - radius) / radius
        if not low < mu < high:
            mu = (low + high) / 2
            if mu in (low, high):
                break
    return z, mu - lowest
