"""How sharp a minimum is: by its largest eigenvalue, and by the worst that a ball around it holds."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from breadth.nn.probes.curvature import HessianOperator, Loss, hessian_extremes


def sharpness(
    loss: Loss, params: Iterable[Tensor], *, steps: int = 200, tolerance: float = 1e-6, seed: int = 0
) -> float:
    """Largest eigenvalue of the Hessian: gradient descent with a rate above 2 / sharpness leaves along its direction.

    Args:
        loss, params, steps, tolerance, seed: as of `hessian_extremes`.

    Returns:
        The eigenvalue, with its sign: at a maximum it is negative. It changes when weights are rescaled though the
        function stays (with ReLU, W1 c and W2 / c), so that it compares points of one run and not any two networks.

    Raises:
        ValueError: as `hessian_extremes` says.

    Cost: that of `hessian_extremes`.
    References: Keskar et al. 2017, arXiv:1609.04836, section 2.2.1; Dinh et al. 2017, arXiv:1703.04933, theorem 4
        (rescaling); Cohen et al. 2021, arXiv:2103.00065, section 2 (2 / lr).
    Peer: numpy.linalg.eigvalsh of closed-form Hessians; divergence of GD just above 2 / sharpness, float64, 1e-9 (A).
    In production: log it now and then to see whether a rate is near its edge; `worst_case_sharpness` beyond quadratics.
    """
    return hessian_extremes(loss, params, steps=steps, tolerance=tolerance, seed=seed).largest


def worst_case_sharpness(
    loss: Loss, params: Iterable[Tensor], *, radius: float = 0.05, steps: int = 50, seed: int = 0
) -> float:
    """Largest rise of the loss in a ball: max over ||d|| <= radius of L(theta + d) - L(theta).

    Projected gradient ascent with backtracking from three points of the sphere: along the gradient, and both ways along
    the direction of largest curvature. At a minimum with small radius it is sharpness radius^2 / 2.

    Args:
        loss: evaluates the loss on the same data each time; called about 2 * 3 * steps times.
        params: tensors that require a gradient; moved meanwhile, and put back exactly.
        radius: of the ball, Euclidean over all parameters together, > 0.
        steps: of the ascent from each start, >= 1.
        seed: of the search for the direction of largest curvature.

    Returns:
        The largest rise that was found, >= 0: a lower bound of the true one, which ascent reaches where the loss is a
        quadratic. Infinity if the loss is infinite somewhere on the way.

    Raises:
        ValueError: if radius or steps is out of range, the loss becomes NaN, or as `hessian_extremes` says.

    Cost: at most 3 steps gradients and 20 Hessian-vector products; three times the parameters' memory.
    Deviations: the ball is Euclidean where Keskar et al. take a box, and the rise is not divided by 1 + L.
    References: Keskar et al. 2017, arXiv:1609.04836, eq. 3; Foret et al. 2021, arXiv:2010.01412, eq. 1.
    Peer: the exact maximum of a quadratic on a ball, by the eigenvalues of its matrix, float64, 1e-6 (B).
    In production: sharpness-aware minimisation lowers it while training.
    """
    if not 0 < radius < math.inf:
        raise ValueError(f"radius must be > 0 and finite, got {radius}")
    if steps < 1:
        raise ValueError(f"steps must be >= 1, got {steps}")
    params = list(params)
    H = HessianOperator(loss, params)
    top = H.flat(hessian_extremes(loss, params, steps=20, seed=seed).largest_direction)
    origin = [p.detach().clone() for p in params]

    def rise(d: Tensor) -> tuple[float, Tensor]:
        with torch.no_grad():
            for p, before, piece in zip(params, origin, H.shaped(d), strict=True):
                p.copy_(before + piece)
        with torch.enable_grad():
            value = loss().reshape(())
            gradient = torch.autograd.grad(value, params, materialize_grads=True)
        if value.isnan():
            raise ValueError(f"the loss is NaN at a distance of {d.norm():.3g} from the parameters")
        return value.item(), H.flat(gradient)

    starts = [top, -top] + ([H.gradient / H.gradient.norm()] if H.gradient.norm() > 0 else [])
    try:
        here, _ = rise(torch.zeros_like(top))
        highest = max(_climb(rise, radius * start, radius, steps) for start in starts)
    finally:
        with torch.no_grad():
            for p, before in zip(params, origin, strict=True):
                p.copy_(before)
    return max(highest - here, 0.0)


def _climb(rise, d: Tensor, radius: float, steps: int) -> float:
    value, gradient = rise(d)
    length = 0.0
    for _ in range(steps):
        if math.isinf(value) or not gradient.norm() > 0:
            break
        length = length or radius / gradient.norm().item()
        moved = d + length * gradient
        moved = moved / max(1.0, moved.norm().item() / radius)  # back into the ball
        higher, slope = rise(moved)
        if higher > value:
            d, value, gradient, length = moved, higher, slope, 2 * length
        else:
            length /= 4
    return value
