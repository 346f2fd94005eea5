"""Positions as a bias of the scores: ALiBi's slopes, and T5's learned buckets."""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn


def alibi_slopes(n_heads: int, *, device: torch.device | str | None = None) -> Tensor:
    """Slopes m_h > 0 that fall geometrically from head to head: 2^(-8 h / n), h = 1 ... n.

    For n that is no power of two: those of the power n' below, then every second one of 2 n', from the first.

    Args:
        n_heads: >= 1.
        device: where the result lies.

    Returns:
        Float64, shape (n_heads,), in (0, 1).

    Raises:
        ValueError: if n_heads < 1.

    References: Press, Smith & Lewis 2022, arXiv:2108.12409, section 3; other counts than powers of two follow the
        authors' code.
    Peer: transformers 5.24.0's BLOOM and MPT at 1 to 40 heads, frozen numbers, 5e-7, their float32 (A).
    In production: `alibi_bias` calls it.
    """
    if n_heads < 1:
        raise ValueError(f"n_heads must be >= 1, got {n_heads}")
    power = 1 << (n_heads.bit_length() - 1)
    exponents = [-8 * h / power for h in range(1, power + 1)]
    exponents += [-8 * h / (2 * power) for h in range(1, 2 * (n_heads - power), 2)]
    return torch.tensor(exponents, dtype=torch.float64, device=device).exp2()


def alibi_bias(
    n_heads: int,
    n_queries: int,
    n_keys: int | None = None,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """Attention with linear biases: -m_h |p_i - j|, where query i is at position p_i = i + n_keys - n_queries.

    Under a causal mask this is -m_h (p_i - j): with m_h > 0 the nearest key is favoured. A plus in its place favours
    the most distant one.

    Args:
        n_heads: >= 1.
        n_queries: L, >= 0.
        n_keys: S, >= 0; None takes n_queries.
        dtype: of the result; None takes torch's default.
        device: where the result lies.

    Returns:
        Shape (n_heads, n_queries, n_keys), <= 0: the bias of `attend`.

    Raises:
        ValueError: if n_heads < 1 or a length is negative.

    Cost: O(n_heads L S).
    Deviations: BLOOM and MPT add m_h j, which differs by a constant of each row and is the same after a causal softmax.
        Without a causal mask the form here is symmetric, which is one of several in use.
    References: Press, Smith & Lewis 2022, arXiv:2108.12409, section 3.
    Peer: a triple loop in NumPy, and softmax of transformers 5.24.0's BLOOM tensor, frozen slopes (A).
    In production: MPT, BLOOM and Baichuan-13B have it (LLaMA-2 does not: RoPE); lets a model read a few times beyond
        its training length, mostly by looking near.
    """
    distances = _distances(n_queries, n_queries if n_keys is None else n_keys, device).abs()
    bias = -alibi_slopes(n_heads, device=device)[:, None, None] * distances
    return bias.to(torch.get_default_dtype() if dtype is None else dtype)


def t5_buckets(
    distances: Tensor, *, n_buckets: int = 32, max_distance: int = 128, bidirectional: bool = True
) -> Tensor:
    """Buckets of relative positions: one each for the near ones, logarithmically wider ones up to max_distance.

    With n buckets for one side and e = n // 2, distance d < e has bucket d; beyond it is e + floor((n - e) log(d / e) /
    log(max_distance / e)), at most n - 1.

    Args:
        distances: position of the key less that of the query, integers, any shape.
        n_buckets: >= 2; where bidirectional even and >= 4, half for each side.
        max_distance: > n_buckets // 2, or // 4 where bidirectional; from here on all share the last bucket.
        bidirectional: keys after the query get the second half of the buckets; False puts them all with
            distance 0, for they are masked.

    Returns:
        Integers in [0, n_buckets), shape of distances.

    Raises:
        TypeError: if distances are not integers.
        ValueError: if n_buckets or max_distance is out of its range.

    Cost: O(size of distances log n_buckets).
    Deviations: edges are found in integers: no logarithm is rounded at a power. For T5's settings these are the edges
        that its float32 gives.
    References: Raffel et al. 2020, arXiv:1910.10683, section 2.1.
    Peer: transformers 5.24.0's T5, each distance up to 3,000, both directions, frozen edges (A).
    In production: `RelativePositionBias` calls it.
    """
    if distances.is_floating_point() or distances.is_complex() or distances.dtype == torch.bool:
        raise TypeError(f"distances must be integers, got {distances.dtype}")
    if n_buckets < (4 if bidirectional else 2) or (bidirectional and n_buckets % 2):
        raise ValueError(f"n_buckets must be >= 2, or even and >= 4 where bidirectional, got {n_buckets}")
    side = n_buckets // 2 if bidirectional else n_buckets
    if max_distance <= side // 2:
        raise ValueError(f"max_distance must be > {side // 2}, the distances with a bucket each, got {max_distance}")
    edges = torch.tensor(_edges(side, max_distance), dtype=torch.int64, device=distances.device)
    distances = distances.to(torch.int64)
    far = distances.abs() if bidirectional else (-distances).clamp(min=0)
    buckets = torch.bucketize(far, edges, right=True)
    return buckets + side * (distances > 0) if bidirectional else buckets


class RelativePositionBias(nn.Module):
    """T5's bias: a learned scalar for each head and bucket of the distance, b_h[bucket(j - p_i)], added to the scores.

    T5 does not scale q k^T: pass scale=1.0 to `attend` beside this bias for its checkpoints. All layers of a stack
    share one table.

    Args:
        n_heads: >= 1.
        n_buckets: as of `t5_buckets`.
        max_distance: as of `t5_buckets`.
        bidirectional: True in encoders, False in decoders.

    Attributes:
        weight: parameter, shape (n_buckets, n_heads), from N(0, 1 / n_heads); T5's `relative_attention_bias.weight`.

    Raises:
        ValueError: if n_heads < 1, or as `t5_buckets` says.

    Cost: O(n_heads L S); its gradient is summed along diagonals.
    Deviations: the initial variance: T5 takes 1 / d_model, which the bias does not know.
    References: Raffel et al. 2020, arXiv:1910.10683, section 2.1.
    Peer: a double loop over the formula in NumPy (B); transformers 5.24.0's T5 `compute_bias`, frozen numbers (A).
    In production: for T5 checkpoints and relatives; new decoders take `RoPE`.
    """

    def __init__(self, n_heads: int, *, n_buckets: int = 32, max_distance: int = 128, bidirectional: bool = True):
        super().__init__()
        if n_heads < 1:
            raise ValueError(f"n_heads must be >= 1, got {n_heads}")
        self.n_buckets, self.max_distance, self.bidirectional = n_buckets, max_distance, bidirectional
        self._buckets(torch.zeros(0, dtype=torch.int64))
        self.weight = nn.Parameter(torch.randn(n_buckets, n_heads) * n_heads**-0.5)

    def forward(self, n_queries: int, n_keys: int | None = None) -> Tensor:
        """Shape (n_heads, L, S), for the bias of `attend`; the last query is at the position of the last key."""
        n_keys = n_queries if n_keys is None else n_keys
        if 0 in (n_queries, n_keys) or min(n_queries, n_keys) < 0:
            _distances(n_queries, n_keys, None)  # for its error
            return self.weight.new_zeros(self.weight.shape[1], n_queries, n_keys)
        # distance j - p_i is the same along a diagonal: S + L - 1 values, of which each row is a window
        distances = torch.arange(1 - n_keys, n_queries, device=self.weight.device)
        diagonals = self.weight[self._buckets(distances)].mT  # (H, S + L - 1)
        return diagonals.unfold(-1, n_keys, 1).flip(-2)

    def _buckets(self, distances: Tensor) -> Tensor:
        return t5_buckets(
            distances,
            n_buckets=self.n_buckets,
            max_distance=self.max_distance,
            bidirectional=self.bidirectional,
        )

    def extra_repr(self) -> str:
        return (
            f"{self.weight.shape[1]}, n_buckets={self.n_buckets}, max_distance={self.max_distance}, "
            f"bidirectional={self.bidirectional}"
        )


@functools.cache
def _edges(n: int, max_distance: int) -> tuple[int, ...]:
    """Smallest distance of buckets 1 ... n - 1."""
    exact = n // 2
    wide = n - exact
    edges = list(range(1, exact + 1))
    d = exact
    for b in range(1, wide):
        # wide log(d / exact) >= b log(max_distance / exact), with no logarithm
        while d**wide * exact**b < max_distance**b * exact**wide:
            d += 1
        edges.append(d)
    return tuple(edges)


def _distances(n_queries: int, n_keys: int, device: torch.device | str | None) -> Tensor:
    """Position of the key less that of the query, shape (L, S)."""
    if n_queries < 0 or n_keys < 0:
        raise ValueError(f"n_queries and n_keys must be >= 0, got {n_queries} and {n_keys}")
    queries = torch.arange(n_queries, device=device) + (n_keys - n_queries)
    return torch.arange(n_keys, device=device) - queries[:, None]
