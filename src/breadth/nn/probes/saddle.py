"""Saddle points: how many directions lead down from a critical point, and how long an optimizer takes to find one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from breadth.nn.calculus import derivatives
from breadth.nn.probes.curvature import HessianOperator, Loss, lanczos


@dataclass(frozen=True, slots=True)
class Inertia:
    """Signs of a Hessian's eigenvalues (result of `hessian_index`).

    Attributes:
        negative: the index: directions that lead down. A lower bound where not `exact`.
        zero: eigenvalues within the tolerance of 0: flat to second order, so that the Hessian does not decide.
        positive: directions that lead up. A lower bound where not `exact`.
        exact: whether all n eigenvalues were seen.
        gradient_norm: of the loss there; only where it is about 0 is the point critical.
    """

    negative: int
    zero: int
    positive: int
    exact: bool
    gradient_norm: float

    @property
    def strict_saddle(self) -> bool:
        """A way down that the Hessian sees, and a way up: what second-order arguments about saddles speak of.

        With no negative eigenvalue and some at zero the point may be a minimum or a degenerate saddle, as 0 is of
        x^2 + y^3: no Hessian tells which.
        """
        return self.negative > 0 and self.positive > 0


def hessian_index(
    loss: Loss,
    params: Iterable[Tensor],
    *,
    tolerance: float = 1e-7,
    exact_up_to: int = 1000,
    steps: int = 200,
    seed: int = 0,
) -> Inertia:
    """Numbers of negative, zero and positive eigenvalues of the Hessian: its inertia, the first being the saddle index.

    Up to `exact_up_to` parameters the Hessian is formed and all its eigenvalues are counted. Beyond, Lanczos makes
    T = Q H Q^T of a few rows, and by Cauchy's interlacing T has at most as many negative eigenvalues as H, and at most
    as many positive ones. The counts do not depend on coordinates: for any invertible S, S^T H S has the same
    (Sylvester's law of inertia).

    Args:
        loss, params, steps, seed: as of `hessian_extremes`.
        tolerance: eigenvalues within this share of the largest magnitude count as zero, > 0.
        exact_up_to: largest number of parameters for which the Hessian is formed.

    Returns:
        The three counts, exact or as lower bounds.

    Raises:
        ValueError: if tolerance is not in (0, 1), or as `HessianOperator` and `lanczos` say.

    Cost: n backward passes through the gradient and O(n^3) time when exact, else `steps` of them.
    References: Sylvester 1852, Phil. Mag. 4(23); Parlett 1998, theorem 10.1.1 (Cauchy); Dauphin et al. 2014,
        arXiv:1406.2572, section 3.
    Peer: scipy.linalg.ldl's block signs and planted congruences S^T D S, exactly; closed-form index of a linear
        autoencoder's critical points (B).
    In production: `spectral_density(...).share(high=0)` estimates index / n of large models.
    """
    if not 0 < tolerance < 1:
        raise ValueError(f"tolerance must be in (0, 1), got {tolerance}; it is a share of the largest eigenvalue")
    H = HessianOperator(loss, params)
    exact = exact_up_to >= H.n
    if exact:
        values = torch.linalg.eigvalsh(derivatives(loss, H.params)[2].to(H.gradient))
    else:
        start = torch.randn(H.n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        values, _, _ = lanczos(H, start.to(H.gradient), steps=steps).ritz()
    flat = tolerance * values.abs().max().item()
    negative, positive = int((values < -flat).sum()), int((values > flat).sum())
    zero = H.n - negative - positive if exact else int((values.abs() <= flat).sum())
    return Inertia(negative, zero, positive, exact, H.gradient.norm().item())


@dataclass(frozen=True, slots=True)
class Escape:
    """Result of `escape`.

    Attributes:
        steps: number of updates after which the distance first exceeded the radius; None if it never did.
        distances: from the saddle, before the first update and after each.
    """

    steps: int | None
    distances: tuple[float, ...]

    @property
    def growth(self) -> float:
        """Factor of the distance over the last update: 1 + lr |lambda| for GD near a saddle's steepest way down."""
        return self.distances[-1] / self.distances[-2] if len(self.distances) > 1 and self.distances[-2] else math.nan


def escape(
    objective: Callable[[Tensor], Tensor],
    saddle: Tensor,
    start: Tensor,
    optimizer: Callable[[list[Tensor]], torch.optim.Optimizer],
    *,
    radius: float = 1.0,
    max_steps: int = 10_000,
    gradient_noise: float = 0.0,
    seed: int = 0,
) -> Escape:
    """Count the updates that an optimizer needs to leave the ball around a saddle point.

    Near a strict saddle the component along an eigenvalue -c grows geometrically: by 1 + lr c a step with gradient
    descent, and with heavy-ball momentum m by the larger root of z^2 - (1 + m + lr c) z + m. A start without any such
    component stays without it, with momentum or not; noise of standard deviation s in the gradient makes one, of
    variance (lr s)^2 ((1 + lr c)^(2t) - 1) / ((1 + lr c)^2 - 1) after t steps.

    Args:
        objective: from a tensor of the shape of `start` to a scalar.
        saddle: the critical point, any shape.
        start: where the optimizer begins, of the same shape and within the radius.
        optimizer: makes the optimizer of a list of one tensor, such as `lambda p: SGD(p, lr=0.1, momentum=0.9)`.
        radius: Euclidean distance from the saddle that counts as having left, > 0.
        max_steps: >= 1.
        gradient_noise: standard deviation of the normal noise added to each entry of each gradient, >= 0; the stand-in
            for mini-batches.
        seed: of the noise.

    Returns:
        The number of updates, or None, and the distance after each.

    Raises:
        ValueError: if shapes differ, a number is out of range, the start lies outside the ball, or a gradient is not
            finite.

    Cost: a gradient of the objective a step.
    References: Lee et al. 2016, arXiv:1602.04915, theorem 4 (GD avoids strict saddles from almost every start); Jin et
        al. 2017, arXiv:1703.00887 (noise); Polyak 1964 (momentum's roots); Du et al. 2017, arXiv:1705.10412 (time).
    Peer: closed forms of the trajectory on quadratics for GD, SGD's variance and heavy ball, float64, 1e-12 (B).
    In production: an experiment, to see what an optimizer does where gradients are small but curvature is not.
    """
    if start.shape != saddle.shape:
        raise ValueError(f"start must have the shape of saddle, {tuple(saddle.shape)}, got {tuple(start.shape)}")
    if not radius > 0:
        raise ValueError(f"radius must be > 0, got {radius}")
    if max_steps < 1:
        raise ValueError(f"max_steps must be >= 1, got {max_steps}")
    if not 0 <= gradient_noise < math.inf:
        raise ValueError(f"gradient_noise must be >= 0 and finite, got {gradient_noise}")
    x = start.detach().clone().requires_grad_()
    draw = torch.Generator().manual_seed(seed)
    stepper = optimizer([x])

    def closure() -> Tensor:
        x.grad = None
        value = objective(x)
        value.backward()
        if gradient_noise and x.grad is not None:
            x.grad += gradient_noise * torch.randn(x.shape, generator=draw, dtype=torch.float64).to(x)
        if x.grad is None or not x.grad.isfinite().all():
            raise ValueError(
                f"the gradient at step {len(distances) - 1} is not finite, or the objective ignores its input"
            )
        return value

    distances = [(x.detach() - saddle).norm().item()]
    if not distances[0] <= radius:
        raise ValueError(f"start lies {distances[0]:.3g} from the saddle, outside the radius {radius}")
    with torch.enable_grad():
        for step in range(1, max_steps + 1):
            stepper.step(closure)  # pyrefly: ignore
            distances.append((x.detach() - saddle).norm().item())
            if not distances[-1] <= radius:  # NaN has left too
                return Escape(step, tuple(distances))
    return Escape(None, tuple(distances))
