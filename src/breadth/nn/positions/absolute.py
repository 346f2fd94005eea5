"""Absolute positions, added to the inputs: sinusoids, learned vectors, and none."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from breadth.nn.positions.tables import Table, positions_of, require_positions


def sinusoidal(positions: Tensor, dim: int, *, base: float = 10_000.0, dtype: torch.dtype | None = None) -> Tensor:
    """Sines and cosines of geometric wavelengths: PE(p, 2i) = sin(p / base^(2i/dim)), PE(p, 2i+1) = cos of the same.

    PE(p + k) is a rotation of PE(p) that depends on k alone, pair by pair.

    Args:
        positions: integers or real numbers, also negative, any shape.
        dim: width, even, >= 2.
        base: > 0; wavelengths run from 2 pi to 2 pi base.
        dtype: of the result; None takes torch's default. Angles are float64: in float32 they are off by 0.004 at
            position 1e5.

    Returns:
        Shape (*positions.shape, dim), in [-1, 1].

    Raises:
        ValueError: if dim is odd or less than 2, or base <= 0.

    Cost: O(number of positions dim).
    References: Vaswani et al. 2017, arXiv:1706.03762, section 3.5.
    Peer: mpmath's sine and cosine at 30 digits, 1e-12 up to position 1e5 (B).
    In production: `SinusoidalPositions` keeps the table; new decoders take `RoPE`.
    """
    if dim < 2 or dim % 2:
        raise ValueError(f"dim must be even and >= 2, got {dim}: sines and cosines come in pairs")
    if not base > 0:
        raise ValueError(f"base must be > 0, got {base}")
    exponents = torch.arange(0, dim, 2, dtype=torch.float64, device=positions.device) / dim
    angles = positions.to(torch.float64)[..., None] * base**-exponents
    return torch.stack((angles.sin(), angles.cos()), -1).flatten(-2).to(dtype or torch.get_default_dtype())


class SinusoidalPositions(nn.Module):
    """Adds `sinusoidal` vectors to the inputs: x_p + PE(p).

    Args:
        dim: width of the inputs, even, >= 2.
        base: > 0.

    Raises:
        ValueError: if dim is odd or less than 2, or base <= 0.

    Cost: one addition; the table is computed once for each dtype and device, and grows by doubling.
    Deviations: inputs are not multiplied by sqrt(dim), as the paper does with its embeddings before adding.
    References: Vaswani et al. 2017, arXiv:1706.03762, section 3.5.
    Peer: as of `sinusoidal`.
    In production: any length has its vectors, but a network sees those past its training length for the first time.
    """

    def __init__(self, dim: int, *, base: float = 10_000.0):
        super().__init__()
        sinusoidal(torch.zeros(0), dim, base=base)  # for its errors
        self.dim, self.base = dim, base
        self._table = Table(self._rows)

    def forward(self, x: Tensor, *, start: int = 0, positions: Tensor | None = None) -> Tensor:
        """x (..., L, dim) with the vectors of positions start, start + 1, ... or of `positions`, (L,) or (B, L)."""
        _require_width(x, self.dim)
        dtype = torch.promote_types(x.dtype, torch.float32)
        if positions is None:
            vectors = self._table(start, x.shape[-2], dtype, x.device)
        else:
            vectors = sinusoidal(require_positions(positions, x), self.dim, base=self.base, dtype=dtype)
        return (x + vectors).to(x.dtype)

    def _rows(self, positions: Tensor) -> Tensor:
        return sinusoidal(positions, self.dim, base=self.base, dtype=torch.float64)

    def extra_repr(self) -> str:
        return f"{self.dim}, base={self.base:g}"


class LearnedPositions(nn.Module):
    """Adds one learned vector for each position: x_p + W_p.

    Args:
        n_positions: how many there are, >= 1.
        dim: width of the inputs, >= 1.

    Attributes:
        weight: parameter, shape (n_positions, dim), from N(0, 0.02^2).

    Raises:
        ValueError: if a number is less than 1; from the call, if a position is n_positions or more. Nothing is cut or
            wrapped around.

    Cost: n_positions dim parameters; one addition.
    References: Gehring et al. 2017, arXiv:1705.03122, section 3.1; Devlin et al. 2019, arXiv:1810.04805, section 3.
    Peer: a loop over positions in NumPy (B).
    In production: as in GPT-2 and BERT; a position that training did not visit keeps its random vector.
    """

    def __init__(self, n_positions: int, dim: int):
        super().__init__()
        if n_positions < 1 or dim < 1:
            raise ValueError(f"n_positions and dim must be >= 1, got {n_positions} and {dim}")
        self.weight = nn.Parameter(torch.randn(n_positions, dim) * 0.02)

    def forward(self, x: Tensor, *, start: int = 0, positions: Tensor | None = None) -> Tensor:
        """x (..., L, dim) with the vectors of positions start, start + 1, ... or of `positions`, (L,) or (B, L)."""
        n, dim = self.weight.shape
        _require_width(x, dim)
        length = x.shape[-2]
        if positions is None:
            positions_of(start, 0)  # for its error
            if start + length > n:
                raise ValueError(f"positions {start} to {start + length - 1} need n_positions > {n}, which is given")
            return x + self.weight[start : start + length]
        require_positions(positions, x)
        if positions.numel() and not 0 <= int(positions.min()) <= int(positions.max()) < n:
            raise ValueError(f"positions must be in [0, {n}), got {int(positions.min())} to {int(positions.max())}")
        return x + self.weight[positions]

    def extra_repr(self) -> str:
        n, dim = self.weight.shape
        return f"{n}, {dim}"


class NoPE(nn.Module):
    """No positions: gives back what it gets. It stands where `RoPE`, `SinusoidalPositions` or `LearnedPositions` would.

    A Transformer without positions whose queries see every key is permutation equivariant, f(P x) = P f(x): it takes
    a text for a bag of words. The causal mask alone breaks that. Position t sees t keys, so that a head with equal
    scores that reads 1 from the first token and 0 from others gives exactly 1 / t, from which later layers can tell
    where they are.

    Args: none.

    Cost: none.
    References: Haviv et al. 2022, arXiv:2203.16634; Kazemnejad et al. 2023, arXiv:2305.19466, theorem 1 (absolute
        positions from the causal mask) and theorem 2 (relative ones).
    Peer: the equivariance itself: a network with full attention has it to rounding, with a causal mask it does not,
        and the counting head gives 1 / t exactly (B).
    In production: decoders only, mostly in some of the layers beside others with `RoPE` (Llama 4, SmolLM3); never in
        an encoder.
    """

    def forward(self, x: Tensor, *, start: int = 0, positions: Tensor | None = None) -> Tensor:
        """x itself; start and positions do not matter."""
        return x


def _require_width(x: Tensor, dim: int) -> None:
    if x.dim() < 2 or x.shape[-1] != dim:
        raise ValueError(f"x must have shape (..., length, {dim}), got {tuple(x.shape)}")
