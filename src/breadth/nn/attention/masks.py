"""Which keys a query may see: causal and sliding window."""

from __future__ import annotations

import torch
from torch import Tensor


def causal_mask(n_queries: int, n_keys: int | None = None, *, device: torch.device | str | None = None) -> Tensor:
    """Query i sees key j where j <= i + n_keys - n_queries: the last query sees every key.

    Aligned to the end, so that the queries of a decoding step are the last positions of the keys. With fewer keys than
    queries the first queries see none.

    Args:
        n_queries: L, >= 0.
        n_keys: S, >= 0; None takes n_queries.
        device: where the mask lies.

    Returns:
        Boolean, shape (L, S), True where a query sees a key.

    Raises:
        ValueError: if a length is negative.

    Cost: O(L S).
    References: Vaswani et al. 2017, arXiv:1706.03762, section 3.2.3.
    Peer: a double loop over i and j (B).
    In production: `attend(causal=True)` needs no mask; use it where another part has to know what is visible.
    """
    offset = _offsets(n_queries, n_queries if n_keys is None else n_keys, device)
    return offset >= 0


def window_mask(
    n_queries: int,
    n_keys: int | None = None,
    *,
    window: int,
    causal: bool = True,
    device: torch.device | str | None = None,
) -> Tensor:
    """Query i at position p = i + n_keys - n_queries sees key j where 0 <= p - j < window, or |p - j| < window.

    Args:
        n_queries: L, >= 0.
        n_keys: S, >= 0; None takes n_queries.
        window: how far a query sees, its own position counted, >= 1.
        causal: look only back; False looks window - 1 keys to both sides.
        device: where the mask lies.

    Returns:
        Boolean, shape (L, S), True where a query sees a key.

    Raises:
        ValueError: if a length is negative or window < 1.

    Cost: O(L S).
    References: Beltagy, Peters & Cohan 2020, arXiv:2004.05150, section 3.1; Jiang et al. 2023, arXiv:2310.06825,
        section 2 (causal).
    Peer: a double loop over i and j (B).
    In production: `attend(window=w)` needs no mask, and its cost does not grow with the square of the length.
    """
    if window < 1:
        raise ValueError(f"window must be >= 1, got {window}; 1 sees only the query's own position")
    offset = _offsets(n_queries, n_queries if n_keys is None else n_keys, device)
    return (offset >= 0) & (offset < window) if causal else offset.abs() < window


def _offsets(n_queries: int, n_keys: int, device: torch.device | str | None) -> Tensor:
    """Position of the query less that of the key, shape (L, S)."""
    if n_queries < 0 or n_keys < 0:
        raise ValueError(f"n_queries and n_keys must be >= 0, got {n_queries} and {n_keys}")
    i = torch.arange(n_queries, device=device) + (n_keys - n_queries)
    return i[:, None] - torch.arange(n_keys, device=device)
