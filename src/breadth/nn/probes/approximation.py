"""How well one wide layer approximates a function on a box, by its width; and the best polynomial beside it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats.qmc import Halton
from torch import Tensor
from torch.nn.functional import relu

Target = Callable[[Tensor], Tensor]

DRAWS, REFINED = 8, 3  # draws of new units for a width, and how many of the best are refined


@dataclass(frozen=True, slots=True, eq=False)
class Approximation:
    """The best network of one width that was found: x -> activation(x W^T + b) a + c.

    Attributes:
        width: number of hidden units.
        rms: root mean square error on the points it was fitted to.
        sup: largest error on ten times as many points between them.
        hidden_weight, hidden_bias: W and b, shapes (width, n_inputs) and (width,), float64.
        out_weight, out_bias: a and c, shapes (width,) and ().
        activation: as it was given.
    """

    width: int
    rms: float
    sup: float
    hidden_weight: Tensor
    hidden_bias: Tensor
    out_weight: Tensor
    out_bias: Tensor
    activation: Callable[[Tensor], Tensor]

    def __call__(self, x: Tensor) -> Tensor:
        """Values at x, shape (n, n_inputs) -> (n,)."""
        return self.activation(x @ self.hidden_weight.T + self.hidden_bias) @ self.out_weight + self.out_bias


@dataclass(frozen=True, slots=True)
class Errors:
    """How far an approximation is from its target (result of `polynomial_error`)."""

    rms: float
    sup: float


def approximation_by_width(
    target: Target,
    *,
    widths: Sequence[int],
    activation: Callable[[Tensor], Tensor] = relu,
    low: float = -1.0,
    high: float = 1.0,
    n_inputs: int = 1,
    points: int = 512,
    refine: int = 200,
    seed: int = 0,
) -> tuple[Approximation, ...]:
    """Best error found for one hidden layer of each width, on the box [low, high]^n_inputs.

    Each width begins with the units of the one before and new random ones, whose kinks lie at random points of the
    box, and then moves all of them by L-BFGS, from the best three of eight draws. The outer weights are never moved but
    solved for by least squares, of which the gradient by the inner ones is that of the residual at the solution
    (variable projection). So the RMS error does not rise with width, beyond rounding, and everything is the same in
    each run.

    By the theorem the least error goes to 0 with width for every continuous target on the box, if and only if the
    activation is no polynomial. With a polynomial of degree p every network is one too, whatever its width, and no
    error falls below `polynomial_error(degree=p)`. The theorem says nothing of how wide, nor that training finds it:
    these are upper bounds of the least error.

    Args:
        target: from points of shape (n, n_inputs), float64, to values of shape (n,), finite.
        widths: ascending, >= 1.
        activation: elementwise, differentiable almost everywhere.
        low, high: of every axis of the box, finite, low < high.
        n_inputs: number of axes, >= 1.
        points: that are fitted, at least the largest width + 1: an even grid on a line, else a Halton sequence.
        refine: most iterations of L-BFGS for a width, >= 0; 0 leaves random features.
        seed: of the new units.

    Returns:
        One approximation a width.

    Raises:
        ValueError: if a number is out of range, or target gives another shape or a value that is not finite.

    Cost: about 3 refine least-squares problems of (points, width) for a width.
    Deviations: the theorem bounds the largest error; fitted is the mean square, and the largest is reported.
    References: Cybenko 1989, Math. Control Signals Systems 2, theorem 2; Hornik 1991, Neural Networks 4, theorem 2;
        Leshno et al. 1993, Neural Networks 6, theorem 1 (exactly the non-polynomial ones); Golub & Pereyra 1973, SIAM
        J. Numer. Anal. 10(2) (variable projection).
    Peer: the least error of any k linear pieces on x^2 from below, that of even knots from above; best polynomials
        from below for polynomial activations, float64 (B).
    In production: an experiment; for smooth functions on a line Chebyshev series and splines need far fewer numbers.
    """
    widths = list(widths)
    if not widths or widths[0] < 1 or any(b <= a for a, b in itertools.pairwise(widths)):
        raise ValueError(f"widths must be ascending and >= 1, got {widths}")
    if points <= widths[-1]:
        raise ValueError(f"points must be more than the largest width {widths[-1]}, got {points}")
    if refine < 0:
        raise ValueError(f"refine must be >= 0, got {refine}")
    x, y, x_between, y_between = _sampled(target, low, high, n_inputs, points)
    draw = torch.Generator().manual_seed(seed)
    W, b = x.new_empty(0, n_inputs), x.new_empty(0)
    found = []
    for width in widths:
        more = [_random_units(width - len(b), width, x, high - low, draw) for _ in range(DRAWS)]
        starts = [(torch.cat([W, W_new]), torch.cat([b, b_new])) for W_new, b_new in more]
        starts.sort(key=lambda units: _projected_rms(x, y, *units, activation))
        if refine:
            starts = [_refined(x, y, *start, activation, refine) for start in starts[:REFINED]]
        W, b = min(starts, key=lambda units: _projected_rms(x, y, *units, activation))
        outer = _solve(x, y, W, b, activation)
        net = Approximation(width, math.nan, math.nan, W, b, outer[:-1], outer[-1], activation)
        found.append(replace(net, rms=_rms(net(x) - y), sup=(net(x_between) - y_between).abs().max().item()))
    return tuple(found)


def polynomial_error(
    target: Target,
    *,
    degree: int,
    low: float = -1.0,
    high: float = 1.0,
    n_inputs: int = 1,
    points: int = 512,
) -> Errors:
    """Least RMS error of any polynomial of a total degree, on the points that `approximation_by_width` fits.

    Args:
        target, low, high, n_inputs, points: as of `approximation_by_width`.
        degree: largest sum of exponents, >= 0.

    Returns:
        Its RMS error there, which no network with a polynomial activation of that degree can undercut, and its largest
        error on the points between.

    Raises:
        ValueError: if degree < 0, there are fewer points than coefficients, or as `approximation_by_width` says.

    Cost: one least-squares problem of (points, binomial(degree + n_inputs, n_inputs)).
    References: Leshno et al. 1993, Neural Networks 6, theorem 1 (its necessity).
    Peer: numpy.polynomial.Polynomial.fit on a line, float64, 1e-12 (B).
    """
    if degree < 0:
        raise ValueError(f"degree must be >= 0, got {degree}")
    x, y, x_between, y_between = _sampled(target, low, high, n_inputs, points)
    exponents = [e for e in itertools.product(range(degree + 1), repeat=n_inputs) if sum(e) <= degree]
    if len(exponents) > points:
        raise ValueError(f"points must be at least the {len(exponents)} coefficients of degree {degree}, got {points}")

    def basis(at: Tensor) -> NDArray[np.float64]:  # products of Legendre polynomials: near orthogonal on the points
        unit = 2 * (at.numpy() - low) / (high - low) - 1
        one = np.polynomial.legendre.legvander(unit, degree)  # (n, n_inputs, degree + 1)
        return np.stack([np.prod([one[:, i, e] for i, e in enumerate(es)], axis=0) for es in exponents], axis=1)

    coefficients = np.linalg.lstsq(basis(x), y.numpy(), rcond=None)[0]
    between = np.abs(basis(x_between) @ coefficients - y_between.numpy()).max()
    return Errors(_rms(torch.from_numpy(basis(x) @ coefficients) - y), float(between))


def _sampled(
    target: Target, low: float, high: float, n_inputs: int, points: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    if not -math.inf < low < high < math.inf:
        raise ValueError(f"low and high must be finite with low < high, got {low} and {high}")
    if n_inputs < 1:
        raise ValueError(f"n_inputs must be >= 1, got {n_inputs}")
    if points < 2:
        raise ValueError(f"points must be >= 2, got {points}")
    sets = []
    for n, scramble in ((points, False), (10 * points, True)):
        unit = np.linspace(0, 1, n)[:, None] if n_inputs == 1 else Halton(n_inputs, scramble=scramble, rng=0).random(n)
        x = torch.from_numpy(low + (high - low) * unit)  # (n, n_inputs)
        y = target(x)
        if y.shape != (n,) or not y.isfinite().all():
            raise ValueError(
                f"target must give finite values of shape {(n,)} for points of shape {tuple(x.shape)}, got shape "
                f"{tuple(y.shape)}" + ("" if y.isfinite().all() else " with NaN or infinity")
            )
        sets += [x, y.detach().double()]
    return sets[0], sets[1], sets[2], sets[3]


def _random_units(n: int, width: int, x: Tensor, extent: float, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Directions at random, slopes up to what `width` units side by side can use, kinks at random points."""
    direction = torch.randn(n, x.shape[1], generator=draw, dtype=x.dtype)
    steep = torch.rand(n, 1, generator=draw, dtype=x.dtype) * math.log(max(width ** (1 / x.shape[1]), 2.0))
    W = direction / direction.norm(dim=1, keepdim=True) * steep.exp() * (4 / extent)
    at = x[torch.randint(len(x), (n,), generator=draw)]
    return W, -(W * at).sum(1)


def _features(x: Tensor, W: Tensor, b: Tensor, activation: Callable[[Tensor], Tensor]) -> Tensor:
    hidden = activation(x @ W.T + b)  # (n, width)
    return torch.cat([hidden, hidden.new_ones(len(x), 1)], dim=1)


def _solve(x: Tensor, y: Tensor, W: Tensor, b: Tensor, activation: Callable[[Tensor], Tensor]) -> Tensor:
    """Outer weights and bias, shape (width + 1,)."""
    with torch.no_grad():
        return _least_squares(_features(x, W, b, activation), y)


def _least_squares(columns: Tensor, y: Tensor) -> Tensor:
    """The solution of least norm, since units may repeat each other."""
    return torch.from_numpy(np.linalg.lstsq(columns.numpy(), y.numpy(), rcond=1e-12)[0])


def _projected_rms(x: Tensor, y: Tensor, W: Tensor, b: Tensor, activation: Callable[[Tensor], Tensor]) -> float:
    with torch.no_grad():
        columns = _features(x, W, b, activation)
    return _rms(columns @ _least_squares(columns, y) - y)


def _refined(
    x: Tensor, y: Tensor, W: Tensor, b: Tensor, activation: Callable[[Tensor], Tensor], steps: int
) -> tuple[Tensor, Tensor]:
    """Inner weights after L-BFGS on the projected error; never worse than before."""
    scale = max(_projected_rms(x, y, W, b, activation) ** 2, 1e-300)

    def projected(theta: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        flat = torch.from_numpy(theta).requires_grad_()
        with torch.enable_grad():
            columns = _features(x, flat[: W.numel()].view_as(W), flat[W.numel() :], activation)
            # the outer weights are at their optimum, so their own change adds nothing to the gradient
            loss = (columns @ _least_squares(columns.detach(), y) - y).square().mean() / scale
            (slope,) = torch.autograd.grad(loss, flat)
        return loss.item(), slope.numpy()

    start = torch.cat([W.reshape(-1), b]).numpy()
    options = {"maxiter": steps, "gtol": 0.0, "ftol": 1e-12}
    best = torch.from_numpy(minimize(projected, start, jac=True, method="L-BFGS-B", options=options).x)
    return best[: W.numel()].view_as(W), best[W.numel() :]


def _rms(error: Tensor) -> float:
    return error.square().mean().sqrt().item()
