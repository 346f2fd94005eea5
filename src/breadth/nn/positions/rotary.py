"""Rotary position embedding: queries and keys turned by an angle that grows with their position."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from breadth.nn.positions.scaling import rope_frequencies
from breadth.nn.positions.tables import Table, require_positions


def rotate(x: Tensor, cos: Tensor, sin: Tensor, *, interleaved: bool = False) -> Tensor:
    """Turns pairs of features: (a, b) -> (a cos - b sin, b cos + a sin).

    Args:
        x: shape (..., L, E), E at least twice the width n of cos.
        cos: cosine of each pair's angle, broadcastable to (..., L, n).
        sin: sine, of the shape of cos.
        interleaved: pairs are features (2i, 2i + 1), as in the paper; False pairs i with i + n, as GPT-NeoX, Llama and
            most checkpoints do. The two differ by a permutation of features, the same for q and k.

    Returns:
        Shape and dtype of x; features from 2 n on are as they were (partial rotary).

    Raises:
        ValueError: if x is narrower than 2 n, or cos and sin differ in shape.

    Cost: one pass over x. Half precision is turned in float32 and rounded once.
    References: Su et al. 2021, arXiv:2104.09864, eq. 15 and 34.
    Peer: multiplication by e^(i angle) as complex numbers in NumPy, float64, 1e-15 (B); transformers 5.24.0's Llama
        and GPT-J, frozen numbers, 1e-6, its float32 (A).
    In production: compute `RoPE.tables` once for all layers, and call this in each.
    """
    n = cos.shape[-1]
    if cos.shape != sin.shape or x.shape[-1] < 2 * n:
        raise ValueError(
            f"x must be at least twice as wide as cos and sin, which must have one shape, got {tuple(x.shape)}, "
            f"{tuple(cos.shape)}, {tuple(sin.shape)}"
        )
    wide = x[..., : 2 * n].to(torch.promote_types(x.dtype, cos.dtype))
    if interleaved:
        a, b = wide[..., 0::2], wide[..., 1::2]
    else:
        a, b = wide[..., :n], wide[..., n:]
    turned = torch.addcmul(a * cos, b, sin, value=-1), torch.addcmul(b * cos, a, sin)
    pairs = torch.stack(turned, -1).flatten(-2) if interleaved else torch.cat(turned, -1)
    if x.shape[-1] == 2 * n:
        return pairs.to(x.dtype)
    return torch.cat((pairs.to(x.dtype), x[..., 2 * n :]), -1)


class RoPE(nn.Module):
    """Turns each pair i of features of a query or key at position p by the angle p theta_i.

    (R_p q) . (R_s k) = q . R_(s-p) k: scores depend on positions through their difference alone, and lengths of
    vectors stay. Values are not turned.

    Args:
        dim: features that are turned, even, >= 2; head_dim, or less for a partial rotation of the first ones.
        base: of theta_i = base^(-2i/dim).
        frequencies: theta, shape (dim / 2,), in place of those of base: `linear_frequencies`, `ntk_frequencies`,
            `yarn_frequencies`, `llama3_frequencies`.
        mscale: times cosines and sines, > 0; `yarn_mscale`, else 1.
        interleaved: as of `rotate`.

    Attributes:
        frequencies: theta, float64 on the CPU; no buffer, so that `half()` does not round it.

    Raises:
        ValueError: if a number is out of its range, or frequencies has another shape than (dim / 2,).

    Cost: one pass over x; the table of cosines and sines is computed once for each dtype and device.
    Deviations: angles are float64 before their cosine is taken. In float32, as most code has them, they are off by
        0.004 at position 1e5.
    References: Su et al. 2021, arXiv:2104.09864, eq. 13-16 and 34.
    Peer: as of `rotate`; scores at shifted positions, 1e-12 (B).
    In production: the default of decoders. Turn keys before they enter the cache; decoding passes start.
    """

    def __init__(
        self,
        dim: int,
        *,
        base: float = 10_000.0,
        frequencies: Tensor | None = None,
        mscale: float = 1.0,
        interleaved: bool = False,
    ):
        super().__init__()
        theta = rope_frequencies(dim, base=base)
        if frequencies is not None:
            if frequencies.shape != theta.shape:
                raise ValueError(f"frequencies must have shape ({dim // 2},), got {tuple(frequencies.shape)}")
            theta = frequencies.detach().to("cpu", torch.float64)
        if not 0 < mscale < math.inf:
            raise ValueError(f"mscale must be > 0 and finite, got {mscale}")
        self.dim, self.mscale, self.interleaved, self.frequencies = dim, mscale, interleaved, theta
        self._table = Table(self._rows)

    def forward(self, x: Tensor, *, start: int = 0, positions: Tensor | None = None) -> Tensor:
        """x (B, H, L, E) turned to positions start, start + 1, ..., or to `positions`, integers (L,) or (B, L)."""
        if x.dim() != 4:
            raise ValueError(f"x must have shape (batch, heads, length, head_dim), got {tuple(x.shape)}")
        cos, sin = self.tables(x, start=start, positions=positions)
        return rotate(x, cos, sin, interleaved=self.interleaved)

    def tables(self, x: Tensor, *, start: int = 0, positions: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Cosines and sines for `rotate`: (L, dim / 2), or (B, 1, L, dim / 2) for positions of each sequence.

        x gives length, dtype (float32 for half precision) and device.
        """
        dtype = torch.promote_types(x.dtype, torch.float32)
        if positions is None:
            both = self._table(start, x.shape[-2], dtype, x.device)
        else:
            both = self._rows(require_positions(positions, x)).to(dtype)
            both = both[:, None] if both.dim() == 3 else both
        cos, sin = both.chunk(2, -1)
        return cos, sin

    def _rows(self, positions: Tensor) -> Tensor:
        angles = positions.to(torch.float64)[..., None] * self.frequencies.to(positions.device)
        return torch.cat((angles.cos(), angles.sin()), -1) * self.mscale

    def extra_repr(self) -> str:
        return f"{self.dim}, mscale={self.mscale:g}, interleaved={self.interleaved}"
