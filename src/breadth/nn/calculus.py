"""Derivatives of a function of one tensor, what they predict around a point, and what they say about convexity."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from breadth.nn.trust_region import Strategy, damped_step

Function = Callable[[Tensor], Tensor]

_ROWS = 128  # of a Hessian that are computed together; each holds a backward pass in memory


def gradient(f: Function, x: Tensor) -> Tensor:
    """First derivatives of a scalar function: (grad f)_i = df / dx_i.

    Args:
        f: takes a tensor of x's shape and returns one number, by torch operations.
        x: the point, real, any shape.

    Returns:
        Shape of x; zeros if f does not depend on x.

    Raises:
        ValueError: if f does not return one number.
        TypeError: if x is not real.

    Cost: one forward and one backward pass, two to three times f alone.
    References: Griewank & Walther 2008, Evaluating Derivatives, section 3.2 (reverse mode).
    Peer: closed forms, and central differences in mpmath at 60 digits, float64, 1e-12 (B).
    In production: use it as it is; torch.func.grad where it shall be composed with vmap.
    """
    _, g, _ = _first(f, x)
    return g.detach()


def hvp(f: Function, x: Tensor, v: Tensor) -> Tensor:
    """Hessian times vector without the Hessian: H v = d/dx (grad f(x) . v).

    Args:
        f: takes a tensor of x's shape and returns one number, by twice differentiable torch operations.
        x: the point, real, any shape.
        v: the direction, shape of x.

    Returns:
        Shape of x.

    Raises:
        ValueError: if f does not return one number, or v has another shape than x.
        TypeError: if x is not real.

    Cost: about twice a gradient, whatever the number of elements.
    References: Pearlmutter 1994, Neural Computation 6(1), eq. 2.
    Peer: closed forms, and central differences in mpmath at 60 digits, float64, 1e-12 (B).
    In production: use it with conjugate gradients or Lanczos where n is large.
    """
    if v.shape != x.shape:
        raise ValueError(f"v must have the shape of x, {tuple(x.shape)}, got {tuple(v.shape)}")
    _, g, leaf = _first(f, x, again=True)
    if not g.requires_grad:
        return torch.zeros_like(x)
    (product,) = torch.autograd.grad(g, leaf, v.to(g), materialize_grads=True)
    return product


def hessian(f: Function, x: Tensor) -> Tensor:
    """Second derivatives of a scalar function: H_ij = d^2 f / dx_i dx_j.

    Args:
        f: takes a tensor of x's shape and returns one number, by twice differentiable torch operations.
        x: the point, real, any shape.

    Returns:
        Shape of x twice over, exactly symmetric.

    Raises:
        ValueError: if f does not return one number.
        TypeError: if x is not real.

    Cost: n backward passes through the gradient, 128 at a time as one batched pass, and n^2 numbers.
    References: Griewank & Walther 2008, Evaluating Derivatives, section 5.4 (adjoints of adjoints).
    Peer: closed forms, and central differences in mpmath at 60 digits, float64, 1e-12 (B).
    In production: use it up to some thousand elements, hvp beyond.
    """
    _, g, leaf = _first(f, x, again=True)
    return _second(g.reshape(-1), [leaf]).reshape(x.shape + x.shape)


def derivatives(loss: Callable[[], Tensor], params: Iterable[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Value, gradient and Hessian by several tensors, taken as one long vector of n elements.

    Args:
        loss: evaluates one number at the tensors' present values, without calling `backward`.
        params: tensors that require a gradient, at least one.

    Returns:
        The value, a scalar; the gradient, shape (n,); the Hessian, shape (n, n), exactly symmetric.

    Raises:
        ValueError: if there are no params, or loss does not return one number that depends on them.

    Cost: as `hessian`'s.
    References: Griewank & Walther 2008, Evaluating Derivatives, section 5.4.
    Peer: X^T diag(p (1 - p)) X of logistic regression, NumPy, float64, 1e-12 (B).
    In production: use it for Newton's method on small models.
    """
    params = list(params)
    if not params:
        raise ValueError("params must hold at least one tensor, got none")
    with torch.enable_grad():
        value = loss()
        if value.numel() != 1 or not value.requires_grad:
            raise ValueError(f"loss must return one number that depends on params, got {_told(value)}")
        try:
            grads = torch.autograd.grad(value, params, create_graph=True, materialize_grads=True)
        except RuntimeError as error:
            if "second time" in str(error):
                raise ValueError(
                    "loss must not call backward, which frees the graph that second derivatives need"
                ) from error
            raise
        flat = torch.cat([g.reshape(-1) for g in grads])
    return value.detach().reshape(()), flat.detach(), _second(flat, params)


@dataclass(frozen=True, slots=True, eq=False)
class Taylor:
    """The second-order model of a function around a point: m(y) = f(x) + g . d + d . H d / 2, with d = y - x.

    Attributes:
        point: x.
        value: f(x), a scalar.
        gradient: g, shape of x.
        hessian: H, shape of x twice over.
    """

    point: Tensor
    value: Tensor
    gradient: Tensor
    hessian: Tensor

    def __call__(self, y: Tensor) -> Tensor:
        """The model at y, shape (..., *x.shape) -> (...)."""
        n = self.point.numel()
        d = y - self.point
        d = d.reshape(*d.shape[: d.ndim - self.point.ndim], n)
        curved = (d @ self.hessian.reshape(n, n) * d).sum(-1)
        return self.value + d @ self.gradient.reshape(n) + curved / 2


def taylor(f: Function, x: Tensor) -> Taylor:
    """Second-order Taylor expansion of a scalar function around a point; its error falls with the cube of the distance.

    Args:
        f: takes a tensor of x's shape and returns one number, by twice differentiable torch operations.
        x: the point, real, any shape.

    Returns:
        The model, to be called at other points.

    Raises:
        ValueError: if f does not return one number.
        TypeError: if x is not real.

    Cost: as `hessian`'s.
    References: Nocedal & Wright 2006, Numerical Optimization, theorem 2.1 and eq. 2.4.
    Peer: a quadratic is its own model, and the order of the error is measured, float64 (B).
    In production: use it to look at a loss around a point; `newton` to walk on it.
    """
    value, g, leaf = _first(f, x, again=True)
    H = _second(g.reshape(-1), [leaf]).reshape(x.shape + x.shape)
    return Taylor(x.detach().clone(), value.detach(), g.detach(), H)


@dataclass(frozen=True, slots=True, eq=False)
class Minimum:
    """Where `newton` stopped.

    Attributes:
        x: the point.
        value: f(x).
        gradient: of f there, shape of x.
        least_eigenvalue: of the Hessian there; > 0 at a strict local minimum, < 0 at a saddle.
        n_iter: steps that were taken.
        converged: whether the gradient is within the tolerance; with "trust_region" that x is no saddle, too.
    """

    x: Tensor
    value: float
    gradient: Tensor
    least_eigenvalue: float
    n_iter: int
    converged: bool


def newton(
    f: Function,
    x: Tensor,
    *,
    strategy: Strategy = "trust_region",
    damping: float = 0.0,
    radius: float = 1.0,
    tol: float = 1e-8,
    max_iter: int = 100,
) -> Minimum:
    """Newton's method on a scalar function: x <- x - (H + lambda I)^-1 grad f(x), until the gradient vanishes.

    Near a minimum lambda is `damping`, and with 0 the number of right digits doubles in each step.

    Args:
        f: takes a tensor of x's shape and returns one number, by twice differentiable torch operations.
        x: where to begin, real, any shape.
        strategy: what guards a step far from a minimum, see `damped_step`. "trust_region" also leaves saddles;
            "line_search" keeps to descent; "none" is the plain method, which goes to saddles and maxima as well.
        damping: least lambda, >= 0.
        radius: of the first trust region, > 0.
        tol: largest |df / dx_i| that ends, >= 0.
        max_iter: steps, >= 0.

    Returns:
        The point and what holds there. Without convergence `converged` is False, nothing is raised.

    Raises:
        ValueError: if an argument is out of its range, or f or a derivative is not finite at x.

    Cost: a Hessian and its eigenvalues a step, O(n^3), and some evaluations.
    References: Nocedal & Wright 2006, Numerical Optimization, sections 3.3 and 4.3; Moré & Sorensen 1983, SIAM J. Sci.
        Stat. Comput. 4(3).
    Peer: scipy.optimize.minimize(method="trust-exact") on Rosenbrock's function, logistic regression and quadratics of
        condition 1e8 (A); x^2 doubles its digits (B).
    In production: use it for some hundred parameters; LBFGS beyond, AdamW on mini-batches.
    """
    if not tol >= 0 or max_iter < 0:
        raise ValueError(f"tol and max_iter must be >= 0, got {tol} and {max_iter}")
    x, n, n_iter = x.detach().clone(), x.numel(), 0
    while True:
        model = taylor(f, x)
        value, g, H = model.value.item(), model.gradient.reshape(n), model.hessian.reshape(n, n)
        if not (math.isfinite(value) and g.isfinite().all() and H.isfinite().all()):
            raise ValueError(f"f and its derivatives must be finite, got f = {value} after {n_iter} steps")
        least, largest = _extremes(H)
        saddle = strategy == "trust_region" and least < -math.sqrt(torch.finfo(x.dtype).eps) * largest
        converged = not saddle and (n == 0 or g.abs().max().item() <= tol)
        step = None
        if not converged and n_iter < max_iter:
            step = damped_step(
                value,
                g,
                H,
                lambda p, at=x: f(at + p.view_as(at)).item(),
                strategy=strategy,
                damping=damping,
                radius=radius,
            )
        if step is None or not step.taken:
            return Minimum(x, value, model.gradient, least, n_iter, converged)
        x, radius, n_iter = x + step.p.view_as(x), step.radius, n_iter + 1


@dataclass(frozen=True, slots=True, eq=False)
class Convexity:
    """What `convexity` found.

    Attributes:
        refuted: whether gap or eigenvalue is beyond rounding. If not, f may be convex; points prove nothing.
        gap: largest amount by which f lies above a chord, <= 0 for convex functions.
        chord: its two ends, and the share t of the way between them.
        least_eigenvalue: the smallest of all Hessians, >= 0 for convex functions.
        where: the point of that Hessian.
    """

    refuted: bool
    gap: float
    chord: tuple[Tensor, Tensor, float]
    least_eigenvalue: float
    where: Tensor


def convexity(f: Function, points: Tensor, *, samples: int = 3, tol: float = 1e-8) -> Convexity:
    """Look for what a convex function cannot have: a value above a chord, or a Hessian with a negative eigenvalue.

        f((1 - t) a + t b) <= (1 - t) f(a) + t f(b)   and   H >= 0   for all a, b and t in [0, 1]

    Args:
        f: takes a tensor of a point's shape and returns one number, by twice differentiable torch operations.
        points: shape (k, ...), k >= 2; every pair is a chord.
        samples: places inside a chord where f and its Hessian are looked at, >= 1.
        tol: what counts as rounding, >= 0: a gap as a share of f's range over the points, an eigenvalue as a share of
            the largest anywhere, or of that range over their squared extent.

    Returns:
        The worst of both, with witnesses.

    Raises:
        ValueError: if an argument is out of its range, or f is not finite somewhere.

    Cost: k + samples k (k - 1) / 2 Hessians and their eigenvalues.
    References: Boyd & Vandenberghe 2004, Convex Optimization, eq. 3.1 and section 3.1.4.
    Peer: functions with known answers: log loss is convex in the weights, squared error of a sigmoid is not (B).
    In production: use it on small instances of a loss; for a proof use the rules of disciplined convex programming.
    """
    if points.ndim < 1 or len(points) < 2:
        raise ValueError(f"points must hold at least two points, got shape {tuple(points.shape)}")
    if samples < 1 or not tol >= 0:
        raise ValueError(f"samples must be >= 1 and tol >= 0, got {samples} and {tol}")
    seen: list[tuple[float, float, float, Tensor]] = []  # f, least eigenvalue, largest magnitude of one, point

    def look(x: Tensor) -> float:
        model, n = taylor(f, x), x.numel()
        if not (model.value.isfinite() and model.hessian.isfinite().all()):
            raise ValueError(f"f and its Hessian must be finite at every point, got f = {model.value.item()} at {x}")
        seen.append((model.value.item(), *_extremes(model.hessian.reshape(n, n)), x))
        return seen[-1][0]

    ends = [look(x) for x in points]
    gap, chord = -math.inf, (points[0], points[1], 0.5)
    for i, j in itertools.combinations(range(len(points)), 2):
        for s in range(1, samples + 1):
            t = s / (samples + 1)
            over = look(torch.lerp(points[i], points[j], t)) - ((1 - t) * ends[i] + t * ends[j])
            if over > gap:
                gap, chord = over, (points[i], points[j], t)
    values = [value for value, *_ in seen]
    span, extent = max(values) - min(values), torch.pdist(points.detach().flatten(1)).max().item()
    _, least, _, where = min(seen, key=lambda each: each[1])
    curvature = max(*(largest for _, _, largest, _ in seen), span / extent**2 if extent else 0.0)
    rounding = 100 * torch.finfo(points.dtype).eps * max(map(abs, values))
    refuted = gap > tol * span + rounding or least < -tol * curvature
    return Convexity(refuted, gap, chord, least, where)


def _first(f: Function, x: Tensor, *, again: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """f(x), its gradient (with a graph if it is derived again), and the leaf that they are functions of."""
    if not x.is_floating_point():
        raise TypeError(f"x must hold real numbers, got {x.dtype}")
    with torch.enable_grad():
        leaf = x.detach().clone().requires_grad_()
        value = f(leaf)
        if value.numel() != 1:
            raise ValueError(f"f must return one number, got {_told(value)}")
        value = value.reshape(())
        if not value.requires_grad:
            return value, torch.zeros_like(x), leaf
        (g,) = torch.autograd.grad(value, leaf, create_graph=again, materialize_grads=True)
    return value, g, leaf


def _second(flat: Tensor, params: list[Tensor]) -> Tensor:
    """The Jacobian of a flat gradient (n,), made exactly symmetric."""
    n = len(flat)
    if not flat.requires_grad or n == 0:  # a linear function
        return flat.new_zeros(n, n)
    rows = []
    for block in torch.eye(n, dtype=flat.dtype, device=flat.device).split(_ROWS):
        parts = torch.autograd.grad(
            flat, params, block, retain_graph=True, is_grads_batched=True, materialize_grads=True
        )
        rows.append(torch.cat([part.reshape(len(block), -1) for part in parts], 1))  # (rows, n)
    H = torch.cat(rows)
    return (H + H.mT) / 2


def _extremes(H: Tensor) -> tuple[float, float]:
    """The least eigenvalue and the largest magnitude of one; 0 of a matrix without elements."""
    if not len(H):
        return 0.0, 0.0
    w = torch.linalg.eigvalsh(H)
    return w[0].item(), w.abs().max().item()


def _told(value: Tensor) -> str:
    return f"{value.item()}" if value.numel() == 1 else f"a tensor of shape {tuple(value.shape)}"
