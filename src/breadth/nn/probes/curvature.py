"""Curvature of a loss at the parameters that are there: extreme eigenvalues, spectral density, trace, sharpness."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Loss = Callable[[], Tensor]


class HessianOperator:
    """The Hessian H of a scalar loss by some tensors, taken as one long vector, known by its products alone.

    H v is the derivative of grad(L) . v: one more backward pass, and no n x n matrix (Pearlmutter 1994).

    Args:
        loss: evaluates the loss at the parameters' present values, always on the same data; called once.
        params: tensors that require a gradient, at least one; n elements together.

    Attributes:
        n: number of rows and columns.
        gradient: of the loss, shape (n,), in float32 at least: 16 bits do not keep vectors orthogonal.

    Raises:
        ValueError: if there are no params, one comes twice or requires no gradient, or the loss is no finite scalar.

    Cost: the graph of one gradient is held, so that a product is one backward pass through it.
    References: Pearlmutter 1994, Neural Computation 6(1), eq. 2.
    Peer: X^T diag(p (1 - p)) X / n of logistic regression, NumPy, float64, 1e-12 (B).
    In production: `breadth.nn.calculus.hvp` for one product, `derivatives` for the whole matrix of a small model.
    """

    def __init__(self, loss: Loss, params: Iterable[Tensor]):
        self.params = list(params)
        if not self.params or not sum(p.numel() for p in self.params):
            raise ValueError("params must hold at least one element, got none; a generator is used up by its first use")
        if len({id(p) for p in self.params}) < len(self.params):
            raise ValueError("params holds a tensor twice; its rows of the Hessian would be counted twice")
        if not all(p.requires_grad for p in self.params):
            raise ValueError("params must all require a gradient; leave out those that are frozen")
        with torch.enable_grad():
            value = loss()
            if value.numel() != 1 or not value.isfinite().all():
                raise ValueError(f"loss must give one finite number, got {_told(value)}")
            self._gradients = torch.autograd.grad(
                value.reshape(()), self.params, create_graph=True, materialize_grads=True
            )
        self.n = sum(p.numel() for p in self.params)
        gradient = self.flat(self._gradients).detach()
        self.gradient = gradient.to(torch.promote_types(gradient.dtype, torch.float32))

    def __call__(self, v: Tensor) -> Tensor:
        """H v, shape (n,), in the dtype of v."""
        pieces = [piece.to(g) for piece, g in zip(self.shaped(v), self._gradients, strict=True)]
        curved = [(g, piece) for g, piece in zip(self._gradients, pieces, strict=True) if g.requires_grad]
        if not curved:  # the gradient is constant: a linear loss
            return torch.zeros_like(v)
        outputs, along = zip(*curved, strict=True)
        product = torch.autograd.grad(outputs, self.params, along, retain_graph=True, materialize_grads=True)
        return self.flat(product).to(v)

    def shaped(self, v: Tensor) -> list[Tensor]:
        """A vector of shape (n,) cut into the shapes of the parameters."""
        return [
            piece.view(p.shape) for piece, p in zip(v.split([p.numel() for p in self.params]), self.params, strict=True)
        ]

    @staticmethod
    def flat(tensors: Sequence[Tensor]) -> Tensor:
        return torch.cat([t.reshape(-1) for t in tensors])


@dataclass(frozen=True, slots=True, eq=False)
class Tridiagonal:
    """H restricted to a Krylov space: Q H Q^T = T, with rows of Q orthonormal (result of `lanczos`)."""

    diagonal: Tensor  # of T, shape (m,), float64
    off_diagonal: Tensor  # shape (m - 1,), > 0
    residual: float  # what the next off-diagonal entry would be; 0 where the space is invariant
    basis: Tensor  # Q, shape (m, n)

    def ritz(self) -> tuple[Tensor, Tensor, Tensor]:
        """Eigenvalues of T ascending, shape (m,), its eigenvectors as columns, and the distance within which H has one.

        For every Ritz value t with eigenvector s of T there is an eigenvalue of H within residual |s_m|.
        """
        T = torch.diag(self.diagonal) + torch.diag(self.off_diagonal, 1) + torch.diag(self.off_diagonal, -1)
        values, vectors = torch.linalg.eigh(T)
        return values, vectors, self.residual * vectors[-1].abs()


def lanczos(
    product: Callable[[Tensor], Tensor], start: Tensor, *, steps: int, tolerance: float | None = None
) -> Tridiagonal:
    """Tridiagonal form of a symmetric operator on the Krylov space of `start`, with full reorthogonalisation.

        beta_j q_(j+1) = H q_j - alpha_j q_j - beta_(j-1) q_(j-1),   then twice minus Q^T Q of it

    Without the second line rounding brings converged directions back, and eigenvalues of T come in copies that H does
    not have.

    Args:
        product: v -> H v, both of shape (n,).
        start: non-zero, shape (n,); its dtype and device are those of the basis.
        steps: >= 1; no more than n are made.
        tolerance: stop once both extreme Ritz values are within this share of the largest |Ritz value| of an
            eigenvalue; None makes all steps.

    Returns:
        T and Q. Fewer steps are made where the space is invariant: T then holds every eigenvalue whose eigenvectors
        `start` has a share of, once.

    Raises:
        ValueError: if start is zero or no vector, steps < 1, or a product is not finite.

    Cost: m products, O(m^2 n) time and O(m n) memory for m steps.
    References: Lanczos 1950, J. Res. NBS 45(4); Parlett 1998, The Symmetric Eigenvalue Problem, sections 6.9 and 13.2.
    Peer: scipy.sparse.linalg.eigsh and numpy.linalg.eigvalsh, float64, 1e-10 of the largest (A).
    In production: use scipy.sparse.linalg.eigsh for eigenvalues of matrices; this for operators on torch tensors.
    """
    if steps < 1:
        raise ValueError(f"steps must be >= 1, got {steps}")
    if start.ndim != 1 or not start.norm() > 0:
        raise ValueError(f"start must be a non-zero vector, got {_told(start)}")
    q, n = start / start.norm(), start.numel()
    basis = start.new_empty(min(steps, n), n)
    alpha: list[float] = []
    beta: list[float] = []
    scale, rounding = 0.0, 10 * math.sqrt(n) * torch.finfo(start.dtype).eps
    for j in range(len(basis)):
        basis[j] = q
        w = product(q)
        if not w.isfinite().all():
            raise ValueError(f"product {j} with a finite vector is not finite; look at the loss and its parameters")
        alpha.append((q @ w).item())
        for _ in range(2):  # the second pass removes what rounding left of the first (Kahan & Parlett)
            w = w - basis[: j + 1].T @ (basis[: j + 1] @ w)
        beta.append(w.norm().item())
        scale = max(scale, abs(alpha[-1]) + beta[-1])
        if beta[-1] <= rounding * scale or j + 1 == n:
            beta[-1] = 0.0
            break
        if tolerance is not None and j % 4 == 3:
            values, _, errors = _tridiagonal(alpha, beta, basis).ritz()
            if max(errors[0], errors[-1]) <= tolerance * values.abs().max():
                break
        q = w / beta[-1]
    return _tridiagonal(alpha, beta, basis)


def _tridiagonal(alpha: list[float], beta: list[float], basis: Tensor) -> Tridiagonal:
    diagonal, off = torch.tensor(alpha, dtype=torch.float64), torch.tensor(beta[:-1], dtype=torch.float64)
    return Tridiagonal(diagonal, off, beta[-1], basis[: len(alpha)])


@dataclass(frozen=True, slots=True, eq=False)
class Extremes:
    """The two ends of a Hessian's spectrum (result of `hessian_extremes`)."""

    smallest: float
    largest: float
    smallest_error: float  # an eigenvalue of H lies within this of `smallest`
    largest_error: float
    smallest_direction: list[Tensor]  # unit vector in the shapes of the parameters
    largest_direction: list[Tensor]
    steps: int  # Hessian-vector products


def hessian_extremes(
    loss: Loss, params: Iterable[Tensor], *, steps: int = 200, tolerance: float = 1e-6, seed: int = 0
) -> Extremes:
    """Smallest and largest eigenvalue of the Hessian, with their directions, by Lanczos from a random vector.

    Args:
        loss: evaluates the loss on the same data each time, in the same mode (no dropout).
        params: tensors that require a gradient, such as `list(model.parameters())`.
        steps: >= 1, the most Hessian-vector products.
        tolerance: stop once both are known to within this share of the larger magnitude; float32 reaches about 1e-6.
        seed: of the start vector.

    Returns:
        Both ends. The errors are rigorous bounds on the distance to some eigenvalue; Ritz values never lie outside the
        spectrum, so that the largest is a lower bound and the smallest an upper one.

    Raises:
        ValueError: as `HessianOperator` and `lanczos` say.

    Cost: `steps` Hessian-vector products at most, each two gradients; O(steps n) memory.
    References: Pearlmutter 1994, Neural Computation 6(1); Parlett 1998, theorem 4.5.1 (the bound); Dauphin et al.
        2014, arXiv:1406.2572, section 4.
    Peer: numpy.linalg.eigvalsh of closed-form Hessians, scipy.sparse.linalg.eigsh, float64, 1e-9 (A).
    In production: PyHessian or curvlinops for large models over many batches.
    """
    H = HessianOperator(loss, params)
    found = lanczos(H, _normal(H, torch.Generator().manual_seed(seed)), steps=steps, tolerance=tolerance)
    values, vectors, errors = found.ritz()
    low, high = (H.shaped(found.basis.T @ vectors[:, end].to(found.basis)) for end in (0, -1))
    ends = (values[0].item(), values[-1].item(), errors[0].item(), errors[-1].item())
    return Extremes(*ends, low, high, len(values))


@dataclass(frozen=True, slots=True, eq=False)
class SpectralDensity:
    """A distribution of eigenvalues as weighted points (result of `spectral_density`)."""

    nodes: Tensor  # shape (probes * steps,), float64
    weights: Tensor  # the same shape, >= 0, with sum 1
    n: int  # rows of the Hessian

    def moment(self, power: int) -> float:
        """Estimate of trace(H^power) / n."""
        return (self.weights @ self.nodes**power).item()

    def share(self, low: float = -math.inf, high: float = math.inf) -> float:
        """Estimated share of eigenvalues in (low, high)."""
        return self.weights[(self.nodes > low) & (self.nodes < high)].sum().item()

    def density(self, at: Tensor, *, width: float) -> Tensor:
        """Smoothed by a normal distribution of that standard deviation, shape of `at`; its integral is 1."""
        if not width > 0:
            raise ValueError(f"width must be > 0, got {width}")
        z = (at.double()[..., None] - self.nodes) / width
        return (torch.exp(-0.5 * z.square()) @ self.weights) / (width * math.sqrt(2 * math.pi))


def spectral_density(
    loss: Loss, params: Iterable[Tensor], *, steps: int = 64, probes: int = 8, seed: int = 0
) -> SpectralDensity:
    """All of the Hessian's spectrum in outline, by stochastic Lanczos quadrature.

    For a random unit vector z, E[z^T f(H) z] = trace(f(H)) / n; and Lanczos from z gives the Gauss quadrature of
    z^T f(H) z, nodes being the eigenvalues t_k of T and weights the squared first entries of its eigenvectors.

    Args:
        loss, params: as of `hessian_extremes`.
        steps: of Lanczos for a probe, >= 1; polynomials up to degree 2 steps - 1 are integrated exactly.
        probes: random vectors, >= 1; their mean varies by about sqrt(2 / (n probes)) of f's spread.
        seed: of the vectors.

    Returns:
        Nodes and weights, from which densities, shares and moments follow.

    Raises:
        ValueError: if probes < 1, or as `HessianOperator` and `lanczos` say.

    Cost: steps * probes Hessian-vector products, O(steps n) memory.
    References: Golub & Welsch 1969, Math. Comp. 23, section 2; Ubaru, Chen & Saad 2017, SIAM J. Matrix Anal. 38(4),
        algorithm 1; Ghorbani, Krishnan & Xiao 2019, arXiv:1901.10159, section 2.
    Peer: z^T H^k z by dense products for all k < 2 steps, float64, 1e-10; whole spectra of planted matrices (B).
    In production: PyHessian or curvlinops, on many batches.
    """
    if probes < 1:
        raise ValueError(f"probes must be >= 1, got {probes}")
    H = HessianOperator(loss, params)
    draw = torch.Generator().manual_seed(seed)
    nodes, weights = [], []
    for _ in range(probes):
        values, vectors, _ = lanczos(H, _normal(H, draw), steps=steps).ritz()
        nodes.append(values)
        weights.append(vectors[0].square() / probes)
    return SpectralDensity(torch.cat(nodes), torch.cat(weights), H.n)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over random probes, with its standard error."""

    value: float
    error: float


def hessian_trace(loss: Loss, params: Iterable[Tensor], *, probes: int = 64, seed: int = 0) -> Estimate:
    """Sum of the Hessian's eigenvalues as the mean of z^T H z over random signs z (Hutchinson).

    Its variance is 2 sum over i != j of H_ij^2: a diagonal Hessian is found exactly by a single probe.

    Args:
        loss, params: as of `hessian_extremes`.
        probes: >= 2, so that there is a standard error.
        seed: of the signs.

    Returns:
        The mean and its standard error over probes.

    Raises:
        ValueError: if probes < 2, or as `HessianOperator` says.

    Cost: one Hessian-vector product a probe.
    References: Hutchinson 1989, Comm. Statist. Simul. 18(3), proposition 1; Avron & Toledo 2011, J. ACM 58(2), table 1.
    Peer: closed-form traces: exact where the Hessian is diagonal, within 4 errors elsewhere, float64 (B).
    In production: PyHessian, or Hutch++ where the spectrum decays.
    """
    if probes < 2:
        raise ValueError(f"probes must be >= 2, got {probes}; one has no standard error")
    H = HessianOperator(loss, params)
    draw = torch.Generator().manual_seed(seed)
    values = torch.empty(probes, dtype=torch.float64)
    for i in range(probes):
        z = (2 * torch.randint(2, (H.n,), generator=draw) - 1).to(H.gradient)
        values[i] = (z.double() @ H(z).double()).item()
    return Estimate(values.mean().item(), (values.std() / math.sqrt(probes)).item())


def _normal(H: HessianOperator, draw: torch.Generator) -> Tensor:
    return torch.randn(H.n, generator=draw, dtype=torch.float64).to(H.gradient)


def _told(value: Tensor) -> str:
    return f"{value.item()}" if value.numel() == 1 else f"a tensor of shape {tuple(value.shape)}"
